"""The trainable heads of the detector: region proposals, and class, box and mask of each region.

They are torchvision's, except for anchors, losses, pooling and initial weights, which follow detectron2.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import RoIAlign, roi_align

from ldreg.config.detection import DetectionSettings

RATIOS = (0.5, 1.0, 2.0)  # height / width of anchors

# Thresholds and weights of detectron2's defaults.py, under torchvision's names.
_RPN = {"fg_iou_thresh": 0.7, "bg_iou_thresh": 0.3, "positive_fraction": 0.5, "nms_thresh": 0.7}
_ROI = {"fg_iou_thresh": 0.5, "bg_iou_thresh": 0.5, "positive_fraction": 0.25, "nms_thresh": 0.5}
_BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class Autocast:
    """Enters autocast for a precision, on the device of a tensor."""

    def __init__(self, precision: str) -> None:
        self.dtype = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]

    def __call__(self, tensor: Tensor) -> AbstractContextManager:
        return torch.autocast(tensor.device.type, self.dtype) if self.dtype else nullcontext()


class Stage(nn.Module):
    """Layers with float32 output also under autocast, because bfloat16 boxes would be off by pixels."""

    def __init__(self, layers: nn.Module, cast: Autocast) -> None:
        super().__init__()
        self.layers, self.cast = layers, cast

    def forward(self, inputs: Tensor) -> Tensor:
        with self.cast(inputs):
            return self.layers(inputs).float()


class ProposalHead(RPNHead):
    """torchvision's head for region proposals, with float32 outputs."""

    def __init__(self, width: int, anchors: int, cast: Autocast) -> None:
        super().__init__(width, anchors)
        self.cast = cast

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        with self.cast(features[0]):
            objectness, deltas = super().forward(features)
        return [each.float() for each in objectness], [each.float() for each in deltas]


class Anchors(AnchorGenerator):
    """torchvision's anchor generator, without rounding to whole pixels."""

    def generate_anchors(self, scales: Sequence[int], aspect_ratios: Sequence[float], **like: Any) -> Tensor:
        """Return boxes (ratios x scales, 4) centred at 0, with area scale^2 and ratio height / width."""
        roots, sides = torch.tensor(aspect_ratios, **like).sqrt(), torch.tensor(scales, **like)
        width, height = (each.flatten() / 2 for each in (sides / roots[:, None], sides * roots[:, None]))
        return torch.stack([-width, -height, width, height], dim=1)


class ProposalNetwork(RegionProposalNetwork):
    """torchvision's proposal network with absolute box errors; losses are divided by `anchors_per_image`."""

    def __init__(self, width: int, settings: DetectionSettings, cast: Autocast) -> None:
        anchors = Anchors((settings.anchor_sizes,), (RATIOS,))
        super().__init__(
            anchors,
            ProposalHead(width, anchors.num_anchors_per_location()[0], cast),
            batch_size_per_image=settings.anchors_per_image,
            pre_nms_top_n={"training": settings.pre_nms_train, "testing": settings.pre_nms_test},
            post_nms_top_n={"training": settings.proposals_train, "testing": settings.proposals_test},
            **_RPN,
        )

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        positive, negative = (torch.cat(each).bool() for each in self.fg_bg_sampler(labels))
        sampled, targets = positive | negative, torch.cat(regression_targets)[positive]
        losses = (
            F.binary_cross_entropy_with_logits(
                objectness.flatten()[sampled], torch.cat(labels)[sampled], reduction="sum"
            ),
            F.l1_loss(pred_bbox_deltas[positive], targets, reduction="sum"),
        )
        count = self.fg_bg_sampler.batch_size_per_image * len(labels)
        return losses[0] / count, losses[1] / count


class C4Heads(RoIHeads):
    """Predicts class, box and mask of each region from one pass of res5."""

    def __init__(
        self,
        stage: nn.Module,
        width: int,
        stride: int,
        classes: int,
        settings: DetectionSettings,
        cast: Autocast,
    ) -> None:
        super().__init__(
            box_roi_pool=RoIAlign(settings.region_size, 1 / stride, sampling_ratio=0, aligned=True),
            box_head=stage,
            box_predictor=FastRCNNPredictor(width, classes + 1),
            batch_size_per_image=settings.regions_per_image,
            bbox_reg_weights=_BOX_WEIGHTS,
            score_thresh=settings.score_threshold,
            detections_per_img=settings.detections_per_image,
            mask_predictor=MaskRCNNPredictor(width, settings.mask_channels, classes + 1),
            **_ROI,
        )
        self.cast = cast
        # detectron2's initial weights are small, so that at first hardly any class, shift or mask is
        # preferred.
        for layer, spread in (
            (self.box_predictor.cls_score, 0.01),
            (self.box_predictor.bbox_pred, 0.001),
            (self.mask_predictor.mask_fcn_logits, 0.001),
        ):
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.mask_predictor.conv5_mask.bias)

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        (features,) = features.values()
        if not self.training:
            return self._detect(features, proposals, image_shapes), {}
        boxes, matched, labels, deltas = self.select_training_samples(list(proposals), targets)
        regions = self._regions(features, boxes)
        classes, shifts = self.box_predictor(regions.mean(dim=(2, 3)))
        objects = [each > 0 for each in labels]
        masks = mask_targets(
            [target["masks"] for target in targets],
            [box[chosen] for box, chosen in zip(boxes, objects, strict=True)],
            [match[chosen] for match, chosen in zip(matched, objects, strict=True)],
            size=2 * regions.shape[-1],
        )
        logits = self._masks(regions[torch.cat(objects)])
        return [], region_losses(classes, shifts, logits, torch.cat(labels), torch.cat(deltas), masks)

    def _regions(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """Return the features (n, width, side, side) of the n boxes of all images."""
        return self.box_head(self.box_roi_pool(features, boxes))

    def _masks(self, regions: Tensor) -> Tensor:
        """Return mask logits (n, classes + 1, 2 side, 2 side)."""
        with self.cast(regions):
            return self.mask_predictor(regions).float()

    def _detect(
        self, features: Tensor, proposals: list[Tensor], shapes: list[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        classes, shifts = self.box_predictor(self._regions(features, proposals).mean(dim=(2, 3)))
        boxes, scores, labels = self.postprocess_detections(classes, shifts, proposals, shapes)
        masks = maskrcnn_inference(self._masks(self._regions(features, boxes)), labels)
        return [
            {"boxes": box, "scores": score, "labels": label, "masks": mask}
            for box, score, label, mask in zip(boxes, scores, labels, masks, strict=True)
        ]


def region_losses(
    classes: Tensor, shifts: Tensor, mask_logits: Tensor, labels: Tensor, deltas: Tensor, masks: Tensor
) -> dict[str, Tensor]:
    """Compute the three losses of n regions, m of which contain an object.

    Args:
        classes: class logits (n, classes + 1).
        shifts: predicted box offsets (n, 4 (classes + 1)), four for each class.
        mask_logits: mask logits (m, classes + 1, side, side).
        labels: true classes (n,), 0 for the background.
        deltas: true box offsets (n, 4).
        masks: true masks (m, side, side) of 0 and 1.

    Returns:
        {"loss_classifier", "loss_box_reg", "loss_mask": scalars}.
    """
    objects = labels > 0
    rows, own = torch.arange(len(mask_logits), device=labels.device), labels[objects]
    shifts = shifts.unflatten(1, (-1, 4))[objects, own]
    # Without objects a sum is 0 and has gradients, which DistributedDataParallel needs; a mean would be NaN.
    mask_loss = F.binary_cross_entropy_with_logits(mask_logits[rows, own], masks, reduction="sum")
    return {
        "loss_classifier": F.cross_entropy(classes, labels),
        "loss_box_reg": F.l1_loss(shifts, deltas[objects], reduction="sum") / len(labels),
        "loss_mask": mask_loss / max(masks.numel(), 1),
    }


def mask_targets(masks: list[Tensor], boxes: list[Tensor], matched: list[Tensor], size: int) -> Tensor:
    """Crop the mask of the matched object to each box: 0 or 1, (n, size, size) for n boxes in all images.

    Args:
        masks: for each image, the masks of its objects, (objects, height, width).
        boxes: for each image, its boxes, (n_i, 4).
        matched: for each image, the index of the object of each box, (n_i,).
        size: height and width of the result.
    """
    cut = [
        roi_align(mask[:, None].to(box), torch.cat([match[:, None].to(box), box], dim=1), size, aligned=True)
        for mask, box, match in zip(masks, boxes, matched, strict=True)
    ]
    return (torch.cat(cut)[:, 0] >= 0.5).float()
