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
    and files are sorted by name, so labels and order are those of torchvision's ImageFolder.

    Raises:
        LdregError: If a split, a class or a class's images are missing, something cannot be read, or
            `folder` cannot be written.
    """
    for split in SPLITS:
        if not (folder / split).is_dir():
            raise LdregError(
                f"{folder / split}: no such folder; {name} is not fetched: put your own copy there as"
                f" {split}/CLASS/*.JPEG, or set execution.data to the folder that holds {name}/{split}"
            )
    if not os.access(folder, os.W_OK):
        raise LdregError(
            f"{folder}: cannot be written, and the list of its images belongs there; make a folder of your"
            f" own, DATA/{name}, with links to train and val in it, and set execution.data to DATA"
        )
    try:
        tree = {split: _scan(folder / split) for split in SPLITS}
    except OSError as error:
        raise LdregError(f"{error.filename}: cannot be read ({error.strerror})") from error
    train, val = (set(tree[split]) for split in SPLITS)
    if train != val:
        first = min(train ^ val)
        here, there = SPLITS if first in train else SPLITS[::-1]
        raise LdregError(f"{folder / there}: class {first!r} is missing, which {here} has")
    write_text(folder / FILES, json.dumps(tree, indent=0) + "\n")
    return {
        "name": name,
        "classes": len(train),
        "train_images": _count(tree["train"]),
        "test_images": _count(tree["val"]),
        "digest": _digest(tree),
        "source": "the user's folder; its digest is over paths and sizes, not over pixels",
    }


def load_folder(name: str, folder: Path, digest: str) -> Iterator[tuple[ImageFiles, Tensor]]:
    """Files and labels, int64 (n,), of the training and of the test split (val), as they were prepared.

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
        names = [f"{split}/{label}/{file}" for label, files in tree[split].items() for file in files]
        yield ImageFiles(folder, names), torch.arange(len(counts)).repeat_interleave(counts)


def _scan(split: Path) -> dict[str, dict[str, int]]:
    """Sizes in bytes of the images of each class."""
    with os.scandir(split) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        raise LdregError(f"{split}: holds no folder; expected one folder of images per class")
    found = {label: _scan_class(os.path.join(split, label)) for label in classes}
    for label, files in found.items():
        if not files:
            raise LdregError(
                f"{split / label}: holds no image; expected files that end in {', '.join(EXTENSIONS)}"
            )
    return found


def _scan_class(folder: str) -> dict[str, int]:
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
