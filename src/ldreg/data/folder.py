"""Image sets that stay files: the user's own folder `train/CLASS/*.JPEG`, `val/CLASS/*.JPEG`.

`prepare_folder` lists the tree once in `files.json`, {split: {class: {file: bytes}}}, because walking a
million files takes minutes on a cluster's disk; `load_folder` reads that list. No image is read here.
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
    """Images as files, of any sizes; decoded as RGB when they are needed (`ldreg.data.loader`)."""

    folder: Path
    names: list[str]  # relative to the folder

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Tensor) -> "ImageFiles":
        """The files at the places `rows`, int64 (n,), in that order."""
        return ImageFiles(self.folder, [self.names[row] for row in rows.tolist()])

    def split(self, size: int) -> list["ImageFiles"]:
        """Parts of `size` files, as `Tensor.split` makes them."""
        starts = range(0, len(self), size)
        return [ImageFiles(self.folder, self.names[start : start + size]) for start in starts]

    @property
    def paths(self) -> list[str]:
        return [os.path.join(self.folder, name) for name in self.names]


def prepare_folder(name: str, folder: Path) -> dict[str, Any]:
    """List the images of `folder` in `folder/files.json`; returns the description for `dataset.json`.

    A class is a folder of a split, an image any file below it with one of ImageFolder's extensions. Classes
    and files are sorted by name, so labels and order are those of torchvision's ImageFolder. A set with a
    list in `config/classes` must have these classes and no others. One that is part of another set is these
    classes of what there is: in `folder`, or else in the other's folder beside it, where the images stay.

    Raises:
        Absent: If nothing is there.
        LdregError: If a split, a class or a class's images are missing, a class is none of the data set's,
            something cannot be read, or `folder` cannot be written.
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
    """Refuse a folder that cannot take the list of its images, before they are listed.

    Raises:
        LdregError: Saying what to do.
    """
    # A part's folder need not exist yet.
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        raise LdregError(
            f"{folder}: cannot be written, and the list of its images belongs there; make a folder of your"
            f" own, DATA/{name}, with links to what it holds, and set execution.data to DATA"
        )


def write_list(
    name: str, folder: Path, tree: Tree, images: str, origin: str = "the user's folder"
) -> dict[str, Any]:
    """Write `tree` to `folder/files.json`; returns the description for `dataset.json`.

    Args:
        name: Of the data set.
        folder: Of the data set.
        tree: Its classes in the order of their labels, and their images.
        images: The folder that holds them, this one or one beside it.
        origin: Where they come from.
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
    """Files and labels, int64 (n,), of the training and of the test split (val), as they were prepared.

    Args:
        name: Of the data set.
        folder: Where it was prepared.
        digest, images, listed: What `dataset.json` says of them; `listed` if files are paths below the folder
            and not below `SPLIT/CLASS` (`ldreg.data.layouts`).

    Raises:
        LdregError: If `files.json` is missing, damaged or of another digest than `dataset.json` says.
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
    """The folder with the splits: `folder`, or for a part of a data set the whole's beside it."""
    whole = DATA_SETS[name].part_of
    places = [folder, *([folder.parent / whole] if whole else [])]
    place = next((each for each in places if any((each / split).is_dir() for split in SPLITS)), folder)
    for split in SPLITS:
        if not (place / split).is_dir():
            names = " or ".join(f"{each.name}/{split}" for each in places)
            # What is there in another form must not be left out in silence.
            kind = LdregError if is_present(name, folder.parent) else Absent
            raise kind(
                f"{place / split}: no such folder; {name} is not fetched: put your own copy there as"
                f" {split}/CLASS/*.JPEG, or set execution.data to the folder that holds {names}"
            )
    return place


def _folders(split: Path) -> list[str]:
    """The folders in `split`, each a class, sorted."""
    with os.scandir(split) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        raise LdregError(f"{split}: holds no folder; expected one folder of images per class")
    return classes


def _one_sided(folder: Path, classes: dict[str, list[str]]) -> LdregError:
    """The error for splits of different classes."""
    train, val = (set(classes[split]) for split in SPLITS)
    first = min(train ^ val)
    here, there = SPLITS if first in train else SPLITS[::-1]
    return LdregError(f"{folder / there}: class {first!r} is missing, which {here} has")


def _scan(split: Path, classes: list[str]) -> dict[str, dict[str, int]]:
    """Sizes in bytes of the images of each class."""
    found = {label: scan_class(os.path.join(split, label)) for label in classes}
    for label, files in found.items():
        if not files:
            raise LdregError(
                f"{split / label}: holds no image; expected files that end in {', '.join(EXTENSIONS)}"
            )
    return found


def scan_class(folder: str) -> dict[str, int]:
    """Sizes in bytes of the images below `folder`, by path below it, sorted."""

    def stop(error: OSError) -> None:  # os.walk would leave out what cannot be listed
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
    """First 16 hexadecimal digits of the SHA-256 over relative paths and sizes, in their order."""
    sha = hashlib.sha256()
    for split, classes in tree.items():
        for label, files in classes.items():
            for file, size in files.items():
                sha.update(os.fsencode(f"{split}/{label}/{file}\0{size}\n"))
    return sha.hexdigest()[:16]
