"""Backbones and heads."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ldreg.config.run_spec import RunSpec

VITS = {"vit_mini": (128, 4, 4), "vit_b16": (768, 12, 12)}  # width, blocks, attention heads


def build_encoder(spec: RunSpec, channels: int) -> tuple[nn.Module, int]:
    """A run's encoder for images of `channels` channels, and the dimension of its representations."""
    return build_backbone(spec.backbone, channels, spec.image_size, masked=spec.method == "mae")


def build_backbone(
    name: str, channels: int, image_size: int = 224, masked: bool = False
) -> tuple[nn.Module, int]:
    """A backbone and the dimension of its representations.

    Args:
        name: `small_cnn` (128-d, for images of 8 to 32 pixels); `resnet18_cifar` (512-d, 3x3 stem without
            pooling as in SimCLR's CIFAR-10 experiments); `resnet18` (512-d) or `resnet50` (2048-d), both with
            torchvision's ImageNet stem; `vit_b16` (768-d) or `vit_mini` (128-d, patches of 4 pixels for small
            images), whose representation is the class token.
        channels: of the images.
        image_size: height and width in pixels, which a vision transformer must know.
        masked: for a masked autoencoder (`ldreg.models.vit.VisionTransformer`); of no effect on other
            backbones.

    Returns:
        A module that maps (batch, channels, size, size) to float32 (batch, dim), and dim.
    """
    if name in VITS:
        # Imported here: timm takes seconds that other backbones need not wait for.
        from ldreg.models.vit import VisionTransformer

        width, depth, heads = VITS[name]
        return VisionTransformer(name, image_size, channels, width, depth, heads, masked), width
    if name == "small_cnn":
        return _small_cnn(channels)
    return _resnet(name.removesuffix("_cifar"), channels, cifar_stem=name.endswith("_cifar"))


class GlobalAveragePool(nn.Module):
    """Mean over height and width in float32 at least, also under autocast.

    Pooled in half precision, the mean of many values would be rounded to it, and with it every distance
    between neighbours: LID's own float32 would come too late. (A map of one pixel is as it is.)
    """

    def forward(self, images: Tensor) -> Tensor:
        return images.to(torch.promote_types(images.dtype, torch.float32)).mean(dim=(2, 3), keepdim=True)


def _small_cnn(channels: int) -> tuple[nn.Module, int]:
    layers: list[nn.Module] = []
    # Halving at once makes a step four times faster than halving late, and the demo's accuracy no worse.
    for (before, after), stride in zip(pairwise((channels, 32, 64, 128, 128)), (2, 2, 2, 1), strict=True):
        layers += [
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, GlobalAveragePool(), nn.Flatten()), after


def _resnet(name: str, channels: int, cifar_stem: bool) -> tuple[nn.Module, int]:
    # Imported here: torchvision takes a second that the small network need not wait for.
    import torchvision

    network = getattr(torchvision.models, name)(weights=None, zero_init_residual=False)
    if cifar_stem:
        network.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    network.avgpool = GlobalAveragePool()
    dim = network.fc.in_features
    network.fc = nn.Identity()
    return network, dim


def build_head(
    dim: int, widths: tuple[int, ...], end: Literal["linear", "norm", "scaled_norm"]
) -> nn.Sequential:
    """A projector or predictor: linear layers with BatchNorm and ReLU between them.

    Maps (batch, dim) to (batch, widths[-1]). No linear layer has a bias, which the norm after it would undo.

    Args:
        dim: of the input.
        widths: of the layers.
        end: what follows the last layer: nothing ("linear": BYOL, VICReg, Barlow Twins), BatchNorm without
            parameters ("norm": MoCo v3), or BatchNorm with a scale but no bias ("scaled_norm": SimCLR).
    """
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(pairwise((dim, *widths))):
        layers.append(nn.Linear(before, after, bias=False))
        if index < len(widths) - 1:
            layers += [nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
    if end != "linear":
        layers.append(nn.BatchNorm1d(after, affine=end == "scaled_norm"))
    if end == "scaled_norm":
        layers[-1].bias = None  # a shift common to all embeddings that NT-Xent's cosine should not be given
    return nn.Sequential(*layers)
