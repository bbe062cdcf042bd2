"""GPUs of this machine: whether there are enough, and which ones this process takes among several jobs."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ldreg.errors import LdregError
from ldreg.runtime.locks import host_lock
from ldreg.runtime.ranks import is_rank

_WAIT = 1.0  # seconds between two checks for a free GPU
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_CLAIMED = "LDREG_CLAIMED_GPUS"  # the value of `_VISIBLE` that this process or a parent of it has claimed


def check_gpus(gpus: int) -> None:
    """Check that at least `gpus` GPUs are visible.

    Raises:
        LdregError: if there are fewer; the error names the key that sets the number.
    """
    if gpus == 0:
        return
    if gpus < 0:
        raise LdregError(f"execution.gpus: {gpus} is not allowed; it should be 0 (the CPU) or more")
    found = len(visible_gpus())
    if any(name.startswith("MIG-") for name in _listed() or ()) and gpus > 1:
        raise LdregError(
            f"execution.gpus: {gpus} is not allowed with the parts of GPUs (MIG) that {_VISIBLE} lists, since"
            " a process can use one alone; allowed: 1"
        )
    # With `srun --gpus-per-task=1` each rank sees its own GPU alone.
    if found < gpus and not (is_rank() and found == 1):
        raise LdregError(
            f"execution.gpus: {gpus}, but this machine shows {found}; run where there are as many, or give"
            " another number: --config 'execution={gpus: 0}' (0 is the CPU)"
        )


def visible_gpus() -> list[str]:
    """The names of the GPUs that this process may use: indices, or the UUIDs in `CUDA_VISIBLE_DEVICES`."""
    listed = _listed()
    if listed and listed[0].startswith("MIG-"):
        # torch would start CUDA to count these, and CUDA reads the variable only once.
        return list(dict.fromkeys(name for name in listed if name.startswith("MIG-")))
    import torch

    count = torch.cuda.device_count()
    return [str(index) for index in range(count)] if listed is None else listed[:count]


def _listed() -> list[str] | None:
    """The names in `CUDA_VISIBLE_DEVICES`; None if it is not set."""
    value = os.environ.get(_VISIBLE)
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


@contextmanager
def claimed_gpus(gpus: int) -> Iterator[None]:
    """Reserve `gpus` GPUs for this process inside the block, and make only these visible to it.

    Snakemake limits the number of GPUs in use but does not assign them, so all local jobs would use the first
    GPU. If too few GPUs are free, this function waits. It reserves among the GPUs that are visible, so what a
    scheduler has assigned to this job stays this job's. Nothing is reserved in a rank, which uses the GPUs of
    its parent or of its task, or in any other process whose parent has claimed exactly what is visible.
    """
    before = {name: os.environ.get(name) for name in (_VISIBLE, _CLAIMED)}
    if gpus == 0 or is_rank() or before[_CLAIMED] == before[_VISIBLE] is not None:
        yield
        return
    told = False
    while True:
        with ExitStack() as held:
            mine: list[str] = []
            for name, identity in _identities(visible_gpus()).items():
                if len(mine) < gpus and (lock := host_lock(f"gpu {identity}")) is not None:
                    held.callback(lock.close)
                    mine.append(name)
            if len(mine) == gpus:
                os.environ[_VISIBLE] = os.environ[_CLAIMED] = ",".join(mine)
                try:
                    yield
                finally:
                    _restore(before)
                return
        if not told:
            print("waiting for a GPU: other jobs use those that are visible", file=sys.stderr, flush=True)
            told = True
        time.sleep(_WAIT)


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _identities(names: list[str]) -> dict[str, str]:
    """Map each name of a visible GPU to a name that no other GPU of this machine has.

    An index counts the GPUs that a job may see, so in two jobs of a cluster it can mean different GPUs. The
    UUID, which NVIDIA's driver gives, means one GPU alone. Without the driver's library, an index means a GPU
    of this job's allocation.
    """
    uuids = _uuids()
    allocation = "-".join(os.environ.get(f"SLURM_{name}", "") for name in ("JOB_ID", "STEP_ID"))

    def identity(name: str) -> str:
        if name.isdigit():
            return uuids[int(name)] if int(name) < len(uuids) else f"{allocation}/{name}"
        # A UUID may be abbreviated as long as it is unique.
        return next((uuid for uuid in uuids if uuid.startswith(name)), name)

    return {name: identity(name) for name in names}


def _uuids() -> list[str]:
    """The UUIDs of the GPUs that the driver shows to this process; empty if it cannot be asked."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            return [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # the library or the driver is missing, or refuses
        return []
