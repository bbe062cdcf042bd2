"""A tiny case of the paper's linear evaluation; run by torchrun, it keeps in FOLDER what each rank finds.

Three classes of grey images of 4 x 4 pixels, and an encoder that computes in the default type.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from ldreg.config.run_spec import ViewSettings
from ldreg.data.datasets import ImageData, Split
from ldreg.evaluation.classifier import ClassifierSettings
from ldreg.evaluation.linear_paper import linear_paper
from ldreg.runtime.distributed import process_group, rank

SIZE = 4
SETTINGS = ClassifierSettings(
    epochs=3,
    batch_size=8,
    base_lr=500.0,
    final_lr_factor=0.1,
    view=ViewSettings(crop_scale=(0.3, 1.0), crop_ratio=(0.75, 4 / 3), interpolation="bicubic", flip=0.5),
)


def split(images: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % 3
    pixels = torch.randint(0, 200, (images, 1, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    pixels[torch.arange(images), 0, labels] += 50
    return Split(pixels, labels)


DATA = ImageData("bars", train=split(19, 0), test=split(21, 1), classes=3, digest="")


class Encoder(nn.Module):
    """A fixed random map and tanh, with batch norm, whose statistics would change in training mode."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.weight = nn.Parameter(torch.randn(6, SIZE * SIZE, generator=generator, dtype=torch.float64))
        self.norm = nn.BatchNorm1d(6)

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1).to(self.norm.running_mean)
        return (self.norm(x @ self.weight.T.to(x)) / 2).tanh()


def encoder() -> Encoder:
    return Encoder().eval()


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    with process_group(gpus=0) as device:
        found = linear_paper(encoder(), DATA, SIZE, SETTINGS, seed=3, device=device)
        torch.save(found, Path(sys.argv[1]) / f"rank{rank()}.pt")
