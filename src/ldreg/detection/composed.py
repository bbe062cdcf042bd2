"""A small data set in COCO's format, composed of scikit-learn's digits, with exact boxes and masks.

Each image has a dark, coloured, uneven background with a few digits of different sizes that do not overlap.
The training split uses only digits of the training split of the digits, and the validation split only those
of their test split. No encoder and no detector has therefore been trained on digits that are used for
testing.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from ldreg.config.detection import ComposedSettings
from ldreg.data.datasets import ImageData
from ldreg.detection.coco import CocoSet, read_coco
from ldreg.errors import LdregError
from ldreg.files import replacing, write_json, write_text

SPLITS = ("train", "val")
MANIFEST = "composed.json"
INK = 64  # of 255: pixels at least this bright belong to the digit
TRIES = 100  # attempts to find a free position
GROUND = 64  # of 255: the background is darker than this
COARSE = 4  # side of the grid of random colours from which the background is interpolated


class Pasted(NamedTuple):
    """A digit that was pasted on an image."""

    label: int
    left: int
    top: int
    pixels: np.ndarray  # uint8 (side, side)


def compose(folder: Path, digits: ImageData, settings: ComposedSettings) -> dict[str, Any]:
    """Write `folder/{train,val}/*.png` and `folder/annotations/instances_{train,val}.json`.

    Args:
        folder: where to write them.
        digits: a data set of grey images on black.
        settings: number and look of the images.

    Returns:
        The content of `folder/composed.json`, which is written last: {"settings", "source": digest of the
        digits, "digest": digest of all pixels and objects, "train_images", "val_images"}.

    Raises:
        LdregError: if the folder cannot be written.
    """
    sha = hashlib.sha256()
    try:
        for number, split in enumerate(SPLITS):
            generator = np.random.default_rng([settings.seed, number])
            made = list(_images(digits, split, settings, generator))
            content = _content(made, digits.classes, settings)
            for entry, (canvas, _) in zip(content["images"], made, strict=True):
                sha.update(canvas)
                with replacing(folder / split / entry["file_name"]) as temporary:
                    Image.fromarray(canvas).save(temporary)
            sha.update(json.dumps(content).encode())
            write_text(_annotations(folder, split), json.dumps(content))
        description = {
            "settings": settings.model_dump(mode="json"),
            "source": digits.digest,
            "digest": sha.hexdigest()[:16],
            **{f"{split}_images": getattr(settings, f"{split}_images") for split in SPLITS},
        }
        write_json(folder / MANIFEST, description)
    except OSError as error:
        raise LdregError(f"{folder}: the data cannot be stored here ({error})") from error
    return description


def read_composed(folder: Path) -> tuple[CocoSet, CocoSet]:
    """Read the training and the validation split; errors are those of `read_coco`."""
    train, val = (read_coco(folder / split, _annotations(folder, split)) for split in SPLITS)
    return train, val


def _annotations(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"instances_{split}.json"


def _images(
    digits: ImageData, split: str, settings: ComposedSettings, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, list[Pasted]]]:
    """Yield images, uint8 (canvas, canvas, 3), and the digits on each."""
    source = digits.train if split == "train" else digits.test
    grey, labels = source.images[:, 0].numpy(), source.labels.tolist()
    for _ in range(getattr(settings, f"{split}_images")):
        canvas, pasted = _ground(settings.canvas, generator), []
        for _ in range(generator.integers(*settings.digits, endpoint=True)):
            chosen = generator.integers(len(labels))
            side = int(generator.integers(*settings.sides, endpoint=True))
            place = _free_place(settings.canvas, side, pasted, generator)
            if place is None:
                continue
            pixels = np.asarray(Image.fromarray(grey[chosen]).resize((side, side), Image.Resampling.BICUBIC))
            pasted.append(Pasted(labels[chosen], *place, pixels))
            left, top = place
            part = canvas[top : top + side, left : left + side]
            np.maximum(part, pixels[..., None], out=part)
        yield canvas, pasted


def _ground(size: int, generator: np.random.Generator) -> np.ndarray:
    """Draw a dark background whose colour changes smoothly: uint8 (size, size, 3)."""
    points = generator.integers(GROUND, size=(COARSE, COARSE, 3), dtype=np.uint8)
    return np.array(Image.fromarray(points).resize((size, size), Image.Resampling.BILINEAR))


def _free_place(
    size: int, side: int, pasted: list[Pasted], generator: np.random.Generator
) -> tuple[int, int] | None:
    """Return left and top of a square that overlaps no pasted digit; None if no attempt finds one."""
    for left, top in generator.integers(size - side, size=(TRIES, 2), endpoint=True).tolist():
        if not any(
            left < other.left + len(other.pixels)
            and other.left < left + side
            and top < other.top + len(other.pixels)
            and other.top < top + side
            for other in pasted
        ):
            return left, top
    return None


def _content(
    made: list[tuple[np.ndarray, list[Pasted]]], classes: int, settings: ComposedSettings
) -> dict[str, Any]:
    """Return COCO's JSON of a split. Category ids are the digits plus 1, because COCO's ids begin at 1."""
    size, annotations = settings.canvas, []
    for image_id, (_, pasted) in enumerate(made, start=1):
        for each in pasted:
            mask = np.zeros((size, size), dtype=np.uint8, order="F")
            side = len(each.pixels)
            mask[each.top : each.top + side, each.left : each.left + side] = each.pixels >= INK
            code = rle.encode(mask)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": each.label + 1,
                    "bbox": rle.toBbox(code).tolist(),
                    "area": int(rle.area(code)),
                    "iscrowd": 0,
                    "segmentation": {"size": [size, size], "counts": code["counts"].decode()},
                }
            )
    return {
        "images": [
            {"id": number, "file_name": f"{number:06d}.png", "height": size, "width": size}
            for number in range(1, len(made) + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": label + 1, "name": str(label)} for label in range(classes)],
    }
