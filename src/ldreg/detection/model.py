"""Mask R-CNN on a C4 backbone, from torchvision's parts, with detectron2's details where the two differ.

C4 means: regions are proposed and pooled on the features of all stages but the last (stride 16 for a ResNet);
the last stage, res5, runs on each pooled region and feeds boxes and masks alike (He et al. 2017, "Mask
R-CNN", figure 4 left; detectron2's Res5ROIHeads). As in MoCo, a batch norm follows res5, and nothing is
frozen.

Where torchvision's detectors differ from detectron2's `Base-RCNN-C4.yaml`, this follows detectron2: absolute
errors for boxes (torchvision: smooth below 1/9), anchors not rounded, aligned pooling (half a pixel's shift),
binary mask targets, masks pasted at pixel centres. With the same weights, detections and losses of an
image that needs no resizing were detectron2's to 6 digits, with its INPUT.MASK_FORMAT bitmask. With its
default, which cuts targets out of polygons and not out of pixels, the mask's loss differs in the fourth digit
(0.73516 against 0.73485). What stays torchvision's: images are resized without antialiasing, to sizes
rounded down, and padded to a multiple of the stride.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

from ldreg.catalogue.backbones import WITH_PATCHES
from ldreg.config.detection import DetectionSettings
from ldreg.detection.heads import Autocast, C4Heads, ProposalNetwork, Stage
from ldreg.errors import LdregError

PIXELS_AT_ONCE = 2**26  # of pasted masks: 256 MiB of float32


class SplitEncoder(NamedTuple):
    """An encoder in the two parts of a C4 detector."""

    lower: nn.Module  # images to features
    upper: nn.Module  # pooled features to regions' features: the last stage
    channels: int  # of the images
    lower_width: int
    upper_width: int
    stride: int  # of the lower part, pixels


def split_encoder(encoder: nn.Module, backbone: str) -> SplitEncoder:
    """Divide a copy of an encoder of `ldreg.models.networks.build_backbone` before its last stage.

    Raises:
        LdregError: for a vision transformer, which has no such stages.
    """
    if backbone in WITH_PATCHES:
        raise LdregError(
            f"backbone: {backbone} is not allowed for detection; it needs a convolutional one, e.g. resnet50"
        )
    encoder = copy.deepcopy(encoder).requires_grad_(True)  # nothing is frozen
    if backbone == "small_cnn":
        layers = list(encoder.children())
        convolutions = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        # Of convolution, norm and ReLU each; after the last stage come pooling and flattening.
        lower, upper = layers[: convolutions[-1]], layers[convolutions[-1] : convolutions[-1] + 3]
    else:
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        lower, upper = [getattr(encoder, name) for name in names], [encoder.layer4]
    lower, upper = nn.Sequential(*lower), nn.Sequential(*upper)
    channels = next(lower.parameters()).shape[1]
    side = 64
    with torch.no_grad():
        features = lower.eval()(next(lower.parameters()).new_zeros(1, channels, side, side))
        width = upper.eval()(features).shape[1]
    return SplitEncoder(lower, upper, channels, features.shape[1], width, side // features.shape[-1])


def build_detector(
    encoder: nn.Module, backbone: str, classes: int, settings: DetectionSettings, precision: str = "float32"
) -> GeneralizedRCNN:
    """A detector that starts from a copy of the encoder; its other weights are drawn at random.

    In training it maps images (a list of float32 (3, height, width) in [0, 1]) and targets (`coco.decode`) to
    a dictionary of losses; in evaluation, images to detections: `boxes` (n, 4), `labels`, `scores` (n,) and
    `masks`, bool (n, height, width), of the images' own sizes.

    Args:
        encoder, backbone: as of `ldreg.models.networks.build_backbone`.
        classes: without the background.
        settings: sizes and numbers.
        precision: float32, or bf16 or fp16 for the convolutions; boxes and losses are float32 in any case.

    Raises:
        LdregError: for a vision transformer.
    """
    parts = split_encoder(encoder, backbone)
    cast = Autocast(precision)
    proposals = ProposalNetwork(parts.lower_width, settings, cast)
    stage = Stage(nn.Sequential(parts.upper, nn.BatchNorm2d(parts.upper_width)), cast)
    heads = C4Heads(stage, parts.upper_width, parts.stride, classes, settings, cast)
    return GeneralizedRCNN(Stage(parts.lower, cast), proposals, heads, Resize(settings, parts)).train()


class Resize(GeneralizedRCNNTransform):
    """torchvision's resizing, without normalisation (encoders see [0, 1]); pastes masks into the image."""

    def __init__(self, settings: DetectionSettings, parts: SplitEncoder) -> None:
        super().__init__(settings.min_sizes, settings.max_size, [0.0], [1.0], size_divisible=parts.stride)
        self.grey = parts.channels == 1

    def normalize(self, image: Tensor) -> Tensor:
        return image.mean(dim=0, keepdim=True) if self.grey else image

    def postprocess(
        self,
        result: list[dict[str, Tensor]],
        image_shapes: list[tuple[int, int]],
        original_image_sizes: list[tuple[int, int]],
    ) -> list[dict[str, Tensor]]:
        if self.training:
            return result
        for found, shape, size in zip(result, image_shapes, original_image_sizes, strict=True):
            found["boxes"] = resize_boxes(found["boxes"], shape, size)
            found["masks"] = paste_masks(found["masks"][:, 0], found["boxes"], size)
        return result


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks of boxes as masks of the image: bilinear at each pixel's centre, then at least 0.5.

    Args:
        masks: probabilities (n, side, side).
        boxes: (n, 4), left, top, right, bottom in pixels.
        size: height and width of the image.

    Returns:
        bool (n, height, width).
    """
    pasted = torch.zeros(len(masks), *size, dtype=torch.bool, device=masks.device)
    rows = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
    for start in range(0, len(masks), rows):
        part = slice(start, start + rows)
        left, top, right, bottom = boxes[part, :, None].unbind(dim=1)
        x = _relative(size[1], left, right)[:, None, :].expand(-1, size[0], -1)
        y = _relative(size[0], top, bottom)[:, :, None].expand(-1, -1, size[1])
        found = F.grid_sample(masks[part, None], torch.stack([x, y], dim=-1), align_corners=False)
        pasted[part] = found[:, 0] >= 0.5
    return pasted


def _relative(pixels: int, low: Tensor, high: Tensor) -> Tensor:
    """(n, pixels): each pixel's centre, -1 at `low` (n, 1) and 1 at `high`."""
    centers = torch.arange(pixels, device=low.device, dtype=low.dtype) + 0.5
    return (centers - low) / (high - low) * 2 - 1
