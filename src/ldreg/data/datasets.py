"""Preparing and loading data sets: tensors from a verified source, or a user's folder of image files.

`prepare` writes two files to `root/<name>/`. The first is `arrays.safetensors`, or `files.json` for a folder
of images (`ldreg.data.folder`). The second is `dataset.json`, which describes the data and holds its digest.
It is written last, so a folder with a `dataset.json` is complete.
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
    """One split of a data set: images and their labels."""

    images: Tensor | ImageFiles  # uint8 (n, channels, height, width), or n files of any size
    labels: Tensor  # int64 (n,)

    @property
    def channels(self) -> int:
        """Number of channels of the images: 1 or 3."""
        return self.images.shape[1] if isinstance(self.images, Tensor) else 3


@dataclass(frozen=True)
class ImageData:
    """A data set with its training and test split."""

    name: str
    train: Split
    test: Split
    classes: int
    digest: str  # digest of the whole prepared set, even if `train` is a subset of it


def prepare(name: str, root: Path) -> None:
    """Fetch a data set, verify it and store it below `root/name/`; `dataset.json` is written last.

    A set without `arrays` consists of image files. These are listed in the user's folder and not fetched,
    unless the folder is empty and the set has a `layout` that torchvision downloads.

    Raises:
        LdregError: if the name is unknown, no source is available, a checksum is wrong or `root` cannot be
            written. Partial downloads are removed.
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
    """Store the arrays of a set and return their description."""
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
        name: key of `ldreg.catalogue.data_sets.DATA_SETS`.
        root: the folder that was passed to `prepare`.
        train_images: number of training images to keep, chosen by `balanced_rows`; None keeps all.

    Raises:
        LdregError: if the name is unknown, the set has not been prepared, a file is damaged, or
            `train_images` is less than 1 or more than the set has.
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
    """Return the rows of a class-balanced subset of size `n`, ascending. They do not depend on a seed.

    The classes take turns in the order of their labels. In each turn a class adds its first row that is not
    yet in the subset, until there are `n` rows. Class counts therefore differ by at most one unless a class
    runs out of rows, and every subset contains all smaller ones.

    >>> balanced_rows(torch.tensor([1, 1, 0, 0, 0]), 3)
    tensor([0, 2, 3])
    """
    counts = torch.bincount(labels)
    by_class = torch.argsort(labels, stable=True)
    turn = torch.empty_like(labels)
    turn[by_class] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
    return torch.argsort(turn * len(counts) + labels)[:n].sort().values


def digest(arrays: dict[str, Tensor]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the names, types, shapes and contents of `arrays`."""
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
            "images": str(description.get("images", name)),  # missing in folders of earlier versions
            "listed": bool(description.get("listed", False)),
        }
    except OSError as error:
        raise LdregError(f"{path}: not found; prepare it first: ldreg data {name}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LdregError(f"{path}: damaged; prepare again: ldreg data {name}") from error


def _load_arrays(name: str, folder: Path, expected: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels of the training split, then of the test split."""
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
