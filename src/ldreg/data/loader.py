"""Views of image files: worker processes decode and crop them, and the device computes all other operations.

The result of a worker depends only on its task, so the number of workers changes nothing but the speed.
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
from ldreg.data.workers import collate_for, received
from ldreg.errors import LdregError

CHUNK = 64  # images per task: few enough to share a batch among workers, enough to keep overhead small
CENTER = 0.875  # fraction of a test image's sides that evaluation sees
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Share(NamedTuple):
    """Images at consecutive positions of a global batch."""

    images: ImageFiles
    seeds: tuple[int, ...] = ()  # the batch's seed for each view, see `view_seed`
    first: int = 0  # position of the first image in the global batch

    def chunks(self) -> list["Share"]:
        """Split into tasks of at most `CHUNK` images."""
        parts = self.images.split(CHUNK)
        return [Share(part, self.seeds, self.first + i * CHUNK) for i, part in enumerate(parts)]


class Cut(NamedTuple):
    """The crops of the images of a `Share`."""

    crops: Tensor  # uint8 (n, views, size, size, 3)
    corrupt: dict[int, str]  # by row: why the image is corrupt; its crops are meaningless


def check_views(views: Sequence[ViewSettings]) -> None:
    """Check that image files support the settings of the views.

    Raises:
        LdregError: if a view has a rotation.
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
    """Yield the augmented views of each share. They are those of `make_view`, but workers cut the crops.

    Crops are antialiased and, as in torchvision, have whole pixels.

    If corrupt images are skipped, the next readable image in the order of `split` replaces a corrupt one; the
    last image is followed by the first. It is shown with the view parameters that were drawn for the row. The
    replacement therefore depends neither on ranks or workers nor on what was read before. It nearly always
    has the same class. If it is in the batch already, its views there have other parameters, so no two rows
    are equal.

    Args:
        shares: images of each batch, with one seed per view.
        size: height and width of a view in pixels.
        views: settings of each view.
        workers: number of processes that decode; 0 decodes in this process.
        device: device of the returned views.
        split: the whole split that contains the shares; required if corrupt images are skipped.
        corrupt: policy for corrupt images, which also records them. The default stops at the first one.

    Yields:
        For each share one float32 tensor (n, 3, size, size) in [0, 1] per view.

    Raises:
        LdregError: if an image is missing, or is corrupt and not skipped (the error names its path); if all
            images of the split are corrupt.
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
    test_view: str = "torchvision",
) -> Iterator[Tensor]:
    """Yield batches (n, 3, size, size) for evaluation, float32 in [0, 1]. Errors are those of `load_views`.

    `test_view` is a key of `TEST_VIEWS`, which says what part of an image is seen.

    If corrupt images are skipped, they are left out and batches have fewer rows. After the last batch,
    `corrupt.readable(images)` tells which images were used.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    cut = partial(eval_crops, size=size, test_view=test_view)
    shares = [Share(part) for part in images.split(batch_size)]
    seen = 0
    with closing(_load(cut, shares, workers, device, corrupt)) as loaded:
        for share, (crops, _) in zip(shares, loaded, strict=True):
            # An image that was corrupt in an earlier pass is left out, too, even if its file has been
            # repaired since. Otherwise `readable` would be wrong.
            kept = corrupt.readable(share.images)
            crops = crops if kept.all() else crops[kept.to(device)]
            seen += len(crops)
            if len(crops):
                yield crops[:, 0].permute(0, 3, 1, 2).float() / 255
    if len(images) and not seen:
        raise _none_readable(images)


def random_crops(task: Share, size: int, views: Sequence[ViewSettings]) -> Cut:
    """Decode each image once and cut a random crop per view: (n, views, size, size, 3)."""
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


def shorter_side_view(image: Image.Image, size: int) -> Image.Image:
    """The central square of the shorter side's `CENTER`, resized bilinearly to size x size.

    As torchvision's Resize(256) and CenterCrop(224) for size 224: proportions stay, and of a long image the
    ends are not seen.
    """
    shorter, least = round(size / CENTER), min(image.size)
    width, height = shorter * image.width // least, shorter * image.height // least
    left, top = round((width - size) / 2), round((height - size) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + size, top + size))


def squashed_view(image: Image.Image, size: int) -> Image.Image:
    """The central `CENTER` of the width and of the height, resized bicubically to size x size.

    As the LDReg authors' code tests on ImageNet: all of a long image is seen but its margins, and it is
    squashed to a square. They crop first, which keeps what lies beyond the crop out of the interpolation.
    """
    width, height = int(image.width * CENTER), int(image.height * CENTER)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    cropped = image.crop((left, top, left + width, top + height))
    return cropped.resize((size, size), Image.Resampling.BICUBIC)


# What evaluation sees of image files, by name.
TEST_VIEWS = {"torchvision": shorter_side_view, "authors": squashed_view}


def eval_crops(task: Share, size: int, test_view: str) -> Cut:
    """The views for evaluation, nothing random: crops (n, 1, size, size, 3)."""
    images, corrupt = read_images(task.images)
    made = np.empty((len(images), 1, size, size, 3), dtype=np.uint8)
    for row, image in enumerate(images):
        made[row, 0] = np.asarray(TEST_VIEWS[test_view](image, size))
    return Cut(torch.from_numpy(made), corrupt)


def whole_pixels(crop: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Convert a crop (left, top, width, height) in fractions to pixels (left, top, right, bottom).

    Size and position are rounded to the nearest pixel, the size as in torchvision's RandomResizedCrop.

    >>> whole_pixels((0.5, 0.25, 0.5, 0.5), width=11, height=8)
    (5, 2, 11, 6)
    """
    across, down = max(1, round(crop[2] * width)), max(1, round(crop[3] * height))
    left, top = min(round(crop[0] * width), width - across), min(round(crop[1] * height), height - down)
    return left, top, left + across, top + down


def _next_readable(
    cut: Callable[[Share], Cut], share: Share, row: int, split: ImageFiles | None, corrupt: CorruptImages
) -> Tensor:
    """Return the crops (views, size, size, 3) that replace the corrupt image at `row` of `share`."""
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
    """The data set of the workers: `cut` applied to each task."""

    def __init__(self, cut: Callable[[Share], Cut]) -> None:
        self.cut = cut

    def __getitem__(self, task: Share) -> Cut | LdregError:
        try:
            return self.cut(task)
        except LdregError as error:
            return error  # if the worker raised it, its message would be a traceback


def _load(
    cut: Callable[[Share], Cut],
    shares: Sequence[Share],
    workers: int,
    device: torch.device,
    corrupt: CorruptImages,
) -> Iterator[Cut]:
    """Yield `cut` of each share, with crops on the device; `corrupt` records corrupt images in order."""
    loader = DataLoader(
        _Tasks(cut),
        batch_size=None,
        # A task contains everything it needs, so the list of a million names stays in this process.
        sampler=chain.from_iterable(share.chunks() for share in shares),
        num_workers=workers,
        collate_fn=collate_for(workers),
        multiprocessing_context=_context() if workers else None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # otherwise the loader draws from the global random state
    )
    results = received(loader)
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
        del results  # ends the workers now; the traceback of an error would keep them alive


def _context() -> multiprocessing.context.BaseContext:
    """Fork workers from a clean server process that has imported this module once.

    Forking this process instead would copy the locks that its other threads (MLflow's, NCCL's) hold, and a
    worker could wait for such a lock forever.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
