"""Convolutional backbones, and the heads (projectors and predictors) of the methods."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.methods import METHODS
from ldreg.config.run_spec import RunSpec


def build_encoder(spec: RunSpec, channels: int) -> tuple[nn.Module, int]:
    """Build the encoder of a run; returns it and the dimension of its representations."""
    masked = METHODS[spec.method].masks_patches
    return build_backbone(spec.backbone, channels, spec.image_size, masked)


def build_backbone(
    name: str, channels: int, image_size: int = 224, masked: bool = False
) -> tuple[nn.Module, int]:
    """Build a backbone with random weights; returns it and the dimension of its representations.

    Args:
        name: a key of `ldreg.catalogue.backbones.BACKBONES`.
        channels: number of channels of the images.
        image_size: height and width of the images in pixels; used only by vision transformers.
        masked: whether a masked autoencoder trains the backbone; used only by vision transformers
            (`ldreg.models.vit.VisionTransformer`).

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
    """Mean over height and width in at least float32, also under autocast.

    A mean in half precision would round the representations and so the distances between neighbours.
    Computing LID in float32 afterwards could not undo this. (A feature map of one pixel is returned
    unchanged.)
    """

    def forward(self, images: Tensor) -> Tensor:
        return images.to(torch.promote_types(images.dtype, torch.float32)).mean(dim=(2, 3), keepdim=True)


def small_cnn(channels: int) -> tuple[nn.Module, int]:
    """Build four convolutions for images of 8 to 32 pixels; returns them and their output dimension, 128."""
    layers: list[nn.Module] = []
    # Strides in the first layers make a step four times faster than strides in the last ones. The accuracy of
    # the demo is not lower.
    for (before, after), stride in zip(pairwise((channels, 32, 64, 128, 128)), (2, 2, 2, 1), strict=True):
        layers += [
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, GlobalAveragePool(), nn.Flatten()), after


def resnet(channels: int, *, name: str, cifar_stem: bool = False) -> tuple[nn.Module, int]:
    """Build a ResNet of torchvision with random weights; returns it and the dimension of its representations.

    Args:
        channels: number of channels of the images.
        name: name of torchvision's function, such as "resnet50".
        cifar_stem: whether the stem is a 3x3 convolution without pooling, as in SimCLR's CIFAR-10
            experiments.
    """
    # Imported here, because importing torchvision takes a second and `small_cnn` does not need it.
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
    """Build a projector or predictor: linear layers with BatchNorm and ReLU between them.

    It maps (batch, dim) to (batch, widths[-1]). The linear layers have no bias.

    Args:
        dim: dimension of the input.
        widths: output dimensions of the layers.
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
        layers[-1].bias = None  # a bias would shift all embeddings and so change the cosines of NT-Xent
    return nn.Sequential(*layers)
