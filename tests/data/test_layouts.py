"""Food-101, Birdsnap, Cars and DTD as they are published, on small trees of the real layout."""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from dataset_trees import COUNTS, MAKE, birdsnap, cars, food101, picture
from scipy.io import savemat

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data.datasets import ImageData, load, prepare
from ldreg.data.fetch import Absent
from ldreg.data.loader import load_eval_views
from ldreg.errors import LdregError


@pytest.fixture(autouse=True)
def few_classes(declare: Callable[..., None]) -> None:
    for name, count in COUNTS.items():
        declare(name, classes=count)


def unpacked(name: str) -> str:
    """The folder to which the set's archive unpacks."""
    return DATA_SETS[name].unpacked[0]


@pytest.fixture(params=MAKE)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(name: str, tmp_path: Path) -> Path:
    """A data root in which the set lies as its archive unpacks."""
    MAKE[name](tmp_path / name / unpacked(name))
    return tmp_path


def samples(data: ImageData) -> list[set[tuple[str, int]]]:
    return [set(zip(s.images.paths, s.labels.tolist(), strict=True)) for s in (data.train, data.test)]


def torchvisions(name: str, root: Path) -> list[set[tuple[str, int]]]:
    """Paths and labels as torchvision's class of the data set has them."""
    if name == "cars":
        found = [
            torchvision.datasets.StanfordCars(root / name, split)._samples for split in ("train", "test")
        ]
        return [{(str(path), int(label)) for path, label in each} for each in found]
    kind = {"food101": torchvision.datasets.Food101, "dtd": torchvision.datasets.DTD}[name]
    # torchvision's root for DTD is the folder that holds dtd/dtd.
    place = root if name == "dtd" else root / name
    found = [kind(place, split) for split in ("train", "test")]
    return [set(zip(map(str, each._image_files), each._labels, strict=True)) for each in found]


def test_counts_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    counts = {name: DATA_SETS[name].classes for name in MAKE}
    assert counts == {"food101": 101, "birdsnap": 500, "cars": 196, "dtd": 47}


def test_published_layout(name: str, root: Path) -> None:
    prepare(name, root)
    data = load(name, root)
    assert data.classes == COUNTS[name] and data.train.channels == 3
    if name == "birdsnap":
        images = root / name / "birdsnap" / "images"
        tested = {(f"{images}/Acadian_Flycatcher/{i}.jpg", 0) for i in (0, 3)}
        expected = [
            {(f"{images}/Acadian_Flycatcher/{i}.jpg", 0) for i in (1, 2)}
            | {(f"{images}/Green_Jay/{i}.jpg", 1) for i in (0, 2, 3)},
            tested | {(f"{images}/Green_Jay/1.jpg", 1)},
        ]
    else:
        expected = torchvisions(name, root)
    assert samples(data) == expected
    for split in (data.train, data.test):
        assert split.labels.tolist() == sorted(split.labels.tolist())
        views = torch.cat([*load_eval_views(split.images, 16, 8, 0, torch.device("cpu"))])
        assert views.shape == (len(split.labels), 3, 16, 16)
    manifest = json.loads((root / name / "dataset.json").read_text())
    assert manifest["listed"] is True and "the user's folder" in manifest["source"]
    assert (manifest["train_images"], manifest["test_images"]) == tuple(map(len, expected))


@pytest.mark.parametrize("images", ["images", "download/images", "."])
def test_birdsnaps_images_lie_where_its_script_or_another_copy_has_them(images: str, tmp_path: Path) -> None:
    """get_birdsnap.py downloads into download/images; the authors' loader has the classes beside the list."""
    root = tmp_path / "birdsnap" / "birdsnap"
    birdsnap(root)
    (root / "images").rename(root / "all")
    (root / images).parent.mkdir(exist_ok=True)
    for label in ("Green_Jay", "Acadian_Flycatcher"):
        (root / images).mkdir(exist_ok=True)
        (root / "all" / label).rename(root / images / label)
    (root / "all").rmdir()
    (root / "download" / "temp").mkdir(parents=True)  # of the script, empty at its end
    prepare("birdsnap", tmp_path)
    train, test = samples(load("birdsnap", tmp_path))
    place = root / images
    assert train == {(str(place / "Acadian_Flycatcher" / f"{i}.jpg"), 0) for i in (1, 2)} | {
        (str(place / "Green_Jay" / f"{i}.jpg"), 1) for i in (0, 2, 3)
    }
    assert test == {(str(place / "Acadian_Flycatcher" / f"{i}.jpg"), 0) for i in (0, 3)} | {
        (str(place / "Green_Jay" / "1.jpg"), 1)
    }


def test_data_folder_may_be_torchvisions_root(name: str, tmp_path: Path) -> None:
    """Food-101 in <data>/food-101, Cars in <data>/stanford_cars, and nothing is downloaded or copied."""
    MAKE[name](tmp_path / unpacked(name))
    prepare(name, tmp_path)
    data = load(name, tmp_path)
    place = tmp_path / unpacked(name)
    assert data.train.images.folder == place and all(map(os.path.isfile, data.train.images.paths))
    if name in ("food101", "cars"):
        kind = {"food101": torchvision.datasets.Food101, "cars": torchvision.datasets.StanfordCars}[name]
        assert len(data.test.labels) == len(kind(tmp_path, "test"))
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["dataset.json", "files.json"]


def test_extracted_folder_may_be_the_data_sets_own(name: str, root: Path) -> None:
    prepare(name, root)
    before, digest = samples(load(name, root)), load(name, root).digest
    moved = root / "other" / name
    shutil.copytree(root / name / unpacked(name), moved)
    prepare(name, root / "other")
    data = load(name, root / "other")
    assert data.digest != digest  # of other paths below the folder
    for there, here in zip(samples(data), before, strict=True):
        assert {(Path(path).name, label) for path, label in there} == {
            (Path(path).name, label) for path, label in here
        }


def test_folder_per_split_and_class_as_for_imagenet(name: str, tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2)):
        for label in range(COUNTS[name]):
            for i in range(count):
                picture(tmp_path / name / split / f"class{label}" / f"{i}.jpg")
    prepare(name, tmp_path)
    data = load(name, tmp_path)
    assert data.train.labels.bincount().tolist() == [3] * COUNTS[name]
    assert all(Path(path).is_file() for path in (*data.train.images.paths, *data.test.images.paths))
    for made in ("dataset.json", "files.json"):
        (tmp_path / name / made).unlink()
    for split in ("train", "val"):
        shutil.rmtree(tmp_path / name / split / "class0")
    told = f"{COUNTS[name] - 1} classes (first 'class1'); {name} has {COUNTS[name]}"
    assert refused(name, tmp_path) == f"{tmp_path / name / 'train'}: {told}"


# Downloads


@pytest.mark.parametrize(
    ("name", "kind"), [("food101", torchvision.datasets.Food101), ("dtd", torchvision.datasets.DTD)]
)
def test_torchvision_download(
    name: str,
    kind: type,
    tmp_path: Path,
    serve_folder: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    extracted = unpacked(name)
    MAKE[name](tmp_path / "made" / extracted)
    archive = tmp_path / "served" / kind._URL.rpartition("/")[2]
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / extracted, extracted)
    monkeypatch.setattr(kind, "_URL", f"{serve_folder(archive.parent)}{archive.name}")
    message = refused(name, tmp_path / "data")
    assert message.startswith(f"{archive.name}: the download is cut off or altered")
    assert list((tmp_path / "data").iterdir()) == []
    told = capsys.readouterr().err
    assert f"{name}: not found in {tmp_path / 'data' / name}; trying torchvision's download, " in told
    assert {"food101": "5.0 GB", "dtd": "0.6 GB"}[name] in told
    monkeypatch.setattr(kind, "_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    prepare(name, tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data" / name).iterdir()) == sorted(
        ["dataset.json", extracted, "files.json"]
    )
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]
    assert len(load(name, tmp_path / "data").test.labels) == {"food101": 3, "dtd": 4}[name]
    manifest = json.loads((tmp_path / "data" / name / "dataset.json").read_text())
    assert manifest["source"].startswith("torchvision's download")


def test_nothing_there_says_what_is_expected(
    name: str, tmp_path: Path, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (torchvision.datasets.Food101, torchvision.datasets.DTD):
        monkeypatch.setattr(kind, "_URL", f"{nobody}x.tar.gz")
    message = refused(name, tmp_path, Absent)
    layout = DATA_SETS[name].layout
    cause = (
        f"{name} cannot be fetched (torchvision" if layout.torchvision else f"{tmp_path / name}: no images"
    )
    assert message.startswith(cause)
    assert (
        f"so that {tmp_path / name} holds {unpacked(name)}/{layout.test_list} and {unpacked(name)}/"
        in message
    )
    assert list(tmp_path.iterdir()) == []


# Errors


def refused(name: str, root: Path, kind: type[LdregError] = LdregError) -> str:
    with pytest.raises(LdregError) as caught:
        prepare(name, root)
    assert type(caught.value) is kind  # what is there and damaged is not absent
    assert "\n" not in str(caught.value)
    assert not (root / name / "dataset.json").exists() and not (root / name / "files.json").exists()
    return str(caught.value)


def test_missing_image_and_list_are_named(name: str, root: Path) -> None:
    place = root / name / unpacked(name)
    image = {
        "food101": "images/waffles/3.jpg",
        "dtd": "images/woven/woven_train10.jpg",
        "cars": "cars_train/00002.jpg",
    }
    if name in image:
        (place / image[name]).unlink()
        assert refused(name, root).startswith(f"{place / image[name]}: cannot be read (No such file")
    listed = {
        "food101": "meta/train.json",
        "dtd": "labels/train1.txt",
        "cars": "devkit/cars_train_annos.mat",
        "birdsnap": "images",
    }
    path = place / listed[name]
    path.rename(path.with_name("elsewhere"))
    assert refused(name, root).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"MATLAB 5.0"])
def test_damaged_list_is_named(name: str, root: Path, content: bytes) -> None:
    path = root / name / unpacked(name) / DATA_SETS[name].layout.test_list
    path.write_bytes(content)
    assert str(path if content or name != "dtd" else path.parents[1]) in refused(name, root)


def test_incomplete_set_is_neither_fetched_over_nor_left_out(name: str, root: Path) -> None:
    path = root / name / unpacked(name) / DATA_SETS[name].layout.test_list
    path.unlink()
    assert refused(name, root).startswith(f"{path}: not found; unpack or complete")
    if name in ("food101", "cars"):  # in torchvision's root
        (root / name / unpacked(name)).rename(root / unpacked(name))
        path = root / unpacked(name) / DATA_SETS[name].layout.test_list
        assert refused(name, root).startswith(f"{path}: not found; unpack or complete")


def test_archive_that_was_not_unpacked_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "archive.tar.gz").write_bytes(b"")
    assert "not found; unpack or complete the data set" in refused(name, tmp_path)


def test_damaged_annotations_are_named(tmp_path: Path) -> None:
    cars(tmp_path / "cars" / "stanford_cars")
    path = tmp_path / "cars" / "stanford_cars" / "devkit" / "cars_train_annos.mat"
    for number in (0, 4):
        rows = np.array([(number, "00001.jpg")], dtype=[("class", object), ("fname", object)])
        savemat(path, {"annotations": rows})
        assert refused("cars", tmp_path).startswith(f"{path}: damaged; expected class and fname")


def test_wrong_number_of_classes_is_told(name: str, root: Path, declare: Callable[..., None]) -> None:
    declare(name, classes=47)
    assert refused(name, root).endswith(f"; {name} has 47")


def test_class_that_is_tested_alone_is_named(tmp_path: Path) -> None:
    food101(tmp_path / "food101" / "food-101")
    path = tmp_path / "food101" / "food-101" / "meta" / "test.json"
    path.write_text(json.dumps({"pizza": ["waffles/5"]}))
    assert "class 'pizza' is tested on, but has no image to train on" in refused("food101", tmp_path)
