"""From image files to batches on the device: decoded and cut in worker processes, finished on the device.

What a worker makes depends on its task alone, so the number of workers changes nothing but the speed.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ldreg.data.augment import draw, finish_view
from ldreg.data.folder import ImageFiles
from ldreg.errors import LdregError
from ldreg.spec import ViewSettings

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
    shares: Sequence[Share], size: int, views: Sequence[ViewSettings], workers: int, device: torch.device
) -> Iterator[list[Tensor]]:
    """The augmented views of each share: what `make_view` makes, but cut out in workers.

    Crops are antialiased and, as torchvision's, of whole pixels.

    Args:
        shares: With one seed per view.
        size: Height and width of a view in pixels.
        views: The settings of each view.
        workers: Processes that decode; 0 decodes in this one.
        device: Where the views are finished.

    Yields:
        For each share one float32 tensor (n, 3, size, size) in [0, 1] per view.

    Raises:
        LdregError: At an image that cannot be decoded, naming its path.
    """
    cut = partial(random_crops, size=size, views=tuple(views))
    for share, crops in zip(shares, _load(cut, shares, workers, device), strict=True):
        yield [
            finish_view(crops[:, index], settings, seed, share.first)
            for index, (settings, seed) in enumerate(zip(views, share.seeds, strict=True))
        ]


def load_eval_views(
    images: ImageFiles, size: int, batch_size: int, workers: int, device: torch.device
) -> Iterator[Tensor]:
    """Batches (n, 3, size, size) for evaluation, float32 in [0, 1]; errors as those of `load_views`."""
    shares = [Share(part) for part in images.split(batch_size)]
    for crops in _load(partial(central_crops, size=size), shares, workers, device):
        yield crops[:, 0].float() / 255


def random_crops(task: Share, size: int, views: Sequence[ViewSettings]) -> Tensor:
    """Decode each image once and cut its views out of it: uint8 (n, views, size, size, 3)."""
    images = [read_image(path) for path in task.images.paths]
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
    return torch.from_numpy(made)


def central_crops(task: Share, size: int) -> Tensor:
    """The views for evaluation, nothing random: uint8 (n, 1, size, size, 3).

    Resized bilinearly so that the central `CENTER` of the shorter side fills the view: as torchvision's
    Resize(256) and CenterCrop(224) for size 224.
    """
    shorter = round(size / CENTER)
    made = np.empty((len(task.images), 1, size, size, 3), dtype=np.uint8)
    for row, path in enumerate(task.images.paths):
        image = read_image(path)
        least = min(image.size)
        width, height = shorter * image.width // least, shorter * image.height // least
        left, top = round((width - size) / 2), round((height - size) / 2)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        made[row, 0] = np.asarray(image.crop((left, top, left + size, top + size)))
    return torch.from_numpy(made)


def whole_pixels(crop: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels of a crop (left, top, width, height) in fractions of the image.

    Size and place are rounded to the nearest pixel, the size as in torchvision's RandomResizedCrop.

    >>> whole_pixels((0.5, 0.25, 0.5, 0.5), width=11, height=8)
    (5, 2, 11, 6)
    """
    across, down = max(1, round(crop[2] * width)), max(1, round(crop[3] * height))
    left, top = min(round(crop[0] * width), width - across), min(round(crop[1] * height), height - down)
    return left, top, left + across, top + down


def read_image(path: str) -> Image.Image:
    """The image at `path`, wholly decoded, as RGB.

    Raises:
        LdregError: If there is none, or it is damaged; the message names the path.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except Exception as error:  # decoders of damaged files raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise LdregError(
            f"{path}: the image cannot be read ({reason}); replace it or remove it and prepare again"
        ) from error


class _Tasks(Dataset):
    """What workers run: `cut` on each task that comes to them."""

    def __init__(self, cut: Callable[[Share], Tensor]) -> None:
        self.cut = cut

    def __getitem__(self, task: Share) -> Tensor | LdregError:
        try:
            return self.cut(task)
        except LdregError as error:
            return error  # raised in the worker, it would come back with a traceback for a message


def _load(
    cut: Callable[[Share], Tensor], shares: Sequence[Share], workers: int, device: torch.device
) -> Iterator[Tensor]:
    """`cut` of each share on the device, (n, views, 3, size, size) in channels-last memory."""
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
            parts = []
            for part in islice(results, len(share.chunks())):
                if isinstance(part, LdregError):
                    raise part
                parts.append(part.to(device, non_blocking=True))
            yield torch.cat(parts).permute(0, 1, 4, 2, 3)
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
