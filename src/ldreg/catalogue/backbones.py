"""The backbones that a run's `backbone` may name: the networks that map images to representations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldreg.catalogue.implementation import Implementation


@dataclass(frozen=True)
class Backbone:
    """One backbone.

    Attributes:
        key: its name in YAML files, folder names and tables.
        label: its name for readers.
        implementation: a function that takes the number of channels of the images. It returns the network,
            which maps (batch, channels, size, size) to float32 (batch, dim), and dim. If the network cuts
            images into patches, the function also takes `image_size` and `patch` in pixels, and `masked`:
            whether a masked autoencoder trains the network.
        arguments: further keyword arguments of the function.
        encoder_bytes: size of the weights and buffers for colour images of 224 pixels.
        patch: height and width in pixels of its patches; None for a convolutional network.
        stands_for: the backbone of the paper that it replaces at smaller scales.
    """

    key: str
    label: str
    implementation: Implementation
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    encoder_bytes: int = field(kw_only=True)
    patch: int | None = field(kw_only=True, default=None)
    stands_for: str | None = field(kw_only=True, default=None)


_RESNET = Implementation("ldreg.models.networks", "resnet")
_VIT = Implementation("ldreg.models.vit", "vision_transformer")

_ALL = (
    # Four convolutions for images of 8 to 32 pixels; its representations have 128 dimensions.
    Backbone(
        "small_cnn",
        "small CNN",
        Implementation("ldreg.models.networks", "small_cnn"),
        encoder_bytes=967_584,
        stands_for="resnet50",
    ),
    # ResNet-18 with a 3x3 stem without pooling, as in SimCLR's CIFAR-10 experiments; 512 dimensions.
    Backbone(
        "resnet18_cifar",
        "ResNet-18 (CIFAR stem)",
        _RESNET,
        {"name": "resnet18", "cifar_stem": True},
        encoder_bytes=44_713_888,
        stands_for="resnet50",
    ),
    # ResNets of torchvision with the ImageNet stem; 512 and 2048 dimensions.
    Backbone(
        "resnet18",
        "ResNet-18",
        _RESNET,
        {"name": "resnet18"},
        encoder_bytes=44_744_608,
        stands_for="resnet50",
    ),
    Backbone("resnet50", "ResNet-50", _RESNET, {"name": "resnet50"}, encoder_bytes=94_245_032),
    # Vision transformers; the representation is the class token. 128 dimensions (for small images) and 768.
    Backbone(
        "vit_mini",
        "small ViT",
        _VIT,
        {"width": 128, "depth": 4, "heads": 4},
        encoder_bytes=4_805_120,
        patch=4,
        stands_for="vit_b16",
    ),
    Backbone(
        "vit_b16",
        "ViT-B/16",
        _VIT,
        {"width": 768, "depth": 12, "heads": 12},
        encoder_bytes=343_194_624,
        patch=16,
    ),
)
BACKBONES = {each.key: each for each in _ALL}
# The backbones that cut images into patches.
WITH_PATCHES = tuple(each.key for each in _ALL if each.patch is not None)
# Small backbones, each with the backbone of the paper that it replaces.
STAND_INS = {each.key: each.stands_for for each in _ALL if each.stands_for is not None}
