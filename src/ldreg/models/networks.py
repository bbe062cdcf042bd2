"""Backbones and heads."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.methods import METHODS
from ldreg.config.run_spec import RunSpec


def build_encoder(spec: RunSpec, channels: int) -> tuple[nn.Module, int]:
    """A run's encoder for images of `channels` channels, and the dimension of its representations."""
    masked = METHODS[spec.method].masks_patches
    return build_backbone(spec.backbone, channels, spec.image_size, masked)


def build_backbone(
    name: str, channels: int, image_size: int = 224, masked: bool = False
) -> tuple[nn.Module, int]:
    """A backbone and the dimension of its representations.

    Args:
        name: a key of `ldreg.catalogue.backbones.BACKBONES`.
        channels: of the images.
        image_size: height and width in pixels, which a vision transformer must know.
        masked: for a masked autoencoder (`ldreg.models.vit.VisionTransformer`); of no effect on other
            backbones.

    Returns:
        A module that maps (batch, channels, size, size) to float32 (batch, dim), and dim.
    """
    backbone = BACKBONES[name]
    build = backbone.implementation.load()
    if backbone.patch is None:
        return build(channels, **backbone.arguments)
    patches = {"image_size": image_size, "patch": backbone.patch, "masked": masked}
    return build(channels, **patches, **backbone.arguments)


class GlobalAveragePool(nn.Module):
    """Mean over height and width in float32 at least, also under autocast.

    Pooled in half precision, the mean of many values would be rounded to it, and with it every distance
    between neighbours: LID's own float32 would come too late. (A map of one pixel is as it is.)
    """

    def forward(self, images: Tensor) -> Tensor:
        return images.to(torch.promote_types(images.dtype, torch.float32)).mean(dim=(2, 3), keepdim=True)


def small_cnn(channels: int) -> tuple[nn.Module, int]:
    """Four convolutions for images of 8 to 32 pixels, and the dimension of the representations, 128."""
    layers: list[nn.Module] = []
    # Halving at once makes a step four times faster than halving late, and the demo's accuracy no worse.
    for (before, after), stride in zip(pairwise((channels, 32, 64, 128, 128)), (2, 2, 2, 1), strict=True):
        layers += [
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, GlobalAveragePool(), nn.Flatten()), after


def resnet(channels: int, *, name: str, cifar_stem: bool = False) -> tuple[nn.Module, int]:
    """torchvision's residual network `name` from random weights, and the dimension of its representations.

    Args:
        channels: of the images.
        name: of torchvision's function, such as "resnet50".
        cifar_stem: whether the stem is one 3x3 convolution without pooling, as in SimCLR's CIFAR-10
            experiments.
    """
    # Imported here: torchvision takes a second that the small network need not wait for.
    import torchvision

    # Every residual branch begins as zero (Goyal et al. 2017): its block's last norm has weight 0, as in the
    # codes of the authors, MoCo v3, VICReg and Barlow Twins.
    network = getattr(torchvision.models, name)(weights=None, zero_init_residual=True)
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
