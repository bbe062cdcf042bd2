"""The batches of an epoch. Images and views do not depend on the number of processes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.methods import METHODS
from ldreg.config.run_spec import RunSpec, ViewSettings
from ldreg.data.datasets import Split
from ldreg.data.decode import CorruptImages
from ldreg.data.folder import ImageFiles
from ldreg.data.loader import Share, load_views
from ldreg.data.views import make_view, view_seed
from ldreg.runtime.distributed import rank, world_size

# Streams of random numbers: views 0 and 1 of an image, the order of the images, and the masks.
ORDER, MASKS = 2, 3


class Batch(NamedTuple):
    """This process's share of a global batch, on its device."""

    inputs: tuple[Tensor, ...]  # the inputs of the method's networks; each has one row per image
    labels: Tensor  # int64 (n,), used only by the monitors


def batches(
    split: Split,
    spec: RunSpec,
    epoch: int,
    steps: int,
    workers: int = 0,
    device: torch.device | str = "cpu",
    corrupt: CorruptImages | None = None,
    begin: int = 0,
) -> Iterator[Batch]:
    """Yield this rank's share of each batch of an epoch: views (batch / ranks, channels, size, size).

    Batches before step `begin` are neither yielded nor made. There are one or two views. For a masked
    autoencoder uniform random numbers (batch / ranks, patches) follow, whose order selects the patches to
    mask. The order of images, the views and the masks depend only
    on (seed, epoch, step) and the position of an image in the batch. Views of a tensor are made on its
    device. Image files are decoded by `workers` processes, and their views are made on `device`. `corrupt`
    holds the policy for corrupt files and records them (`load_views`).
    """
    labels = split.labels
    generator = torch.Generator().manual_seed(view_seed(spec.seed, epoch, 0, ORDER) % 2**32)
    order = torch.randperm(len(labels), generator=generator)
    count = spec.batch_size // world_size()
    first = rank() * count
    numbers = range(begin, steps)
    chosen = [order[step * spec.batch_size + first :][:count] for step in numbers]
    views = range(len(spec.views))
    seeds = [tuple(view_seed(spec.seed, epoch, step, view) for view in views) for step in numbers]
    parts = [Part(rows, keys, first) for rows, keys in zip(chosen, seeds, strict=True)]
    made = views_of(split, parts, spec.image_size, spec.views, workers, device, corrupt)
    for step, rows, inputs in zip(numbers, chosen, made, strict=True):
        at = inputs[0].device
        if METHODS[spec.method].masks_patches:
            inputs.append(_noise(spec, epoch, step, first, count).to(at))
        yield Batch(tuple(inputs), labels[rows].to(at))


class Part(NamedTuple):
    """Images of a split that stand at consecutive places of a global batch."""

    rows: Tensor  # int64 (n,), of the split
    seeds: tuple[int, ...]  # `view_seed` of each view of the batch
    first: int  # place of the first image


def views_of(
    split: Split,
    parts: Sequence[Part],
    size: int,
    views: Sequence[ViewSettings],
    workers: int,
    device: torch.device | str,
    corrupt: CorruptImages | None = None,
) -> Iterator[list[Tensor]]:
    """For each part its views, each float32 (n, channels, size, size) in [0, 1], channels last in memory.

    Arguments are those of `batches` and `load_views`.
    """
    images = split.images
    if isinstance(images, ImageFiles):
        shares = [Share(images[part.rows], part.seeds, part.first) for part in parts]
        made = load_views(shares, size, views, workers, torch.device(device), images, corrupt)
    else:
        made = (
            [
                make_view(images[part.rows.to(images.device)], size, view, seed, part.first)
                for view, seed in zip(views, part.seeds, strict=True)
            ]
            for part in parts
        )
    for each in made:
        # The faster layout on CPUs and for half precision on GPUs.
        yield [view.contiguous(memory_format=torch.channels_last) for view in each]


def _noise(spec: RunSpec, epoch: int, step: int, first: int, count: int) -> Tensor:
    """Uniform numbers (count, patches), which depend on the position of an image in the global batch."""
    patches = (spec.image_size // BACKBONES[spec.backbone].patch) ** 2
    generator = np.random.Generator(np.random.Philox(key=view_seed(spec.seed, epoch, step, MASKS)))
    return torch.from_numpy(generator.random((first + count, patches), dtype=np.float32)[first:])
