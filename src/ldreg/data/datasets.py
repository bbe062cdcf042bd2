"""Image sets, prepared once: tensors from a verified source, or the user's own folder of image files.

`prepare` leaves two files in `root/<name>/`: `arrays.safetensors`, or `files.json` for a folder of images
(`ldreg.data.folder`), and, last of all, `dataset.json`, which describes them and holds their digest. A folder
with a `dataset.json` is complete.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ldreg.catalogue.data_sets import DATA_SETS, DataSet
from ldreg.data.folder import ImageFiles, load_folder, prepare_folder
from ldreg.data.layouts import prepare_listed
from ldreg.errors import LdregError
from ldreg.files import replacing, write_json

ARRAYS = "arrays.safetensors"
MANIFEST = "dataset.json"


@dataclass(frozen=True)
class Split:
    """One part of a data set."""

    images: Tensor | ImageFiles  # uint8 (n, channels, height, width), native resolution; or n files
    labels: Tensor  # int64 (n,)

    @property
    def channels(self) -> int:
        """Of the images: 1 or 3."""
        return self.images.shape[1] if isinstance(self.images, Tensor) else 3


@dataclass(frozen=True)
class ImageData:
    """A data set with its two fixed splits."""

    name: str
    train: Split
    test: Split
    classes: int
    digest: str  # of the whole set as prepared, also where `train` is a subset of it


def prepare(name: str, root: Path) -> None:
    """Fetch the data set, verify it and store it below `root/name/`; `dataset.json` appears last.

    A set without `arrays` is not fetched: the user's images lie there already and are listed. Only one with a
    `layout` that torchvision downloads is fetched where there are none.

    Raises:
        LdregError: If the name is unknown, no source can be had, a checksum is wrong or `root` cannot be
            written. Nothing half-fetched stays behind.
    """
    data_set = _data_set(name)
    folder = Path(root) / name
    try:
        if data_set.arrays is not None:
            description = _prepare_arrays(data_set, folder)
        else:
            description = (prepare_listed if data_set.layout else prepare_folder)(name, folder)
        write_json(folder / MANIFEST, description)
    except OSError as error:
        raise LdregError(f"{folder}: the data cannot be stored here ({error})") from error


def _prepare_arrays(data_set: DataSet, folder: Path) -> dict[str, Any]:
    """Store the arrays of a set; returns their description."""
    name = data_set.key
    arrays, source = data_set.arrays.load()(folder)
    found = digest(arrays)
    if data_set.digest not in (None, found):
        raise LdregError(f"{name} from {source}: digest {found} where {data_set.digest} is expected")
    labels = torch.cat([arrays["train_labels"], arrays["test_labels"]])
    if labels.min() < 0 or labels.max() >= data_set.classes:
        raise LdregError(
            f"{name} from {source}: labels {labels.min()} to {labels.max()} are not allowed; {name} has"
            f" {data_set.classes} classes, numbered from 0"
        )
    with replacing(folder / ARRAYS) as temporary:
        temporary.write_bytes(save(arrays))
    return {
        "name": name,
        "classes": data_set.classes,
        "train_images": len(arrays["train_labels"]),
        "test_images": len(arrays["test_labels"]),
        "shape": list(arrays["train_images"].shape[1:]),
        "digest": found,
        "source": source,
    }


def load(name: str, root: Path, train_images: int | None = None) -> ImageData:
    """Load a prepared data set and verify its digest.

    Args:
        name: A key of `ldreg.catalogue.data_sets.DATA_SETS`.
        root: The folder that was given to `prepare`.
        train_images: Keep this many training images, chosen by `balanced_rows`; None keeps all.

    Raises:
        LdregError: If the name is unknown, the set has not been prepared, a file is damaged or
            `train_images` is not between 1 and what there is.
    """
    data_set = _data_set(name)
    folder = Path(root) / name
    description = _read_manifest(folder / MANIFEST, name)
    if data_set.arrays is None:
        splits = load_folder(
            name, folder, description["digest"], description["images"], description["listed"]
        )
    else:
        splits = _load_arrays(name, folder, description["digest"])
    train, test = (Split(*part) for part in splits)
    if train_images is not None:
        if not 1 <= train_images <= len(train.labels):
            raise LdregError(
                f"train_images: {train_images} is not allowed; {name} has 1 to {len(train.labels)}"
            )
        rows = balanced_rows(train.labels, train_images)
        train = Split(train.images[rows], train.labels[rows])
    return ImageData(name, train, test, description["classes"], description["digest"])


def balanced_rows(labels: Tensor, n: int) -> Tensor:
    """The rows of a class-balanced subset of `n` rows, ascending: the same for every seed.

    The classes take turns in the order of their labels, each giving its first row not yet taken, until there
    are `n`. So counts differ by at most one while no class runs out, and a larger subset holds each smaller.

    >>> balanced_rows(torch.tensor([1, 1, 0, 0, 0]), 3)
    tensor([0, 2, 3])
    """
    counts = torch.bincount(labels)
    by_class = torch.argsort(labels, stable=True)
    turn = torch.empty_like(labels)
    turn[by_class] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
    return torch.argsort(turn * len(counts) + labels)[:n].sort().values


def digest(arrays: dict[str, Tensor]) -> str:
    """First 16 hexadecimal digits of the SHA-256 over names, types, shapes and contents."""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        sha.update(array.contiguous().numpy())
    return sha.hexdigest()[:16]


def _data_set(name: str) -> DataSet:
    if name not in DATA_SETS:
        raise LdregError(f"dataset: {name!r} is not known; allowed: {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def _read_manifest(path: Path, name: str) -> dict:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        return {
            "digest": str(description["digest"]),
            "classes": int(description["classes"]),
            "images": str(description.get("images", name)),  # folders prepared by earlier versions do not say
            "listed": bool(description.get("listed", False)),
        }
    except OSError as error:
        raise LdregError(f"{path}: not found; prepare it first: ldreg data {name}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LdregError(f"{path}: damaged; prepare again: ldreg data {name}") from error


def _load_arrays(name: str, folder: Path, expected: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels of the training and of the test split."""
    path = folder / ARRAYS
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise LdregError(f"{path}: missing or damaged; prepare again: ldreg data {name}") from error
    found = digest(arrays)
    if found != expected:
        raise LdregError(
            f"{path}: digest {found}, but {MANIFEST} says {expected}; prepare again: ldreg data {name}"
        )
    for split in ("train", "test"):
        yield arrays[f"{split}_images"], arrays[f"{split}_labels"]
