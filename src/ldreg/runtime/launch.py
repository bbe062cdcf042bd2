"""Starting jobs on GPUs: one GPU uses this process, several GPUs one rank each under torchrun or srun."""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from ldreg.errors import LdregError
from ldreg.runtime.console import tell

_WAIT = 1.0  # seconds between two checks for a free GPU


def check_gpus(gpus: int) -> None:
    """Check that at least `gpus` GPUs are visible.

    Raises:
        LdregError: if there are fewer; the error names the key that sets the number.
    """
    if gpus == 0:
        return
    if gpus < 0:
        raise LdregError(f"execution.gpus: {gpus} is not allowed; it should be 0 (the CPU) or more")
    import torch

    if (found := torch.cuda.device_count()) < gpus:
        raise LdregError(
            f"execution.gpus: {gpus}, but this machine shows {found}; run where there are as many, or give"
            " another number: --config 'execution={gpus: 0}' (0 is the CPU)"
        )


@contextmanager
def claimed_gpus(gpus: int, locks: Path | None = None) -> Iterator[None]:
    """Reserve `gpus` GPUs for this process inside the block, and make only these visible to it.

    Snakemake limits the number of GPUs in use but does not assign them, so all local jobs would use the first
    GPU. If too few GPUs are free, this function waits. Nothing is reserved on a cluster, where the scheduler
    assigns GPUs, or in a rank of torchrun, which uses those of its parent.

    Args:
        gpus: number of GPUs.
        locks: folder with one lock file per GPU. The kernel releases a lock when its process ends for any
            reason.
    """
    if gpus == 0 or "LOCAL_RANK" in os.environ or "SLURM_JOB_ID" in os.environ:
        yield
        return
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    folder = locks or Path(tempfile.gettempdir(), f"ldreg-gpus-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with ExitStack() as held:
            mine: list[str] = []
            for device in devices:
                if len(mine) < gpus and _lock(held, folder / device):
                    mine.append(device)
            if len(mine) == gpus:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
                yield
                return
        time.sleep(_WAIT)


def _lock(held: ExitStack, path: Path) -> bool:
    """Lock a file until `held` is closed; returns False if another process holds the lock."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    held.callback(file.close)
    return True


def start_ranks(gpus: int, nodes: int, arguments: list[str], terminal: TextIO) -> int:
    """Run `ldreg` with these arguments in one rank per GPU, or per node on CPUs; returns the exit status.

    Rank 0 writes lines for the terminal to its standard output. The launcher writes its own messages to the
    standard error of this process, which is the log. A failure is reported in one line, even if no rank
    reports it.

    Raises:
        LdregError: if several nodes are requested outside a SLURM job.
    """
    if nodes > 1:
        command = srun_command(gpus, nodes)
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
        # Without "--", torchrun would parse our options, such as --log, as its own.
        command += ["-m", "--", "ldreg.cli"]
    reported = False
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        for line in process.stdout or ():
            reported |= line.startswith("error: ")
            tell(terminal, line.rstrip("\n"))
    if process.returncode == 0:
        return 0
    if not reported:
        launcher = "srun" if nodes > 1 else "torchrun"
        tell(
            terminal, f"error: a rank failed, {launcher} ended with status {process.returncode}; see the log"
        )
    return 2 if reported else 1


def srun_command(gpus: int, nodes: int) -> list[str]:
    """Return the srun command that starts the ranks of several nodes inside a SLURM allocation.

    Raises:
        LdregError: if this process is not in a SLURM job.
    """
    # Snakemake removes most other SLURM variables from the environment of a job.
    if "SLURM_JOB_ID" not in os.environ:
        raise LdregError(
            f"execution.nodes: {nodes}, but this is no SLURM job; submit the workflow with"
            " --workflow-profile profiles/slurm, or set 1"
        )
    per_node = max(gpus, 1)
    # A failed rank must end the others, which would otherwise wait for it forever.
    ranks = [f"--nodes={nodes}", f"--ntasks={nodes * per_node}", f"--ntasks-per-node={per_node}"]
    return ["srun", *ranks, "--kill-on-bad-exit=1", sys.executable, "-m", "ldreg.cli"]


def adopt_slurm_rank() -> None:
    """Set torchrun's environment variables from SLURM's if srun started several tasks of this command.

    The tasks of a user's own `srun ldreg pretrain ...` thus become ranks, too.
    """
    if "RANK" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
        return
    hosts = ["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]]
    first = subprocess.run(hosts, check=True, capture_output=True, text=True).stdout.split()[0]
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"],
        "MASTER_ADDR": first,
        # The port is the same for all ranks of a job and differs between jobs on the same node.
        "MASTER_PORT": str(20_000 + int(os.environ["SLURM_JOB_ID"]) % 20_000),
    }
