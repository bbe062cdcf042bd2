"""A real SLURM on this machine's loopback: munge, a controller, and several nodes with GPUs that do nothing.

It takes root and Debian's packages (`PACKAGES`). The controller and the nodes are those of any cluster; only
their GPUs are pretended: device files that SLURM counts and assigns, but that compute nothing.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGES = "munge slurm-client slurmctld slurmd"
PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
# The names are addresses of the loopback, 127.0.0.1 and 127.0.0.2, in a form that SLURM takes for a name:
# ranks look their host up.
NODES = ("0x7f000001", "0x7f000002")
GPUS = 2  # of each node
PARTITION = "main"
# Where every SLURM command looks by itself. A variable could name another place, but Snakemake's plugin
# removes it from the environment of jobs.
SYSTEM_CONFIGURATION = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
LOCK = Path(tempfile.gettempdir(), "ldreg-test-slurm.lock")
PREFIX = "ldreg-slurm-"  # of the folder of a cluster; short, since a socket's path has at most 107 bytes

CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its credential has expired, which by default takes two minutes.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=0,batch_sched_delay=0
PriorityType=priority/basic
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=3600
# Seconds between the SIGTERM and the SIGKILL of a job whose time is up, and how late a time-out is noticed.
KillWait={kill_wait}
SlurmdTimeout=60
MessageTimeout=30
JobRequeue=0
GresTypes=gpu
{nodes}PartitionName={partition} Nodes=ALL Default=YES MaxTime=120 DefaultTime=10 LLN=YES State=UP
"""
NODE = (
    "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 CoresPerSocket=4"
    " RealMemory=8000 Gres=gpu:{gpus}\n"
)


def missing() -> str | None:
    """Why there can be no cluster on this machine, in words; None if there can be one."""
    if os.getuid() != 0:
        return "a SLURM on this machine takes root"
    if [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"no SLURM: apt-get install {PACKAGES}"
    there = [SYSTEM_CONFIGURATION / name for name in FILES if _is_there(SYSTEM_CONFIGURATION / name)]
    if foreign := [path for path in there if not os.readlink(path).startswith(_folders())]:
        return f"{foreign[0]} is there, so this machine belongs to a cluster"
    return None


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _folders() -> str:
    return str(Path(tempfile.gettempdir(), PREFIX))


class Cluster:
    """A running cluster; `running_cluster` starts and stops one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ask(self, *command: str) -> str:
        """What a SLURM command prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """All jobs of this cluster so far, by id: what `scontrol show job` says of each."""
        told = self.ask("scontrol", "--oneliner", "--details", "show", "job")
        found = [dict(part.partition("=")[::2] for part in line.split()) for line in told.splitlines()]
        return {job["JobId"]: job for job in found if "JobId" in job}

    def start(self, kill_wait: int) -> None:
        """Write the configuration and start munge, the controller and the nodes."""
        self._configure(kill_wait)
        munge = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munged.pid"}
        munge |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        self.ask("munged", *(f"--{key}={self.folder / name}" for key, name in munge.items()))
        wait_for("munge", lambda: self.ask("munge", "-S", str(self.folder / "munge.sock"), "-n"))
        self.ask("slurmctld", "-i")
        wait_for("slurmctld", lambda: self.ask("scontrol", "ping"))
        for node in NODES:
            self.ask("slurmd", "-N", node)
        wait_for("slurmd", self._nodes_are_idle)

    def _nodes_are_idle(self) -> None:
        states = self.ask("sinfo", "-h", "-N", "-o", "%T").split()
        if states != ["idle"] * len(NODES):
            raise OSError(f"nodes are {states}")

    def _configure(self, kill_wait: int) -> None:
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(secrets.token_bytes(1024))
        for gpu in range(GPUS):
            os.mknod(self.folder / f"gpu{gpu}", 0o20666, os.makedev(1, 3))  # a second /dev/null
        host = socket.gethostname().partition(".")[0]
        port, *ports = _free_ports(1 + len(NODES))
        nodes = [
            NODE.format(node=node, host=host, port=port, gpus=GPUS)
            for node, port in zip(NODES, ports, strict=True)
        ]
        content = CONFIGURATION.format(
            host=host,
            folder=self.folder,
            port=port,
            partition=PARTITION,
            kill_wait=kill_wait,
            nodes="".join(nodes),
        )
        (self.folder / "slurm.conf").write_text(content)
        devices = f"{self.folder}/gpu[0-{GPUS - 1}]"
        (self.folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={devices}\n")
        SYSTEM_CONFIGURATION.mkdir(exist_ok=True)
        for name in FILES:
            (SYSTEM_CONFIGURATION / name).unlink(missing_ok=True)
            (SYSTEM_CONFIGURATION / name).symlink_to(self.folder / name)

    def stop(self) -> None:
        """End all jobs and daemons, also those of a cluster whose tests were killed, and remove its files."""
        if _running(self.folder / "slurmctld.pid", "slurmctld"):
            with contextlib.suppress(subprocess.SubprocessError):
                self.ask("scancel", "--signal=KILL", "--full", f"--partition={PARTITION}")
                self.ask("scancel", f"--partition={PARTITION}")
                wait_for("jobs to end", self._no_job_is_left)
        for path in sorted(self.folder.glob("slurmd-*.pid")):
            _end(path, "slurmd")
        _end(self.folder / "slurmctld.pid", "slurmctld")
        _end(self.folder / "munged.pid", "munged")
        for name in FILES:
            path = SYSTEM_CONFIGURATION / name
            if path.is_symlink() and os.readlink(path) == str(self.folder / name):
                path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _no_job_is_left(self) -> None:
        if left := self.ask("squeue", "-h", "-t", "running,completing", "-o", "%A").split():
            raise OSError(f"jobs {left} are running")


@contextlib.contextmanager
def running_cluster(kill_wait: int = 5) -> Iterator[Cluster]:
    """A cluster of its own for the block. A machine has room for one: another process waits for its turn."""
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            Cluster(left).stop()
        cluster = Cluster(Path(tempfile.mkdtemp(prefix=PREFIX)))
        cluster.folder.chmod(0o755)
        try:
            cluster.start(kill_wait)
            yield cluster
        finally:
            cluster.stop()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for(what: str, answers: Callable[[], object], seconds: float = 60.0) -> None:
    """Call `answers` until it raises no error; raises its last error if it never succeeds."""
    end = time.monotonic() + seconds
    while True:
        try:
            answers()
            return
        except (OSError, subprocess.SubprocessError) as error:
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:.0f} s for {what}: {error}") from error
        time.sleep(0.1)


def _running(pid_file: Path, program: str) -> int | None:
    """The process that a pid file names, if it still is that program."""
    try:
        pid = int(pid_file.read_text())
        name = Path(os.readlink(f"/proc/{pid}/exe")).name
    except (OSError, ValueError):
        return None
    return pid if name.removesuffix("-wlm") == program else None


def _end(pid_file: Path, program: str) -> None:
    """Ask a daemon to end, and kill it if it does not."""
    for signal_, tries in ((signal.SIGTERM, 100), (signal.SIGKILL, 50)):
        if (pid := _running(pid_file, program)) is None:
            return
        os.kill(pid, signal_)
        for _ in range(tries):
            if _running(pid_file, program) is None:
                return
            time.sleep(0.1)
