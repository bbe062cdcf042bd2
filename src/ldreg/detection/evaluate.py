"""Average precision of boxes and masks, by pycocotools' evaluator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn

from ldreg.data.decode import CorruptImages
from ldreg.detection.coco import CocoSet, quietly
from ldreg.detection.loader import load_tasks
from ldreg.runtime.distributed import gather_objects, rank, world_size

Prediction = dict[str, Any]  # COCO's result format
KINDS = {"box": "bbox", "mask": "segm"}  # our names and pycocotools' names


@torch.no_grad()
def predict(
    detector: nn.Module,
    data: CocoSet,
    batch_size: int,
    device: torch.device,
    workers: int = 0,
    corrupt: CorruptImages | None = None,
) -> list[Prediction]:
    """Return the detections on all images in COCO's result format; every rank gets those of all ranks.

    Args:
        detector: a detector of `build_detector`; it is put into evaluation mode and stays there.
        data: the split.
        batch_size: images per forward pass, on each rank.
        device: device of the detector.
        workers: number of processes that decode images.
        corrupt: policy for corrupt images. Skipped images are left out; `readable` returns the others. The
            default stops at the first.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    detector.eval()
    # An image that was corrupt earlier is left out even if it has been repaired, so that `readable` is right.
    tasks = [data.bare_task(image_id) for image_id in readable(data, corrupt)[rank() :: world_size()]]
    batches = [tasks[start : start + batch_size] for start in range(0, len(tasks), batch_size)]
    found: list[Prediction] = []
    for batch, (images, _) in zip(batches, load_tasks(batches, workers, device, corrupt), strict=True):
        kept = [task for task in batch if str(task.path) not in corrupt.reasons]
        for task, detections in zip(kept, detector(images) if images else [], strict=True):
            found += as_results(task.image_id, detections, data.categories)
    corrupt.gather()
    return [prediction for share in gather_objects(found) for prediction in share]


def readable(data: CocoSet, corrupt: CorruptImages) -> list[int]:
    """Return the ids of the images of a split that are not known to be corrupt, ascending."""
    return [each for each in data.image_ids if str(data.bare_task(each).path) not in corrupt.reasons]


def as_results(image_id: int, found: dict[str, Tensor], categories: Sequence[int]) -> list[Prediction]:
    """Convert the detections of one image to COCO's result format, with run-length encoded masks."""
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


def average_precision(
    data: CocoSet, found: Sequence[Prediction], image_ids: Sequence[int] | None = None
) -> dict[str, dict[str, float]]:
    """Compute COCO's average precision in percent, with at most 100 detections per image.

    Args:
        data: the split.
        found: detections in COCO's result format.
        image_ids: images to evaluate; all by default.

    Returns:
        {"box": {"ap": mean over the overlaps 0.5, 0.55, ..., 0.95, "ap50": at 0.5, "ap75": at 0.75},
        "mask": {the same}}.
    """
    image_ids = data.image_ids if image_ids is None else list(image_ids)
    return {kind: _evaluate(data, found, image_ids, iou) for kind, iou in KINDS.items()}


def _evaluate(data: CocoSet, found: Sequence[Prediction], image_ids: list[int], iou: str) -> dict[str, float]:
    if not found:  # pycocotools does not accept an empty list
        return {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}
    # If there are no boxes, pycocotools computes areas from the masks.
    dropped = "bbox" if iou == "segm" else "segmentation"
    results = [{key: value for key, value in each.items() if key != dropped} for each in found]
    with quietly():
        evaluation = COCOeval(data.index, data.index.loadRes(results), iou)
        evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        key: 100 * float(value)
        for key, value in zip(("ap", "ap50", "ap75"), evaluation.stats[:3], strict=True)
    }
