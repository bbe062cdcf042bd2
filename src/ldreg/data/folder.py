"""Data sets that stay image files in a folder of the user: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`.

`prepare_folder` writes a list of all files to `files.json`, {split: {class: {file: bytes}}}, because walking
a million files takes minutes on a cluster's disk. `load_folder` reads that list. No image is opened here.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data.classes import check_classes, class_digest
from ldreg.data.fetch import Absent
from ldreg.data.places import is_present
from ldreg.errors import LdregError
from ldreg.files import write_text

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # ImageFolder's
SPLITS = ("train", "val")
FILES = "files.json"

Tree = dict[str, dict[str, dict[str, int]]]


@dataclass(frozen=True)
class ImageFiles:
    """Image files of any size. `ldreg.data.loader` decodes them as RGB when they are needed."""

    folder: Path
    names: list[str]  # relative to the folder

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Tensor) -> "ImageFiles":
        """Return the files at positions `rows`, int64 (n,), in that order."""
        return ImageFiles(self.folder, [self.names[row] for row in rows.tolist()])

    def split(self, size: int) -> list["ImageFiles"]:
        """Return consecutive parts of `size` files, as `Tensor.split` does."""
        starts = range(0, len(self), size)
        return [ImageFiles(self.folder, self.names[start : start + size]) for start in starts]

    @property
    def paths(self) -> list[str]:
        """Full paths of the files."""
        return [os.path.join(self.folder, name) for name in self.names]


def prepare_folder(name: str, folder: Path) -> dict[str, Any]:
    """List the images of `folder` in `folder/files.json`, and return the description for `dataset.json`.

    Each folder of a split is a class, and each file below it with one of ImageFolder's extensions is an
    image. Classes and files are sorted by name, so labels and order are those of torchvision's ImageFolder. A
    set with a list in `config/classes` must have exactly these classes. A set that is part of a larger one
    takes its classes from `folder` or, if they are not there, from the folder of the larger set, where the
    images stay.

    Raises:
        Absent: if the folder is empty or missing.
        LdregError: if a split, a class or the images of a class are missing, if a class does not belong to
            the data set, if a file cannot be read, or if `folder` cannot be written.
    """
    images = _images(name, folder)
    is_part = DATA_SETS[name].part_of is not None
    check_writable(name, folder)
    try:
        classes = {
            split: check_classes(name, images / split, _folders(images / split), surplus_allowed=is_part)
            for split in SPLITS
        }
        if classes["train"] != classes["val"]:
            raise _one_sided(images, classes)
        tree = {split: _scan(images / split, classes[split]) for split in SPLITS}
    except OSError as error:
        raise LdregError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return write_list(name, folder, tree, images.name)


def check_writable(name: str, folder: Path) -> None:
    """Check that `files.json` can be written to `folder`, before its images are listed.

    Raises:
        LdregError: if it cannot; the error says what to do.
    """
    # If the set is part of a larger one, its own folder need not exist yet.
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        raise LdregError(
            f"{folder}: cannot be written, and the list of its images belongs there; make a folder of your"
            f" own, DATA/{name}, with links to what it holds, and set execution.data to DATA"
        )


def write_list(
    name: str, folder: Path, tree: Tree, images: str, origin: str = "the user's folder"
) -> dict[str, Any]:
    """Write `tree` to `folder/files.json`, and return the description for `dataset.json`.

    Args:
        name: key of the data set.
        folder: folder of the data set.
        tree: {split: {class: {file: bytes}}}, with classes in the order of their labels.
        images: name of the folder with the images: `folder` or one beside it.
        origin: where the images come from, as a text.
    """
    write_text(folder / FILES, json.dumps(tree, indent=0) + "\n")
    return {
        "name": name,
        "classes": len(tree["train"]),
        "classes_sha256": class_digest(list(tree["train"])),
        "train_images": _count(tree["train"]),
        "test_images": _count(tree["val"]),
        "digest": _digest(tree),
        "images": images,
        "source": f"{origin}; the digest is over paths and sizes, not over pixels",
    }


def load_folder(
    name: str, folder: Path, digest: str, images: str, listed: bool = False
) -> Iterator[tuple[ImageFiles, Tensor]]:
    """Yield the files and labels, int64 (n,), of the training split, then of the test split (val).

    Args:
        name: key of the data set.
        folder: folder in which it was prepared.
        digest, images, listed: values of these keys in `dataset.json`. If `listed`, paths are relative to the
            folder and not to `SPLIT/CLASS` (`ldreg.data.layouts`).

    Raises:
        LdregError: if `files.json` is missing or damaged, or if its digest differs from that in
            `dataset.json`.
    """
    path = folder / FILES
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        found = _digest(tree)
    except (OSError, ValueError, AttributeError) as error:
        raise LdregError(f"{path}: missing or damaged; prepare again: ldreg data {name}") from error
    if found != digest:
        raise LdregError(
            f"{path}: digest {found}, but dataset.json says {digest}; prepare again: ldreg data {name}"
        )
    for split in SPLITS:
        counts = torch.tensor([len(files) for files in tree[split].values()])
        places = {label: "" if listed else f"{split}/{label}/" for label in tree[split]}
        names = [f"{places[label]}{file}" for label, files in tree[split].items() for file in files]
        yield (
            ImageFiles(folder.parent / images, names),
            torch.arange(len(counts)).repeat_interleave(counts),
        )


def _images(name: str, folder: Path) -> Path:
    """Return the folder with the splits: `folder`, or that of the larger set of which this one is a part."""
    whole = DATA_SETS[name].part_of
    places = [folder, *([folder.parent / whole] if whole else [])]
    place = next((each for each in places if any((each / split).is_dir() for split in SPLITS)), folder)
    for split in SPLITS:
        if not (place / split).is_dir():
            names = " or ".join(f"{each.name}/{split}" for each in places)
            # Files that are present but not recognised are an error: the set must not be left out silently.
            kind = LdregError if is_present(name, folder.parent) else Absent
            raise kind(
                f"{place / split}: no such folder; {name} is not fetched: put your own copy there as"
                f" {split}/CLASS/*.JPEG, or set execution.data to the folder that holds {names}"
            )
    return place


def _folders(split: Path) -> list[str]:
    """Return the sorted names of the folders in `split`; each is a class."""
    with os.scandir(split) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        raise LdregError(f"{split}: holds no folder; expected one folder of images per class")
    return classes


def _one_sided(folder: Path, classes: dict[str, list[str]]) -> LdregError:
    """Return the error for splits with different classes."""
    train, val = (set(classes[split]) for split in SPLITS)
    first = min(train ^ val)
    here, there = SPLITS if first in train else SPLITS[::-1]
    return LdregError(f"{folder / there}: class {first!r} is missing, which {here} has")


def _scan(split: Path, classes: list[str]) -> dict[str, dict[str, int]]:
    """Return {class: {file: bytes}} for the folder of a split."""
    found = {label: scan_class(os.path.join(split, label)) for label in classes}
    for label, files in found.items():
        if not files:
            raise LdregError(
                f"{split / label}: holds no image; expected files that end in {', '.join(EXTENSIONS)}"
            )
    return found


def scan_class(folder: str) -> dict[str, int]:
    """Return {path: bytes} for all images below `folder`. Paths are relative to it and sorted."""

    def stop(error: OSError) -> None:  # without this, os.walk skips folders that it cannot list
        raise error

    found = {}
    for parent, _, names in os.walk(folder, followlinks=True, onerror=stop):
        for name in names:
            if name.lower().endswith(EXTENSIONS):
                path = os.path.join(parent, name)
                found[path.removeprefix(folder + os.sep)] = os.stat(path).st_size
    return dict(sorted(found.items()))


def _count(classes: dict[str, dict[str, int]]) -> int:
    return sum(len(files) for files in classes.values())


def _digest(tree: Tree) -> str:
    """First 16 hexadecimal digits of the SHA-256 of relative paths and sizes, in their order."""
    sha = hashlib.sha256()
    for split, classes in tree.items():
        for label, files in classes.items():
            for file, size in files.items():
                sha.update(os.fsencode(f"{split}/{label}/{file}\0{size}\n"))
    return sha.hexdigest()[:16]
