"""Representations of a frozen encoder, extracted once for all measurements."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ldreg.data.datasets import Split
from ldreg.data.decode import CorruptImages
from ldreg.data.folder import ImageFiles
from ldreg.data.loader import load_eval_views
from ldreg.data.views import eval_view
from ldreg.neighbors import NotFiniteError


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Put `network` in eval mode inside the block, then restore the training flag of each submodule."""
    # network.train(was_training) would also affect submodules that the caller keeps in eval mode.
    flags = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield network
    finally:
        for module, training in flags.items():
            module.training = training


@torch.no_grad()
def extract(
    encoder: nn.Module,
    images: Tensor | ImageFiles,
    size: int,
    device: torch.device | str,
    batch_size: int = 512,
    workers: int = 0,
    corrupt: CorruptImages | None = None,
    test_view: str = "torchvision",
) -> Tensor:
    """Return the representations of `images` from the frozen encoder, in the order of the images.

    Images are resized without augmentation (`eval_view`); for files a central crop is used
    (`ldreg.data.loader.TEST_VIEWS`). The encoder runs in eval mode without gradients. Its weights, buffers
    and training flags do not change.

    Args:
        encoder: maps float images in [0, 1] (batch, channels, size, size) to (batch, dim); must be on
            `device`.
        images: uint8 (n, channels, height, width), on any device; or n files.
        size: height and width of the view in pixels.
        device: device of the encoder.
        batch_size: images per forward pass. It limits memory and affects results only by rounding.
        workers: number of processes that decode files; 0 decodes in this process.
        corrupt: policy for corrupt files. The default stops at the first. Skipped files have no row in the
            result; `represent` drops their labels, too.
        test_view: part of a file's image that is seen, a key of `TEST_VIEWS`. Tensors are small images, which
            are always seen whole.

    Returns:
        float32 (n, dim) on the CPU.

    Raises:
        ValueError: if there is no image, or if the output of the encoder is not (batch, dim).
        NotFiniteError: if representations are not finite (the error counts their rows).
        LdregError: if a file is corrupt and not skipped.
    """
    if len(images) == 0:
        raise ValueError("cannot extract representations: the split holds no image")
    device = torch.device(device)
    if isinstance(images, ImageFiles):
        views = load_eval_views(images, size, batch_size, workers, device, corrupt, test_view)
    else:
        views = (eval_view(batch.to(device), size) for batch in images.split(batch_size))
    parts = []
    with evaluating(encoder):
        for batch in views:
            output = encoder(batch)
            if output.shape[:1] != batch.shape[:1] or output.ndim != 2:
                raise ValueError(
                    f"the encoder must return ({len(batch)}, dim) representations, got {tuple(output.shape)}"
                )
            parts.append(output.float().cpu())
    features = torch.cat(parts)
    broken = int((~features.isfinite()).any(dim=1).sum())
    if broken:
        raise NotFiniteError(f"representations are not finite for {broken} of {len(features)} images")
    return features


def represent(
    encoder: nn.Module,
    split: Split,
    size: int,
    device: torch.device | str,
    workers: int = 0,
    corrupt: CorruptImages | None = None,
    test_view: str = "torchvision",
) -> tuple[Tensor, Tensor]:
    """Return representations (m, dim) and labels (m,) of the images of `split`, without skipped ones.

    Arguments and errors are those of `extract`.
    """
    features = extract(
        encoder, split.images, size, device, workers=workers, corrupt=corrupt, test_view=test_view
    )
    if corrupt is None or isinstance(split.images, Tensor):
        return features, split.labels
    return features, split.labels[corrupt.readable(split.images)]
