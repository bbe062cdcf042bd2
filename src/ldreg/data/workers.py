"""What worker processes hand over, where shared memory is small or the kernel kills a worker."""

import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader

from ldreg.errors import LdregError
from ldreg.runtime.container import memory, shared_memory_free, told_of_kill

# What the results of one worker that wait to be taken may need: two chunks of ImageNet's crops, or a batch of
# large images with masks.
_PER_WORKER = 128 * 2**20


def collate_for(workers: int) -> Callable[[Any], bytes] | None:
    """Return how workers hand over their results: None through shared memory, as is usual and fastest.

    Containers often have 64 MB of /dev/shm, beyond which a worker dies of a bus error. There the results go
    through pipes as bytes, which `received` turns back.
    """
    free = shared_memory_free()
    if not workers or free is None or free >= workers * _PER_WORKER:
        return None
    print(
        f"/dev/shm has {free / 2**20:.0f} MiB free, which is little for {workers} workers: images go through"
        " pipes, at some loss of time; give the container more (docker run --shm-size 8g)",
        file=sys.stderr,
        flush=True,
    )
    return pickle.dumps


def received(loader: DataLoader) -> Iterator[Any]:
    """Yield the results of the loader's tasks in order.

    Raises:
        LdregError: if a worker was killed; the error says why, as far as that is known.
    """
    before = memory()
    try:
        for result in loader:
            # These bytes come from our own worker.
            yield pickle.loads(result) if isinstance(result, bytes) else result
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        why = told_of_kill(before)
        if "Bus error" in str(error):
            why = "/dev/shm is full; docker run --shm-size 8g gives more, or lower execution.workers"
        raise LdregError(f"a process that decodes images was killed: {why}") from error
