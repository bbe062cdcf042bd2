"""CIFAR-100's two ways, on a few images: published checksums are replaced, nothing is downloaded."""

import hashlib
import json
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from ldreg.data import datasets
from ldreg.data.fetch import Absent
from ldreg.errors import LdregError


class Tiny:
    """The extracted folder as published, and its archive in `served`."""

    def __init__(self, folder: Path) -> None:
        generator = np.random.default_rng(0)
        self.own, self.served = folder / "cifar-100-python", folder / "served"
        self.own.mkdir(parents=True)
        self.served.mkdir()
        self.images, self.labels = {}, {}
        for split, n in (("train", 8), ("test", 4)):
            self.images[split] = generator.integers(0, 256, (n, 3, 32, 32), np.uint8)
            self.labels[split] = generator.integers(0, 100, n).tolist()
            content = {
                "data": self.images[split].reshape(n, 3072),
                "fine_labels": self.labels[split],
                "coarse_labels": [0] * n,
            }
            (self.own / split).write_bytes(pickle.dumps(content))
        (self.own / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}))
        with tarfile.open(self.served / CIFAR100.filename, "w:gz") as tar:
            tar.add(self.own, self.own.name)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(tmp_path: Path, nobody: str, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny set's checksums count as the published ones; no host can be reached."""
    tiny = Tiny(tmp_path / "originals")
    monkeypatch.setattr(CIFAR100, "train_list", [["train", md5(tiny.own / "train")]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", md5(tiny.own / "test")]])
    meta = {"filename": "meta", "key": "fine_label_names", "md5": md5(tiny.own / "meta")}
    monkeypatch.setattr(CIFAR100, "meta", meta)
    monkeypatch.setattr(CIFAR100, "tgz_md5", md5(tiny.served / CIFAR100.filename))
    monkeypatch.setattr(CIFAR100, "url", f"{nobody}{CIFAR100.filename}")
    return tiny


def assert_prepared(root: Path, tiny: Tiny, source: str) -> None:
    datasets.prepare("cifar100", root)
    data = datasets.load("cifar100", root)
    for split, name in ((data.train, "train"), (data.test, "test")):
        assert np.array_equal(split.images, tiny.images[name])
        assert split.labels.tolist() == tiny.labels[name]
    assert json.loads((root / "cifar100" / "dataset.json").read_text())["source"] == source
    assert [path.name for path in root.iterdir()] == ["cifar100"]


def refused(root: Path) -> str:
    with pytest.raises(LdregError) as caught:
        datasets.prepare("cifar100", root)
    assert "\n" not in str(caught.value)
    assert not list(root.glob("cifar100/dataset.json")) and not list(root.glob(".*"))
    return str(caught.value)


def test_own_folder(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.own, tmp_path / "data" / "cifar100" / tiny.own.name)
    assert_prepared(tmp_path / "data", tiny, "cifar-100-python")


def test_data_folder_may_be_torchvisions_root(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.own, tmp_path / "data" / tiny.own.name)
    datasets.prepare("cifar100", tmp_path / "data")
    assert len(datasets.load("cifar100", tmp_path / "data").test.labels) == 4


def test_torchvision_download(
    tiny: Tiny, tmp_path: Path, serve_folder: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR100, "url", f"{serve_folder(tiny.served)}{CIFAR100.filename}")
    assert_prepared(tmp_path / "data", tiny, "torchvision's download")


def test_wrong_download_is_refused(
    tiny: Tiny, tmp_path: Path, serve_folder: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.served / CIFAR100.filename).write_bytes(b"other")
    monkeypatch.setattr(CIFAR100, "url", f"{serve_folder(tiny.served)}{CIFAR100.filename}")
    message = refused(tmp_path / "data")
    assert message.startswith("cifar-100-python.tar.gz: ") and "not the published MD5" in message


def test_no_source_says_what_to_do_by_hand(tiny: Tiny, tmp_path: Path) -> None:
    message = refused(tmp_path / "data")
    assert message.startswith("cifar100 cannot be fetched (torchvision's download: ")
    assert message.endswith(f"so that {tmp_path}/data/cifar100 holds cifar-100-python")
    with pytest.raises(Absent):
        datasets.prepare("cifar100", tmp_path / "data")
    # An archive that was put there, but not unpacked, is not absent.
    (tmp_path / "data" / "cifar100").mkdir()
    (tmp_path / "data" / "cifar100" / CIFAR100.filename).touch()
    with pytest.raises(LdregError, match="data/cifar100 holds no cifar100; ") as caught:
        datasets.prepare("cifar100", tmp_path / "data")
    assert type(caught.value) is LdregError


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_damaged_own_folder_names_the_file(tiny: Tiny, tmp_path: Path, name: str) -> None:
    """And the pickle is not opened."""
    path = shutil.copytree(tiny.own, tmp_path / "data" / "cifar100" / tiny.own.name) / name
    path.write_bytes(path.read_bytes()[:-1])
    assert f"{path}: missing, or its MD5 is not the published" in refused(tmp_path / "data")
