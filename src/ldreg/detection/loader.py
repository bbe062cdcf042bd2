"""Batches of images and objects, decoded in worker processes; what these make depends on the task alone."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ldreg.detection.coco import CocoSet, Target, Task, decode
from ldreg.distributed import rank, world_size
from ldreg.errors import LdregError

Batch = tuple[list[Tensor], list[Target]]


class _Decoder(Dataset):
    """What workers run: `decode` on each task of a batch."""

    def __getitem__(self, tasks: Sequence[Task]) -> list[tuple[Tensor, Target]] | LdregError:
        try:
            return [decode(task) for task in tasks]
        except LdregError as error:
            return error  # raised in the worker, it would come back with a traceback for a message


def load_tasks(batches: Iterable[Sequence[Task]], workers: int, device: torch.device) -> Iterator[Batch]:
    """Images, float32 (3, height, width) in [0, 1], and targets of each batch, on the device.

    Raises:
        LdregError: those of `decode`.
    """
    loader = DataLoader(
        _Decoder(),
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        # As in ldreg.data.loader: a fork of this process would take along its other threads' locks.
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it would draw from the global random state
    )
    for samples in loader:
        if isinstance(samples, LdregError):
            raise samples
        images = [image.to(device, non_blocking=True).float() / 255 for image, _ in samples]
        targets = [
            {key: value.to(device, non_blocking=True) for key, value in target.items()}
            for _, target in samples
        ]
        yield images, targets


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
        group = waiting[task.width > task.height]
        group.append(task)
        if len(group) == share:
            yield group.copy()
            group.clear()


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
