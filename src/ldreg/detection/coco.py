"""Data sets in COCO's format: a folder of images, and a JSON file of objects with boxes and masks."""

import contextlib
import io
import math
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ImageOps
from pycocotools import mask as rle
from pycocotools.coco import COCO
from torch import Tensor

from ldreg.data.decode import CorruptImageError, read_image
from ldreg.errors import LdregError
from ldreg.files import digest, read_json

Annotation = dict[str, Any]
COCO_SPLITS = ("train2017", "val2017")
Target = dict[str, Tensor]  # boxes, labels, masks


@dataclass(frozen=True)
class CocoSet:
    """A split of a data set: the validated content of its JSON file, and the folder of its images."""

    images: Path  # folder
    annotations: Path  # JSON file
    index: COCO
    categories: tuple[int, ...]  # ids, ascending; the detector's class 1 is the first, 0 the background

    @property
    def image_ids(self) -> list[int]:
        """Ids of all images, ascending."""
        return sorted(self.index.imgs)

    def trainable(self) -> list[int]:
        """Ids of images with an object that is not a crowd, ascending; detectron2 trains only on these."""
        return [image_id for image_id in self.image_ids if self.objects(image_id)]

    def objects(self, image_id: int) -> list[Annotation]:
        """The objects of an image without crowds, which detectron2 leaves out of training, too."""
        return [found for found in self.index.imgToAnns.get(image_id, []) if not found.get("iscrowd", 0)]

    def task(self, image_id: int, flip: bool = False) -> "Task":
        """Return the task for `decode` with an image and its objects."""
        labels = {category: label for label, category in enumerate(self.categories, start=1)}
        objects = [(labels[each["category_id"]], each) for each in self.objects(image_id)]
        return replace(self.bare_task(image_id), objects=objects, flip=flip)

    def bare_task(self, image_id: int) -> "Task":
        """Return the task for `decode` with an image, without objects."""
        image = self.index.imgs[image_id]
        path = self.images / image["file_name"]
        return Task(image_id, path, image["height"], image["width"], self.annotations)


@dataclass(frozen=True)
class Task:
    """An image to decode, with its objects. It is small, because it is sent to a worker process."""

    image_id: int
    path: Path
    height: int
    width: int
    annotations: Path  # JSON file, named in errors
    objects: list[tuple[int, Annotation]] = field(default_factory=list)  # (label, object)
    flip: bool = False


def read_coco(images: Path, annotations: Path) -> CocoSet:
    """Read and check a split.

    Args:
        images: folder of the image files.
        annotations: JSON file with `images`, `annotations` and `categories`, e.g. instances_val2017.json.

    Raises:
        LdregError: if the file is missing or not valid JSON, if it has no images or categories, if an id
            occurs twice, if an object belongs to an unknown image or category or lacks a box or mask, or if
            an image file is missing. The error names the file.
    """
    content = read_json(annotations)
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise LdregError(f"{annotations}: {key}: missing, or no list of entries; COCO's format needs it")
        ids = Counter(entry.get("id") for entry in entries)
        if bad := next((each for each, count in ids.items() if count > 1 or not isinstance(each, int)), None):
            raise LdregError(f"{annotations}: {key}: id {bad!r} comes twice or is no whole number")
        if not entries:
            raise LdregError(f"{annotations}: {key}: there are none")
    _check_images(images, annotations, content["images"])
    _check_objects(annotations, content)
    for found in content["annotations"]:
        found.setdefault("iscrowd", 0)  # pycocotools needs it
    index = COCO()
    index.dataset = content
    with quietly():
        index.createIndex()
    return CocoSet(images, annotations, index, tuple(sorted(index.cats)))


def read_coco_2017(folder: Path) -> tuple[CocoSet, CocoSet]:
    """Read COCO's train2017 and val2017 from `folder`, which also holds `annotations`.

    Raises:
        LdregError: if a folder or file is missing, which is checked before anything is read; and in the cases
            of `read_coco`.
    """
    parts = [(folder / split, folder / "annotations" / f"instances_{split}.json") for split in COCO_SPLITS]
    for images, annotations in parts:
        for path, there, kind in (
            (images, images.is_dir(), "folder"),
            (annotations, annotations.is_file(), "file"),
        ):
            if not there:
                raise LdregError(
                    f"{path}: no such {kind}; COCO is not fetched: put your own train2017, val2017 and"
                    f" annotations/instances_{{train,val}}2017.json into {folder}"
                )
    train, val = (read_coco(*part) for part in parts)
    return train, val


def annotation_digests(train: CocoSet, val: CocoSet) -> dict[str, str]:
    """Return the digests of the annotation files, by split."""
    return {"train": digest(train.annotations), "val": digest(val.annotations)}


@contextlib.contextmanager
def quietly() -> Any:
    """Suppress the output that pycocotools prints inside the block."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def decode(task: Task) -> tuple[Tensor, Target]:
    """Decode an image and its objects, and mirror them if the task says so.

    Objects whose box has no area or whose mask has no pixel are left out, as in detectron2.

    Returns:
        uint8 (3, height, width), and for n objects `boxes` float32 (n, 4) as left, top, right, bottom in
        pixels, `labels` int64 (n,) from 1, `masks` uint8 (n, height, width) of 0 and 1.

    Raises:
        CorruptImageError: if the file is not a valid image; the error gives the reason without the path.
        LdregError: if the size of the image is wrong or a mask is damaged; the error names the file.
    """
    pixels = read_pixels(task)
    masks = torch.zeros(len(task.objects), task.height, task.width, dtype=torch.uint8)
    for mask, (_, found) in zip(masks, task.objects, strict=True):
        mask.copy_(torch.from_numpy(_mask(task, found)))
    boxes = torch.tensor([found["bbox"] for _, found in task.objects], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([label for label, _ in task.objects], dtype=torch.int64)
    boxes[:, 2:] += boxes[:, :2]
    boxes[:, 0::2].clamp_(0, task.width)
    boxes[:, 1::2].clamp_(0, task.height)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    if task.flip:
        image, masks = image.flip(-1), masks.flip(-1)
        boxes[:, [0, 2]] = task.width - boxes[:, [2, 0]]
    kept = (boxes[:, 2:] - boxes[:, :2] > 1e-5).all(dim=1) & masks.flatten(1).bool().any(dim=1)
    return image.contiguous(), {"boxes": boxes[kept], "labels": labels[kept], "masks": masks[kept]}


def read_pixels(task: Task) -> np.ndarray:
    """Read an image as uint8 (height, width, 3), rotated as its EXIF data says, as COCO's annotations assume.

    Raises:
        CorruptImageError, LdregError: in the cases of `decode`.
    """
    image = read_image(str(task.path))
    try:
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # PIL raises many kinds of errors for damaged EXIF data
        raise CorruptImageError("its EXIF is damaged") from error
    check_size(task, image.size)
    return np.array(image)


def check_size(task: Task, size: tuple[int, int]) -> None:
    """Check that width and height of an image are those in the JSON file of its split."""
    if size != (task.width, task.height):
        raise LdregError(
            f"{task.path}: is {size[0]} x {size[1]} pixels, but {task.annotations} says"
            f" {task.width} x {task.height}"
        )


def _mask(task: Task, found: Annotation) -> np.ndarray:
    """Decode a mask, uint8 (height, width), from polygons or a run-length encoding, compressed or not."""
    shape = found["segmentation"]
    try:
        if isinstance(shape, list):
            shape = rle.merge(rle.frPyObjects(shape, task.height, task.width))
        elif isinstance(shape["counts"], list):
            shape = rle.frPyObjects(shape, task.height, task.width)
        mask = rle.decode(shape)
    except Exception as error:  # pycocotools raises many kinds of errors for a damaged mask
        raise LdregError(
            f"{task.annotations}: annotations: id {found['id']}: segmentation: damaged"
        ) from error
    if mask.shape != (task.height, task.width):
        raise LdregError(
            f"{task.annotations}: annotations: id {found['id']}: segmentation: of {mask.shape[1]} x"
            f" {mask.shape[0]} pixels, but the image has {task.width} x {task.height}"
        )
    return mask


def _check_images(folder: Path, annotations: Path, entries: list[dict[str, Any]]) -> None:
    """Check name, size and file of every image; listing the folder is faster than 118,287 checks."""
    present: dict[Path, set[str]] = {}
    for entry in entries:
        for key, kind in (("file_name", str), ("height", int), ("width", int)):
            if not isinstance(entry.get(key), kind):
                raise LdregError(
                    f"{annotations}: images: id {entry['id']}: {key}: missing or no {kind.__name__}"
                )
        path = folder / entry["file_name"]
        if path.parent not in present:
            present[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        if path.name not in present[path.parent]:
            raise LdregError(f"{path}: no such file, but {annotations} lists it")


def _check_objects(path: Path, content: dict[str, Any]) -> None:
    known = {key: {entry["id"] for entry in content[key]} for key in ("images", "categories")}
    for found in content["annotations"]:
        where = f"{path}: annotations: id {found['id']}"
        for key, allowed in (("image_id", known["images"]), ("category_id", known["categories"])):
            if found.get(key) not in allowed:
                raise LdregError(f"{where}: {key}: {found.get(key)!r} is unknown")
        box = found.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(_finite(number) for number in box):
            raise LdregError(
                f"{where}: bbox: {box!r} is not allowed; it should be [left, top, width, height]"
            )
        shape = found.get("segmentation")
        if not _finite(found.get("area")):  # pycocotools groups objects into small and large by area
            raise LdregError(f"{where}: area: {found.get('area')!r} is not allowed; it should be in pixels")
        if not (isinstance(shape, list) and shape) and not (isinstance(shape, dict) and "counts" in shape):
            raise LdregError(
                f"{where}: segmentation: missing; it should be polygons or a run-length encoding"
            )


def _finite(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)
