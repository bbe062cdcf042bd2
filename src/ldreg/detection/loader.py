"""Batches of images and objects, decoded in worker processes; what these make depends on the task alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ldreg.data.decode import CorruptImageError, CorruptImages
from ldreg.detection.coco import CocoSet, Target, Task, decode
from ldreg.errors import LdregError
from ldreg.runtime.distributed import rank, world_size

Batch = tuple[list[Tensor], list[Target]]
Sample = tuple[Tensor, Target]  # uint8 image


class Corrupt(NamedTuple):
    """What a worker makes of an image that cannot be decoded."""

    task: Task
    reason: str


class _Decoder(Dataset):
    """What workers run: `decode` on each task of a batch."""

    def __getitem__(self, tasks: Sequence[Task]) -> list[Sample | Corrupt] | LdregError:
        try:
            return [_decoded(task) for task in tasks]
        except LdregError as error:
            return error  # raised in the worker, it would come back with a traceback for a message


def _decoded(task: Task) -> Sample | Corrupt:
    try:
        return decode(task)
    except CorruptImageError as error:
        return Corrupt(task, str(error))


def worker_pool(dataset: Dataset, batches: Iterable, workers: int, pin_memory: bool = False) -> DataLoader:
    """`dataset[batch]` of each of `batches`, in order, by `workers` processes (0: in this one)."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        # As in ldreg.data.loader: a fork of this process would take along its other threads' locks.
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else it would draw from the global random state
    )


def load_tasks(
    batches: Iterable[Sequence[Task]],
    workers: int,
    device: torch.device,
    corrupt: CorruptImages | None = None,
    stand_in: Callable[[Task], Sample] | None = None,
) -> Iterator[Batch]:
    """Images, float32 (3, height, width) in [0, 1], and targets of each batch, on the device.

    Args:
        corrupt: what happens at images that cannot be decoded; they are noted in it. The default stops.
        stand_in: makes what is shown in the place of such an image; without, it is left out of its batch.

    Raises:
        LdregError: those of `decode`; at an image that is corrupt and not skipped.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    for samples in worker_pool(_Decoder(), batches, workers, pin_memory=device.type == "cuda"):
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
    """A function from the task of a corrupt image to the sample that is trained on in its place.

    It is the next image with objects that can be read, in the order of ids, from the last on to the first; a
    wide one for a wide one, where there is one. So it depends on neither ranks nor workers.

    Raises:
        LdregError: by the function, if there is none.
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
    """This rank's share of endless batches: every image once in each pass, in a random order.

    A batch is of wide images or of tall ones alone, as in detectron2, so that little of it is padding. The
    order depends on the seed; that of one rank's images, also on the number of ranks.

    Args:
        size: images of a batch over all ranks.
        flip: probability that an image is mirrored.
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
    """Every `world_size`-th image of an endless stream that all ranks draw alike."""
    generator = np.random.default_rng(seed)
    place = 0
    while True:
        order = generator.permutation(len(image_ids))
        flips = generator.random(len(image_ids)) < flip
        for number, flipped in zip(order.tolist(), flips.tolist(), strict=True):
            if place % world_size() == rank():
                yield image_ids[number], flipped
            place += 1
