"""Check the user's COCO before anything trains for it."""

from pathlib import Path

from ldreg.detection.coco import annotation_digests, read_coco_2017
from ldreg.detection.fine_tuning import check_splits
from ldreg.files import write_json


def coco_job(folder: Path, output: Path) -> None:
    """Check COCO's files, and that a detector can be trained and tested on them; writes their numbers.

    Args:
        folder: holds train2017, val2017 and annotations.
        output: {"train_images" (with objects), "val_images", "categories": counts, "annotations": digests}.
    """
    train, val = read_coco_2017(folder)
    check_splits(train, val)
    found = {
        "train_images": len(train.trainable()),
        "val_images": len(val.image_ids),
        "categories": len(train.categories),
        "annotations": annotation_digests(train, val),
    }
    write_json(output, found)
