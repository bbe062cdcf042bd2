"""Average precision of boxes and masks, by pycocotools' evaluator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn
from torch import distributed as dist

from ldreg.detection.coco import CocoSet, quietly
from ldreg.detection.loader import load_tasks
from ldreg.distributed import rank, world_size

Prediction = dict[str, Any]  # COCO's result format
KINDS = {"box": "bbox", "mask": "segm"}  # ours and pycocotools'


@torch.no_grad()
def predict(
    detector: nn.Module, data: CocoSet, batch_size: int, device: torch.device, workers: int = 0
) -> list[Prediction]:
    """What the detector finds on all images, in COCO's result format; with several ranks, on each of them.

    Args:
        detector: of `build_detector`; it is put into evaluation mode and stays there.
        batch_size: images at once, on each rank.
        workers: processes that decode.
    """
    detector.eval()
    tasks = [data.bare_task(image_id) for image_id in data.image_ids[rank() :: world_size()]]
    batches = [tasks[start : start + batch_size] for start in range(0, len(tasks), batch_size)]
    found: list[Prediction] = []
    for batch, (images, _) in zip(batches, load_tasks(batches, workers, device), strict=True):
        for task, detections in zip(batch, detector(images), strict=True):
            found += as_results(task.image_id, detections, data.categories)
    if world_size() == 1:
        return found
    shares: list[list[Prediction]] = [[]] * world_size()
    dist.all_gather_object(shares, found)
    return [prediction for share in shares for prediction in share]


def as_results(image_id: int, found: dict[str, Tensor], categories: Sequence[int]) -> list[Prediction]:
    """The detections of one image in COCO's result format, masks run-length encoded."""
    boxes = found["boxes"].clone()
    boxes[:, 2:] -= boxes[:, :2]
    # pycocotools reads masks column by column.
    columns = np.asfortranarray(found["masks"].to(torch.uint8).permute(1, 2, 0).cpu().numpy())
    return [
        {
            "image_id": image_id,
            "category_id": categories[label - 1],
            "bbox": box,
            "score": score,
            "segmentation": code,
        }
        for box, label, score, code in zip(
            boxes.tolist(),
            found["labels"].tolist(),
            found["scores"].tolist(),
            rle.encode(columns),
            strict=True,
        )
    ]


def average_precision(data: CocoSet, found: Sequence[Prediction]) -> dict[str, dict[str, float]]:
    """COCO's average precision in percent, at most 100 detections an image.

    Returns:
        {"box": {"ap": mean over the overlaps 0.5, 0.55, ..., 0.95, "ap50": at 0.5, "ap75": at 0.75},
        "mask": {the same}}.
    """
    return {kind: _evaluate(data, found, iou) for kind, iou in KINDS.items()}


def _evaluate(data: CocoSet, found: Sequence[Prediction], iou: str) -> dict[str, float]:
    if not found:  # which pycocotools cannot read
        return {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}
    # Without boxes, pycocotools takes a mask's area from the mask.
    dropped = "bbox" if iou == "segm" else "segmentation"
    results = [{key: value for key, value in each.items() if key != dropped} for each in found]
    with quietly():
        evaluation = COCOeval(data.index, data.index.loadRes(results), iou)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        key: 100 * float(value)
        for key, value in zip(("ap", "ap50", "ap75"), evaluation.stats[:3], strict=True)
    }
