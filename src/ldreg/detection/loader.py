"""Batches of images and objects, decoded in worker processes whose results depend only on their tasks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ldreg.data.decode import CorruptImageError, CorruptImages
from ldreg.data.workers import collate_for, received
from ldreg.detection.coco import CocoSet, Target, Task, decode
from ldreg.errors import LdregError
from ldreg.runtime.distributed import rank, world_size

Batch = tuple[list[Tensor], list[Target]]
Sample = tuple[Tensor, Target]  # uint8 image


class Corrupt(NamedTuple):
    """A worker's result for an image that cannot be decoded."""

    task: Task
    reason: str


class _Decoder(Dataset):
    """The data set of the workers: `decode` applied to each task of a batch."""

    def __getitem__(self, tasks: Sequence[Task]) -> list[Sample | Corrupt] | LdregError:
        try:
            return [_decoded(task) for task in tasks]
        except LdregError as error:
            return error  # if the worker raised it, its message would be a traceback


def _decoded(task: Task) -> Sample | Corrupt:
    try:
        return decode(task)
    except CorruptImageError as error:
        return Corrupt(task, str(error))


def worker_pool(dataset: Dataset, batches: Iterable, workers: int, pin_memory: bool = False) -> DataLoader:
    """Load `dataset[batch]` for each of `batches` in order by `workers` processes (0: in this process)."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        collate_fn=collate_for(workers),
        # As in ldreg.data.loader: forking this process would copy locks that its other threads hold.
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # otherwise the loader draws from the global random state
    )


def load_tasks(
    batches: Iterable[Sequence[Task]],
    workers: int,
    device: torch.device,
    corrupt: CorruptImages | None = None,
    stand_in: Callable[[Task], Sample] | None = None,
) -> Iterator[Batch]:
    """Yield the images, float32 (3, height, width) in [0, 1], and targets of each batch, on the device.

    Args:
        batches: tasks of each batch.
        workers: number of processes that decode; 0 decodes in this process.
        device: device of the result.
        corrupt: policy for corrupt images, which also records them. The default stops at the first.
        stand_in: returns the replacement for a corrupt image; None leaves the image out of its batch.

    Raises:
        LdregError: in the cases of `decode`, and if an image is corrupt and not skipped.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    for samples in received(worker_pool(_Decoder(), batches, workers, pin_memory=device.type == "cuda")):
        if isinstance(samples, LdregError):
            raise samples
        kept = []
        for sample in samples:
            if isinstance(sample, Corrupt):
                corrupt.add(str(sample.task.path), sample.reason)
                if stand_in is None:
                    continue
                sample = stand_in(sample.task)
            kept.append(sample)
        images = [image.to(device, non_blocking=True).float() / 255 for image, _ in kept]
        targets = [
            {key: value.to(device, non_blocking=True) for key, value in target.items()} for _, target in kept
        ]
        yield images, targets


def stand_ins(data: CocoSet, corrupt: CorruptImages) -> Callable[[Task], Sample]:
    """Return a function that maps the task of a corrupt image to the sample that replaces it in training.

    The replacement is the next readable image with objects in the order of ids; the last id is followed by
    the first. A wide image is replaced by a wide one if there is any, and a tall one by a tall one. The
    replacement depends neither on ranks nor on workers.

    Raises:
        LdregError: raised by the returned function if there is no readable image.
    """
    order = data.trainable()

    def find(task: Task) -> Sample:
        place = order.index(task.image_id)
        others = [data.bare_task(image_id) for image_id in order[place + 1 :] + order[:place]]
        for other in sorted(others, key=lambda each: _wide(each) != _wide(task)):
            try:
                return decode(data.task(other.image_id, task.flip))
            except CorruptImageError as error:
                corrupt.add(str(other.path), str(error))
        raise LdregError(f"{data.images}: none of {len(order)} images can be read; {task.path} is one")

    return find


def training_batches(data: CocoSet, size: int, flip: float, seed: int) -> Iterator[list[Task]]:
    """Yield this rank's share of an endless sequence of batches, with every image once per pass.

    As in detectron2, a batch contains only wide or only tall images, to reduce padding. The order is random
    and depends on the seed. The images of a single rank also depend on the number of ranks.

    Args:
        data: the split.
        size: images per batch over all ranks.
        flip: probability that an image is mirrored.
        seed: seed of the order and of the flips.
    """
    share = size // world_size()
    waiting: dict[bool, list[Task]] = {True: [], False: []}
    for image_id, flipped in _stream(data.trainable(), flip, seed):
        task = data.task(image_id, flipped)
        group = waiting[_wide(task)]
        group.append(task)
        if len(group) == share:
            yield group.copy()
            group.clear()


def _wide(task: Task) -> bool:
    return task.width > task.height


def _stream(image_ids: Sequence[int], flip: float, seed: int) -> Iterator[tuple[int, bool]]:
    """Yield every `world_size`-th image of an endless random stream, which is the same on all ranks."""
    generator = np.random.default_rng(seed)
    place = 0
    while True:
        order = generator.permutation(len(image_ids))
        flips = generator.random(len(image_ids)) < flip
        for number, flipped in zip(order.tolist(), flips.tolist(), strict=True):
            if place % world_size() == rank():
                yield image_ids[number], flipped
            place += 1
