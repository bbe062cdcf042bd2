"""GPUs to processes: one GPU runs in this process, several under torchrun with one rank each."""

import subprocess
import sys
from typing import TextIO

from ldreg.errors import LdregError


def check_gpus(gpus: int) -> None:
    """Refuse to start where fewer GPUs are visible than the run was given.

    Raises:
        LdregError: naming the key that says how many.
    """
    if gpus == 0:
        return
    import torch

    if (found := torch.cuda.device_count()) < gpus:
        raise LdregError(
            f"execution.gpus: {gpus}, but this machine shows {found}; run where there are as many, or give"
            " another number: --config 'execution={gpus: 0}' (0 is the CPU)"
        )


def torchrun(gpus: int, arguments: list[str], terminal: TextIO) -> int:
    """Run `ldreg` with these arguments as `gpus` ranks on this machine; returns the exit status."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
    # The ranks redirect their own output to the log; what is left for the terminal must reach it.
    return subprocess.run([*command, "-m", "ldreg.cli", *arguments], stderr=terminal, check=False).returncode
