"""Starting jobs on GPUs: one GPU uses this process, several GPUs one rank each under torchrun or srun."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from ldreg.errors import LdregError
from ldreg.runtime.console import tell
from ldreg.runtime.container import memory, told_of_kill
from ldreg.runtime.slices import ENDS, LAUNCHED, STOPPED, UNFINISHED, handled_by, requeue


def start_ranks(
    gpus: int, nodes: int, arguments: list[str], terminal: TextIO, budget: float | None = None
) -> int:
    """Run `ldreg` with these arguments in one rank per GPU, or per node on CPUs; returns the exit status.

    Rank 0 writes lines for the terminal to its standard output. The launcher writes its own messages to the
    standard error of this process, which is the log. A failure is reported in one line, even if no rank
    reports it. A signal that asks this process to end is passed on to the ranks.

    Args:
        budget: the time that the job has, in seconds, counted from now.

    Raises:
        LdregError: if several nodes are requested outside a SLURM job.
    """
    if nodes > 1:
        command = srun_command(gpus, nodes)
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
        command += ["--nnodes=1"]
        # Without "--", torchrun would parse our options, such as --log, as its own.
        command += ["-m", "--", "ldreg.cli"]
    reported, stopped, before = False, "", memory()
    # Platforms such as Kubeflow preset torchrun's options by PET_... for a launch that is not this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PET_")}
    environment[LAUNCHED] = "1"
    if budget is not None and nodes == 1:  # other machines have other clocks, and count from their own start
        environment[ENDS] = str(time.monotonic() + budget)
    with (
        subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        ) as process,
        _passing_on(process.pid, nodes),
    ):
        for line in process.stdout or ():
            reported |= line.startswith("error: ")
            stopped = line if line.startswith(STOPPED) else stopped
            tell(terminal, line.rstrip("\n"))
    if stopped:
        requeue(stopped)
        return UNFINISHED
    if process.returncode == 0:
        return 0
    if not reported:
        launcher = "srun" if nodes > 1 else "torchrun"
        # torchrun ends with status 1 however its rank ended.
        killed = process.returncode in (-9, 137) or memory().kills > before.kills
        why = f"a rank was killed: {told_of_kill(before)}" if killed else "a rank failed"
        tell(terminal, f"error: {why}, {launcher} ended with status {process.returncode}; see the log")
    return 2 if reported else 1


@contextmanager
def _passing_on(launcher: int, nodes: int) -> Iterator[None]:
    """Pass the signals that ask this process to end on to the ranks of a launcher, by its process id.

    srun passes them on itself. torchrun would end the ranks after 30 seconds, in which not every job can save
    its state, so the ranks get the signal directly.
    """

    import psutil

    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(launcher)
            ranks = [each for each in process.children() if "ldreg.cli" in each.cmdline()]
            for each in ranks if nodes == 1 else [process]:
                each.send_signal(signal.SIGTERM)

    with handled_by(pass_on):
        yield


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
