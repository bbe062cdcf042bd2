"""A small data set in COCO's format, composed of scikit-learn's digits: real pixels, exact boxes and masks.

Each image is a dark, coloured, uneven ground with a few digits of different sizes on it, none over another.
The training split shows digits of the digits' training split alone, the validation split those of the test
split alone: what a detector is tested on, no encoder and no detector has been trained on.
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
INK = 64  # of 255: a pixel at least so bright belongs to the digit
TRIES = 100  # for a free place
GROUND = 64  # of 255: the ground is darker
COARSE = 4  # the ground is drawn on so many points a side, and interpolated


class Pasted(NamedTuple):
    """A digit on a canvas."""

    label: int
    left: int
    top: int
    pixels: np.ndarray  # uint8 (side, side)


def compose(folder: Path, digits: ImageData, settings: ComposedSettings) -> dict[str, Any]:
    """Write `folder/{train,val}/*.png` and `folder/annotations/instances_{train,val}.json`.

    Args:
        digits: grey images on black; any set with two splits will do.

    Returns:
        The content of `folder/composed.json`, which is written last: {"settings", "source": digest of the
        digits, "digest": of all pixels and objects, "train_images", "val_images"}.

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
    """The training and the validation split; errors as of `read_coco`."""
    train, val = (read_coco(folder / split, _annotations(folder, split)) for split in SPLITS)
    return train, val


def _annotations(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"instances_{split}.json"


def _images(
    digits: ImageData, split: str, settings: ComposedSettings, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, list[Pasted]]]:
    """Canvases uint8 (canvas, canvas, 3) and what is on each."""
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
    """A dark ground whose colour changes smoothly: uint8 (size, size, 3)."""
    points = generator.integers(GROUND, size=(COARSE, COARSE, 3), dtype=np.uint8)
    return np.array(Image.fromarray(points).resize((size, size), Image.Resampling.BILINEAR))


def _free_place(
    size: int, side: int, pasted: list[Pasted], generator: np.random.Generator
) -> tuple[int, int] | None:
    """Left and top of a square that touches none of those there; None where no try finds one."""
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
    """COCO's JSON of a split; category ids are the digits plus 1, as COCO's begin at 1."""
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
