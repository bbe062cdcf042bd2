"""GPUs to processes: one GPU runs in this process, several under torchrun or srun with one rank each."""

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

_WAIT = 1.0  # seconds between two looks for a free GPU


def check_gpus(gpus: int) -> None:
    """Refuse to start where fewer GPUs are visible than the run was given.

    Raises:
        LdregError: naming the key that says how many.
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
    """Hold `gpus` GPUs that no other job of this machine holds, as the only ones that this process sees.

    Snakemake counts GPUs but does not say which; without this, all local jobs would take the first. Waits
    while others hold too many. On a cluster the scheduler has chosen; a rank of torchrun uses its parent's.

    Args:
        locks: folder of one lock file per GPU, released by the kernel when its holder ends, however it ends.
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
    """Lock the file until `held` ends; False if another process has."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    held.callback(file.close)
    return True


def start_ranks(gpus: int, nodes: int, arguments: list[str], terminal: TextIO) -> int:
    """Run `ldreg` with these arguments as one rank per GPU (per node, on the CPU); returns the exit status.

    What rank 0 tells the terminal comes by its standard output; the launcher's own messages go to this
    process's standard error, which is the log. A failure is told in one line, also where no rank could.

    Raises:
        LdregError: if several nodes are asked for where SLURM has not granted them.
    """
    if nodes > 1:
        command = srun_command(gpus, nodes)
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
        # "--" or torchrun would take options of ours, such as --log, for its own.
        command += ["-m", "--", "ldreg.cli"]
    told = False
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        for line in process.stdout or ():
            told |= line.startswith("error: ")
            tell(terminal, line.rstrip("\n"))
    if process.returncode == 0:
        return 0
    if not told:
        launcher = "srun" if nodes > 1 else "torchrun"
        tell(
            terminal, f"error: a rank failed, {launcher} ended with status {process.returncode}; see the log"
        )
    return 2 if told else 1


def srun_command(gpus: int, nodes: int) -> list[str]:
    """SLURM's launcher for the ranks of several nodes, inside an allocation that has as many.

    Raises:
        LdregError: outside an allocation.
    """
    # Of SLURM's variables, Snakemake leaves a job little more than this one.
    if "SLURM_JOB_ID" not in os.environ:
        raise LdregError(
            f"execution.nodes: {nodes}, but this is no SLURM job; submit the workflow with"
            " --workflow-profile profiles/slurm, or set 1"
        )
    per_node = max(gpus, 1)
    # A failed rank must end the others, which would wait for it for ever.
    ranks = [f"--nodes={nodes}", f"--ntasks={nodes * per_node}", f"--ntasks-per-node={per_node}"]
    return ["srun", *ranks, "--kill-on-bad-exit=1", sys.executable, "-m", "ldreg.cli"]


def adopt_slurm_rank() -> None:
    """Where srun started several tasks of this command, take its numbers for those that torchrun would give.

    So a user's own `srun ldreg pretrain ...` trains with its tasks as ranks, too.
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
        # The same for all ranks, and another one for every job that may share the node.
        "MASTER_PORT": str(20_000 + int(os.environ["SLURM_JOB_ID"]) % 20_000),
    }
