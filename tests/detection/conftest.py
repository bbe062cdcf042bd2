"""A small COCO-format set of real pixels, and a detector small enough to train in seconds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ldreg.config.detection import ComposedSettings, DetectionSettings
from ldreg.data.datasets import ImageData
from ldreg.detection.coco import CocoSet, read_coco
from ldreg.detection.composed import compose, read_composed
from ldreg.models.networks import build_backbone

TINY = {
    "iterations": 60,
    "steps": (50,),
    "batch_size": 4,
    "warmup_iterations": 10,
    "precise_norm_batches": 10,
    "min_sizes": (96,),
    "max_size": 96,
    "flip": 0.0,
    "anchor_sizes": (36,),
    "anchors_per_image": 32,
    "pre_nms_train": 100,
    "pre_nms_test": 100,
    "proposals_train": 32,
    "proposals_test": 16,
    "regions_per_image": 16,
    "region_size": 7,
    "mask_channels": 16,
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., DetectionSettings]:
    """`tiny(**changes)`: settings under which an iteration takes some hundredths of a second."""
    return lambda **changes: DetectionSettings(**{**TINY, **changes})


@pytest.fixture(scope="session")
def composed_folder(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Path:
    """60 images to train on and 20 to test on, each with one or two digits."""
    folder = tmp_path_factory.mktemp("composed")
    settings = ComposedSettings(train_images=60, val_images=20, canvas=48, digits=(1, 2), sides=(16, 20))
    compose(folder, digits, settings)
    return folder


@pytest.fixture(scope="session")
def composed(composed_folder: Path) -> tuple[CocoSet, CocoSet]:
    return read_composed(composed_folder)


@pytest.fixture
def small_cnn() -> nn.Module:
    torch.manual_seed(0)
    return build_backbone("small_cnn", channels=1)[0]


Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def write_set(tmp_path: Path) -> Callable[..., CocoSet]:
    """`write_set(change)`: an image of 40 x 30 pixels with two objects of categories 7 and 3, and a second
    image without any, after `change(content)` of the JSON."""

    def write(change: Change = lambda content: None) -> CocoSet:
        pixels = np.arange(30 * 40 * 3, dtype=np.uint32).reshape(30, 40, 3) % 251
        for name in ("a.png", "b.png"):
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
        content = {
            "images": [
                {"id": 5, "file_name": "a.png", "height": 30, "width": 40},
                {"id": 9, "file_name": "b.png", "height": 30, "width": 40},
            ],
            "annotations": [box_object(1, 7, (2, 4, 20, 10)), box_object(2, 3, (25, 10, 10, 20))],
            "categories": [{"id": 7, "name": "seven"}, {"id": 3, "name": "three"}],
        }
        change(content)
        (tmp_path / "set.json").write_text(json.dumps(content))
        return read_coco(tmp_path, tmp_path / "set.json")

    return write


def box_object(number: int, category: int, box: tuple[int, int, int, int], image: int = 5) -> dict[str, Any]:
    """An object that fills its box: left, top, width, height; its mask is a polygon."""
    left, top, width, height = box
    right, bottom = left + width, top + height
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
    }
