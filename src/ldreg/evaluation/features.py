"""Frozen representations: one pass over a split feeds every measurement."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ldreg.data.datasets import Split
from ldreg.data.decode import CorruptImages
from ldreg.data.folder import ImageFiles
from ldreg.data.loader import load_eval_views
from ldreg.data.views import eval_view


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Put `network` in eval mode for the block; each submodule gets its own training flag back."""
    # Not network.train(was_training): that would unfreeze submodules which the caller keeps in eval mode.
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
) -> Tensor:
    """Representations of `images` under the frozen encoder, in their order.

    The images are resized without augmentation (`eval_view`); of files, the central crop is taken
    (`ldreg.data.loader.central_crops`). The encoder runs in eval mode without
    gradients; no weight and no buffer changes and its training flags are restored.

    Args:
        encoder: maps float images in [0, 1] (batch, channels, size, size) to (batch, dim); lies on `device`.
        images: uint8 (n, channels, height, width), on any device; or n files.
        size: height and width of the view in pixels.
        device: where the encoder runs.
        batch_size: images per forward pass; limits memory, changes no result beyond rounding.
        workers: processes that decode files; 0 decodes in this one.
        corrupt: what happens at corrupt files; the default stops. Skipped ones have no row (`represent`).

    Returns:
        float32 (n, dim) on the CPU.

    Raises:
        ValueError: no image, an encoder whose output is not (batch, dim), or a representation that is not
            finite (the message counts the rows).
        LdregError: a file that holds no image.
    """
    if len(images) == 0:
        raise ValueError("cannot extract representations: the split holds no image")
    device = torch.device(device)
    if isinstance(images, ImageFiles):
        views = load_eval_views(images, size, batch_size, workers, device, corrupt)
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
        raise ValueError(f"representations are not finite for {broken} of {len(features)} images")
    return features


def represent(
    encoder: nn.Module,
    split: Split,
    size: int,
    device: torch.device | str,
    workers: int = 0,
    corrupt: CorruptImages | None = None,
) -> tuple[Tensor, Tensor]:
    """Representations (m, dim) and labels (m,) of the images of `split`, without corrupt ones.

    Arguments and errors are those of `extract`.
    """
    features = extract(encoder, split.images, size, device, workers=workers, corrupt=corrupt)
    if corrupt is None or isinstance(split.images, Tensor):
        return features, split.labels
    return features, split.labels[corrupt.readable(split.images)]
