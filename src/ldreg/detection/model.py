"""Mask R-CNN with a C4 backbone, built from torchvision's parts and adapted to detectron2.

C4 means that regions are proposed and pooled on the features of all stages except the last (stride 16 for a
ResNet). The last stage, res5, runs on each pooled region, and its output is used for boxes and masks (He et
al. 2017, "Mask R-CNN", figure 4 left; detectron2's Res5ROIHeads). As in MoCo, a batch norm follows res5, and
no weights are frozen.

Where torchvision differs from detectron2's `Base-RCNN-C4.yaml`, this module follows detectron2: absolute box
errors (smooth below 1/9 in torchvision), anchors that are not rounded, aligned pooling (a shift by half a
pixel), binary mask targets, and masks pasted at pixel centres. With the same weights, detections and losses
of an image without resizing agreed with detectron2's to 6 digits if its INPUT.MASK_FORMAT was bitmask. Its
default cuts targets from polygons instead of pixels; the mask loss then differs in the fourth digit (0.73516
against 0.73485). Two details remain torchvision's: images are resized without antialiasing to sizes that are
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

PIXELS_AT_ONCE = 2**26  # pixels of masks pasted at once: 256 MiB of float32


class SplitEncoder(NamedTuple):
    """An encoder, split into the two parts that a C4 detector needs."""

    lower: nn.Module  # all stages except the last: images to features
    upper: nn.Module  # the last stage: pooled features to features of regions
    channels: int  # number of channels of the images
    lower_width: int  # number of output channels of `lower`
    upper_width: int  # number of output channels of `upper`
    stride: int  # stride of `lower` in pixels


def split_encoder(encoder: nn.Module, backbone: str) -> SplitEncoder:
    """Split a copy of an encoder of `ldreg.models.networks.build_backbone` before its last stage.

    Raises:
        LdregError: if the backbone is a vision transformer, which has no such stages.
    """
    if backbone in WITH_PATCHES:
        raise LdregError(
            f"backbone: {backbone} is not allowed for detection; it needs a convolutional one, e.g. resnet50"
        )
    encoder = copy.deepcopy(encoder).requires_grad_(True)  # nothing is frozen
    if backbone == "small_cnn":
        layers = list(encoder.children())
        convolutions = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        # Each stage is a convolution, a norm and a ReLU. Pooling and flattening follow the last stage.
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
    """Build a detector that starts from a copy of the encoder; its other weights are random.

    In training it maps images (a list of float32 (3, height, width) in [0, 1]) and targets (`coco.decode`) to
    a dictionary of losses. In evaluation it maps images to detections in the original image sizes: `boxes`
    (n, 4), `labels` (n,), `scores` (n,) and `masks`, bool (n, height, width).

    Args:
        encoder, backbone: as in `ldreg.models.networks.build_backbone`.
        classes: number of classes without the background.
        settings: settings of the detector.
        precision: precision of the convolutions: float32, bf16 or fp16. Boxes and losses are always float32.

    Raises:
        LdregError: if the backbone is a vision transformer.
    """
    parts = split_encoder(encoder, backbone)
    cast = Autocast(precision)
    proposals = ProposalNetwork(parts.lower_width, settings, cast)
    stage = Stage(nn.Sequential(parts.upper, nn.BatchNorm2d(parts.upper_width)), cast)
    heads = C4Heads(stage, parts.upper_width, parts.stride, classes, settings, cast)
    return GeneralizedRCNN(Stage(parts.lower, cast), proposals, heads, Resize(settings, parts)).train()


class Resize(GeneralizedRCNNTransform):
    """torchvision's resizing without normalisation, as encoders expect [0, 1]; pastes masks into images."""

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
    """Paste masks of boxes into the image: bilinear interpolation at pixel centres, thresholded at 0.5.

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
    """Coordinates (n, pixels) of the pixel centres, scaled to -1 at `low` (n, 1) and 1 at `high` (n, 1)."""
    centers = torch.arange(pixels, device=low.device, dtype=low.dtype) + 0.5
    return (centers - low) / (high - low) * 2 - 1
