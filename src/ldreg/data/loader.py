"""From image files to batches on the device: decoded and cut in worker processes, finished on the device.

What a worker makes depends on its task alone, so the number of workers changes nothing but the speed.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ldreg.config.run_spec import ViewSettings
from ldreg.data.decode import CorruptImages, read_images
from ldreg.data.folder import ImageFiles
from ldreg.data.views import draw, finish_view
from ldreg.errors import LdregError

CHUNK = 64  # images of one task: small enough that no batch waits for one worker, and cheap to hand over
CENTER = 0.875  # of the shorter side is seen in evaluation (LDReg's Table 9)
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Share(NamedTuple):
    """Images at consecutive places of a global batch."""

    images: ImageFiles
    seeds: tuple[int, ...] = ()  # `view_seed` of the batch's views
    first: int = 0  # place of the first image

    def chunks(self) -> list["Share"]:
        """The same in parts of at most `CHUNK` images, one task each."""
        parts = self.images.split(CHUNK)
        return [Share(part, self.seeds, self.first + i * CHUNK) for i, part in enumerate(parts)]


class Cut(NamedTuple):
    """What is cut out of the images of a `Share`."""

    crops: Tensor  # uint8 (n, views, size, size, 3)
    corrupt: dict[int, str]  # row to reason, where the image is corrupt and the crops mean nothing


def check_views(views: Sequence[ViewSettings]) -> None:
    """Refuse settings that files cannot be given.

    Raises:
        LdregError: If a view is rotated.
    """
    if greatest := max(settings.rotation for settings in views):
        raise LdregError(
            f"augmentations.yaml: rotation: {greatest} is not allowed for images that stay files; allowed: 0"
        )


def load_views(
    shares: Sequence[Share],
    size: int,
    views: Sequence[ViewSettings],
    workers: int,
    device: torch.device,
    split: ImageFiles | None = None,
    corrupt: CorruptImages | None = None,
) -> Iterator[list[Tensor]]:
    """The augmented views of each share: what `make_view` makes, but cut out in workers.

    Crops are antialiased and, as torchvision's, of whole pixels.

    Where images are skipped, the row of a corrupt one shows the next image of `split` that is none, in the
    order of the split, from its end on to its beginning, under the views that were drawn for that row. So it
    depends on neither ranks, workers nor what was read before. It is nearly always of the same class; and
    should it be in the batch already, its views there are others, so no two rows are equal.

    Args:
        shares: With one seed per view.
        size: Height and width of a view in pixels.
        views: The settings of each view.
        workers: Processes that decode; 0 decodes in this one.
        device: Where the views are finished.
        split: The whole split that the shares are taken from; needed where corrupt images are skipped.
        corrupt: What happens at corrupt images; they are noted in it. By default the first one stops.

    Yields:
        For each share one float32 tensor (n, 3, size, size) in [0, 1] per view.

    Raises:
        LdregError: At an image that is corrupt and not skipped, or that is not there, naming its path; if the
            split holds no image but corrupt ones.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    cut = partial(random_crops, size=size, views=tuple(views))
    with closing(_load(cut, shares, workers, device, corrupt)) as loaded:
        for share, (crops, rows) in zip(shares, loaded, strict=True):
            for row in rows:
                crops[row] = _next_readable(cut, share, row, split, corrupt).to(device)
            crops = crops.permute(0, 1, 4, 2, 3)
            yield [
                finish_view(crops[:, index], settings, seed, share.first)
                for index, (settings, seed) in enumerate(zip(views, share.seeds, strict=True))
            ]


def load_eval_views(
    images: ImageFiles,
    size: int,
    batch_size: int,
    workers: int,
    device: torch.device,
    corrupt: CorruptImages | None = None,
) -> Iterator[Tensor]:
    """Batches (n, 3, size, size) for evaluation, float32 in [0, 1]; errors as those of `load_views`.

    Where images are skipped, corrupt ones are left out, and batches have fewer rows. Which are left is known
    when all have been seen: `corrupt.readable(images)`.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    shares = [Share(part) for part in images.split(batch_size)]
    seen = 0
    with closing(_load(partial(central_crops, size=size), shares, workers, device, corrupt)) as loaded:
        for share, (crops, _) in zip(shares, loaded, strict=True):
            # Not this pass's findings alone: a file that was mended since an earlier one stays out, so that
            # `readable` tells the truth.
            kept = corrupt.readable(share.images)
            crops = crops if kept.all() else crops[kept.to(device)]
            seen += len(crops)
            if len(crops):
                yield crops[:, 0].permute(0, 3, 1, 2).float() / 255
    if len(images) and not seen:
        raise _none_readable(images)


def random_crops(task: Share, size: int, views: Sequence[ViewSettings]) -> Cut:
    """Decode each image once and cut its views out of it: crops (n, views, size, size, 3)."""
    images, corrupt = read_images(task.images)
    aspect = torch.tensor([image.width / image.height for image in images], dtype=torch.float64)
    made = np.empty((len(images), len(views), size, size, 3), dtype=np.uint8)
    for index, (settings, seed) in enumerate(zip(views, task.seeds, strict=True)):
        drawn = draw(settings, len(images), seed, task.first, aspect)
        for row, (image, crop, flip) in enumerate(
            zip(images, drawn.crop.tolist(), drawn.flip.tolist(), strict=True)
        ):
            box = whole_pixels(crop, image.width, image.height)
            view = np.asarray(image.crop(box).resize((size, size), _RESAMPLING[settings.interpolation]))
            made[row, index] = view[:, ::-1] if flip else view
    return Cut(torch.from_numpy(made), corrupt)


def central_crops(task: Share, size: int) -> Cut:
    """The views for evaluation, nothing random: crops (n, 1, size, size, 3).

    Resized bilinearly so that the central `CENTER` of the shorter side fills the view: as torchvision's
    Resize(256) and CenterCrop(224) for size 224.
    """
    shorter = round(size / CENTER)
    images, corrupt = read_images(task.images)
    made = np.empty((len(images), 1, size, size, 3), dtype=np.uint8)
    for row, image in enumerate(images):
        least = min(image.size)
        width, height = shorter * image.width // least, shorter * image.height // least
        left, top = round((width - size) / 2), round((height - size) / 2)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        made[row, 0] = np.asarray(image.crop((left, top, left + size, top + size)))
    return Cut(torch.from_numpy(made), corrupt)


def whole_pixels(crop: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels of a crop (left, top, width, height) in fractions of the image.

    Size and place are rounded to the nearest pixel, the size as in torchvision's RandomResizedCrop.

    >>> whole_pixels((0.5, 0.25, 0.5, 0.5), width=11, height=8)
    (5, 2, 11, 6)
    """
    across, down = max(1, round(crop[2] * width)), max(1, round(crop[3] * height))
    left, top = min(round(crop[0] * width), width - across), min(round(crop[1] * height), height - down)
    return left, top, left + across, top + down


def _next_readable(
    cut: Callable[[Share], Cut], share: Share, row: int, split: ImageFiles | None, corrupt: CorruptImages
) -> Tensor:
    """The crops (views, size, size, 3) that `row` of `share`, whose image is corrupt, shows in its place."""
    if split is None:
        raise ValueError("to skip corrupt images, load_views needs the split that they are taken from")
    place = split.names.index(share.images.names[row])
    for name in chain(split.names[place + 1 :], split.names[:place]):
        other = ImageFiles(split.folder, [name])
        made = cut(Share(other, share.seeds, share.first + row))
        if not made.corrupt:
            return made.crops[0]
        corrupt.add(other.paths[0], made.corrupt[0])
    raise _none_readable(split)


def _none_readable(images: ImageFiles) -> LdregError:
    return LdregError(
        f"{images.folder}: none of {len(images)} images can be read; {images.names[0]} is the first"
    )


class _Tasks(Dataset):
    """What workers run: `cut` on each task that comes to them."""

    def __init__(self, cut: Callable[[Share], Cut]) -> None:
        self.cut = cut

    def __getitem__(self, task: Share) -> Cut | LdregError:
        try:
            return self.cut(task)
        except LdregError as error:
            return error  # raised in the worker, it would come back with a traceback for a message


def _load(
    cut: Callable[[Share], Cut],
    shares: Sequence[Share],
    workers: int,
    device: torch.device,
    corrupt: CorruptImages,
) -> Iterator[Cut]:
    """`cut` of each share, its crops on the device; `corrupt` is told of each corrupt image, in order."""
    loader = DataLoader(
        _Tasks(cut),
        batch_size=None,
        # Each task carries all that it needs: the lists of a million names stay in this process.
        sampler=chain.from_iterable(share.chunks() for share in shares),
        num_workers=workers,
        multiprocessing_context=_context() if workers else None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it would draw from the global random state
    )
    results = iter(loader)
    try:
        for share in shares:
            parts, rows = [], {}
            for number, part in enumerate(islice(results, len(share.chunks()))):
                if isinstance(part, LdregError):
                    raise part
                for row, reason in part.corrupt.items():
                    rows[number * CHUNK + row] = reason
                    corrupt.add(share.images.paths[number * CHUNK + row], reason)
                parts.append(part.crops.to(device, non_blocking=True))
            yield Cut(torch.cat(parts), rows)
    finally:
        del results  # its workers end now; left to an error's traceback, they would stay


def _context() -> multiprocessing.context.BaseContext:
    """Workers are forked from a clean server that has imported this module once.

    Forking this process instead would take along the locks of its other threads (MLflow's, NCCL's), and some
    worker would wait for one of them for ever.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
