"""A data set that stays files: a small tree of real JPEGs, 3 classes, sizes and modes of all kinds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldreg.data import classes
from ldreg.data.datasets import prepare

CLASSES = ("ant", "bee", "cat")
PART = ("ant", "cat")
COUNTS = {"train": 10, "val": 6}


@pytest.fixture(autouse=True)
def small_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet has `CLASSES` in these tests, and ImageNet-100 `PART` of them."""
    monkeypatch.setattr(classes, "class_list", small_list)


def small_list(name: str) -> list[str]:
    return list({"imagenet": CLASSES, "imagenet100": PART}[name])


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root whose `imagenet` holds `CLASSES`, `COUNTS` images each, prepared."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for label in CLASSES:
            place = root / "imagenet" / split / label
            place.mkdir(parents=True)
            for i in range(count):
                write_image(place / f"{label}_{i}.JPEG", generator)
    train = root / "imagenet" / "train"
    with Image.open(train / "ant" / "ant_3.JPEG") as image:
        image.convert("L").save(train / "ant" / "ant_3.JPEG")
        image.convert("CMYK").save(train / "bee" / "bee_0.JPEG")
        image.convert("RGBA").save(train / "cat" / "more.png")
    (train / "cat" / "notes.txt").write_text("no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classes, "class_list", small_list)
        prepare("imagenet", root)
    return root


def write_image(path: Path, generator: np.random.Generator) -> None:
    """A smooth picture, between 40 and 90 pixels wide and high."""
    coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    width, height = generator.integers(40, 91, 2).tolist()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)


@pytest.fixture
def tree_copy(tree: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(tree, tmp_path / "data")
