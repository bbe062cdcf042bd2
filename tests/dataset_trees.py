"""Small trees of Food-101, DTD, Cars and Birdsnap in their real layouts, for the tests of data sets."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

COUNTS = {"food101": 2, "birdsnap": 2, "cars": 3, "dtd": 2}
CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012")


def picture(path: Path) -> None:
    """A colour image of noise, 40 pixels wide and 30 high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((40, 30), 60).convert("RGB").save(path)


def food101(root: Path) -> None:
    """Food-101: images by class, and the splits as JSON in `meta`."""
    listed = {
        "train": {"waffles": ["waffles/7", "waffles/3"], "apple_pie": ["apple_pie/10"]},
        "test": {"waffles": ["waffles/5"], "apple_pie": ["apple_pie/2", "apple_pie/11"]},
    }
    (root / "meta").mkdir(parents=True)
    for split, images in listed.items():
        (root / "meta" / f"{split}.json").write_text(json.dumps(images))
        for each in images.values():
            for image in each:
                picture(root / "images" / f"{image}.jpg")


def dtd(root: Path) -> None:
    """DTD: images by class, and the splits as lists in `labels`."""
    (root / "labels").mkdir(parents=True)
    for split in ("train1", "val1", "test1"):
        images = [f"{label}/{label}_{split}{i}.jpg" for label in ("woven", "banded") for i in range(2)]
        (root / "labels" / f"{split}.txt").write_text("\n".join(images) + "\n")
        for image in images:
            picture(root / "images" / image)


def cars(root: Path) -> None:
    """Cars: images by split, and the annotations as Matlab files."""
    kind = [("bbox_x1", object), ("class", object), ("fname", object)]
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": np.array(CARS, dtype=object)})
    for folder, annotations, numbers in (
        ("cars_train", "devkit/cars_train_annos.mat", (3, 1, 2, 3)),
        ("cars_test", "cars_test_annos_withlabels.mat", (2, 3, 1)),
    ):
        rows = [(10, number, f"{i + 1:05}.jpg") for i, number in enumerate(numbers)]
        savemat(root / annotations, {"annotations": np.array(rows, dtype=kind)})
        for _, _, name in rows:
            picture(root / folder / name)


def birdsnap(root: Path) -> None:
    """Birdsnap: images by class, and a list of those to test on, one of which is missing."""
    for label in ("Green_Jay", "Acadian_Flycatcher"):
        for i in range(4):
            picture(root / "images" / label / f"{i}.jpg")
    tested = ["Green_Jay/1.jpg", "Acadian_Flycatcher/3.jpg", "Acadian_Flycatcher/0.jpg", "Green_Jay/gone.jpg"]
    (root / "test_images.txt").write_text("path\n" + "\n".join(tested) + "\n")


MAKE = {"food101": food101, "birdsnap": birdsnap, "cars": cars, "dtd": dtd}
