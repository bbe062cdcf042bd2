"""Data sets whose splits are published as lists of files: Food-101, Birdsnap, Stanford Cars and DTD.

The images may be in the folder of the data set, either as its archive unpacks (and as torchvision stores it),
or as `train/CLASS/*.jpg` and `val/CLASS/*.jpg` as for ImageNet. They may also be beside that folder, where
torchvision stores them if the data folder is its root. `files.json` holds paths relative to the folder with
the images.
"""

import json
import os
from pathlib import Path
from typing import Any

from ldreg.catalogue.data_sets import DATA_SETS, DataSet
from ldreg.data.classes import check_classes
from ldreg.data.fetch import Absent, first_source, torchvision_download
from ldreg.data.folder import SPLITS, Tree, check_writable, prepare_folder, scan_class, write_list
from ldreg.data.places import has_content
from ldreg.errors import LdregError

Lists = dict[str, list[str]]  # {class: files} in the order of labels, relative to the unpacked folder


def prepare_listed(name: str, folder: Path) -> dict[str, Any]:
    """List the images of a set that has a `layout`. They are downloaded first if the folder has none.

    Returns:
        The description for `dataset.json`, as `prepare_folder` does.

    Raises:
        Absent: if there are no images and they cannot be downloaded.
        LdregError: in the cases of `prepare_folder`, and if a list or a listed image is missing or damaged.
    """
    if any((folder / split).is_dir() for split in SPLITS):
        return prepare_folder(name, folder)
    data_set = DATA_SETS[name]
    place, origin = _place(data_set, folder), "the user's folder"
    if place is None:
        place, origin = _fetch(name, folder)
    check_writable(name, folder)
    try:
        lists = dict(zip(SPLITS, data_set.layout.read.load()(place), strict=True))
    except OSError as error:
        raise LdregError(f"{error.filename}: cannot be read ({error.strerror})") from error
    check_classes(name, place, list(lists["train"]), surplus_allowed=False)
    if extra := sorted(set(lists["val"]) - set(lists["train"])):
        raise LdregError(f"{place}: class {extra[0]!r} is tested on, but has no image to train on")
    images = folder if place.is_relative_to(folder) else place
    tree = _tree(images, place, lists)
    return write_list(name, folder, tree, images.name, origin) | {"listed": True}


def _place(data_set: DataSet, folder: Path) -> Path | None:
    """Return the folder of the unpacked set, which is in, beside or equal to `folder`, or None."""
    (unpacked,) = data_set.unpacked
    places = (folder / unpacked, folder, folder.parent / unpacked)
    return next((place for place in places if (place / data_set.layout.test_list).is_file()), None)


def _fetch(name: str, folder: Path) -> tuple[Path, str]:
    """Download with torchvision, move the complete set into `folder`, and return its place and its source."""
    layout, (unpacked,) = DATA_SETS[name].layout, DATA_SETS[name].unpacked
    by_hand = (
        f"put it there by hand, so that {folder} holds {unpacked}/{layout.test_list} and"
        f" {unpacked}/{layout.images}, or train/CLASS/ and val/CLASS/ with images, or set"
        f" execution.data to the folder that holds {name}"
    )
    place, beside = folder / unpacked, folder.parent / unpacked
    # Files that are present are neither downloaded again nor left out silently.
    for found in (place, folder, beside):
        if has_content(found):
            raise LdregError(
                f"{found / layout.test_list}: not found; unpack or complete the data set, or remove {found}"
            )
    if layout.torchvision is None:
        raise Absent(f"{folder}: no images; {name} is not fetched: {by_hand}")
    if folder.exists():
        check_writable(name, folder)

    def download(temporary: Path) -> Path:
        import torchvision

        kind = getattr(torchvision.datasets, layout.torchvision)
        with torchvision_download(kind._URL.rpartition("/")[2]):
            kind(temporary, download=True)
        found = next(path for path in temporary.rglob(unpacked) if (path / layout.test_list).is_file())
        folder.mkdir(exist_ok=True)
        return found.replace(place)

    return first_source(name, folder, [("torchvision's download", download)], by_hand)


def _tree(images: Path, place: Path, lists: dict[str, Lists]) -> Tree:
    """Return the lists with the size of each file in bytes and paths relative to `images`."""
    tree: Tree = {}
    for split, classes in lists.items():
        tree[split] = {}
        for label, files in classes.items():
            paths = [place / file for file in sorted(files)]
            try:
                sizes = [path.stat().st_size for path in paths]
            except OSError as error:
                raise LdregError(
                    f"{error.filename}: cannot be read ({error.strerror}); it is listed for {split}"
                ) from error
            names = [path.relative_to(images).as_posix() for path in paths]
            tree[split][label] = dict(zip(names, sizes, strict=True))
        if not any(tree[split].values()):
            raise LdregError(f"{place}: the data set's lists name no image to {split} on")
    return tree


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise LdregError(f"{path}: cannot be read ({reason}); expected a list of the data set") from error


def read_food101(root: Path) -> tuple[Lists, Lists]:
    """Read the splits of Food-101.

    `meta/train.json` and `meta/test.json` hold {class: [class/number]}; images are `images/class/number.jpg`.
    """

    def read(split: str) -> Lists:
        path = root / "meta" / f"{split}.json"
        try:
            listed = json.loads(_text(path))
            return {label: [f"images/{image}.jpg" for image in listed[label]] for label in sorted(listed)}
        except (ValueError, TypeError, LookupError) as error:
            raise LdregError(f"{path}: damaged; expected {{class: [class/number, ...]}}") from error

    return read("train"), read("test")


def read_dtd(root: Path) -> tuple[Lists, Lists]:
    """Read the first of the ten splits of DTD.

    `labels/train1.txt` and `labels/test1.txt` hold lines `class/file`; images are `images/class/file`. As in
    the authors' code, `val1.txt` is not used for training.
    """

    def read(split: str) -> Lists:
        path = root / "labels" / f"{split}1.txt"
        lists: Lists = {}
        for line in sorted(_text(path).split()):
            label, slash, _ = line.partition("/")
            if not slash:
                raise LdregError(f"{path}: {line!r} is not allowed; expected lines of class/file")
            lists.setdefault(label, []).append(f"images/{line}")
        return lists

    return read("train"), read("test")


def read_cars(root: Path) -> tuple[Lists, Lists]:
    """Read the splits of Stanford Cars.

    MATLAB files hold the class names and the class of each image, numbered from 1.
    """
    meta = root / "devkit" / "cars_meta.mat"
    names = [str(name) for name in _matlab(meta, "class_names")]

    def read(path: Path, images: str) -> Lists:
        lists: Lists = {name: [] for name in names}
        for annotation in _matlab(path, "annotations"):
            try:
                if (number := int(annotation["class"])) < 1:
                    raise IndexError(number)
                lists[names[number - 1]].append(f"{images}/{annotation['fname']}")
            except (IndexError, ValueError) as error:
                raise LdregError(f"{path}: damaged; expected class and fname of each image") from error
        return lists

    return read(root / "devkit" / "cars_train_annos.mat", "cars_train"), read(
        root / "cars_test_annos_withlabels.mat", "cars_test"
    )


def _matlab(path: Path, key: str) -> Any:
    """Return the array `key` of a MATLAB file as a one-dimensional array."""
    # Imported here, because only this data set needs scipy.
    import numpy as np
    from scipy.io import loadmat

    try:
        return np.atleast_1d(loadmat(str(path), squeeze_me=True)[key])
    except OSError as error:
        raise LdregError(f"{path}: cannot be read ({error.strerror}); it belongs to the data set") from error
    except Exception as error:  # scipy raises many kinds of errors for a damaged file
        raise LdregError(f"{path}: damaged; expected a MATLAB file with {key!r}") from error


def read_birdsnap(root: Path) -> tuple[Lists, Lists]:
    """Read the splits of Birdsnap.

    `test_images.txt` holds a header and lines `class/file`; all other images are for training. The script
    get_birdsnap.py of the data set downloads the images, by default into `download/images`. In other copies
    they are in `images`, or the folders of the classes are beside the list. The images come from Flickr,
    which has deleted many of them, so listed images that are missing are left out.
    """
    path = root / "test_images.txt"
    lines = [line.split(",")[0].split("\t")[0].strip() for line in _text(path).splitlines()]
    tested = {"/".join(line.split("/")[-2:]) for line in lines if "/" in line}
    if not tested:
        raise LdregError(f"{path}: names no image; expected lines of class/file")
    places = [root / "images", root / "download" / "images"]
    images = next(filter(Path.is_dir, places), root)
    classes = {
        entry.name: list(scan_class(entry.path))
        for entry in sorted(os.scandir(images), key=lambda entry: entry.name)
        if entry.is_dir()
    }
    if images == root:  # this folder may contain other folders than classes
        classes = {label: files for label, files in classes.items() if any("/" not in file for file in files)}
        if not classes:
            raise LdregError(f"{places[0]}: no such folder; expected {DATA_SETS['birdsnap'].layout.images}")
    train: Lists = {}
    test: Lists = {}
    for label, files in classes.items():
        paths = {file: (images / label / file).relative_to(root).as_posix() for file in files}
        train[label] = [path for file, path in paths.items() if f"{label}/{file}" not in tested]
        test[label] = [path for file, path in paths.items() if f"{label}/{file}" in tested]
    return train, test
