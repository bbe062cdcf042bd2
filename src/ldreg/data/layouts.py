"""Image sets that come with lists of their own in place of a folder per split: Food-101, Birdsnap, Cars, DTD.

Each may lie in its folder as its archive unpacks (and as torchvision leaves it), or as `train/CLASS/*.jpg`,
`val/CLASS/*.jpg` like ImageNet; or beside its folder, where torchvision leaves it if the data folder is its
root. Of its files `files.json` holds the paths below the folder in which they are.
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

Lists = dict[str, list[str]]  # files by class, in the order of the labels, relative to the unpacked folder


def prepare_listed(name: str, folder: Path) -> dict[str, Any]:
    """List the images of a set that has a `layout`, after its download where `folder` holds none of them.

    Returns:
        The description for `dataset.json`, as `prepare_folder`.

    Raises:
        Absent: If there is nothing and it cannot be fetched.
        LdregError: As `prepare_folder`; if a list or a listed image is missing or damaged.
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
    """Where the unpacked set lies: in `folder`, `folder` itself, or where torchvision leaves it beside."""
    (unpacked,) = data_set.unpacked
    places = (folder / unpacked, folder, folder.parent / unpacked)
    return next((place for place in places if (place / data_set.layout.test_list).is_file()), None)


def _fetch(name: str, folder: Path) -> tuple[Path, str]:
    """Download as torchvision does and move what came to `folder` when it is complete: where, and whence."""
    layout, (unpacked,) = DATA_SETS[name].layout, DATA_SETS[name].unpacked
    by_hand = (
        f"put it there by hand, so that {folder} holds {unpacked}/{layout.test_list} and"
        f" {unpacked}/{layout.images}, or train/CLASS/ and val/CLASS/ with images, or set"
        f" execution.data to the folder that holds {name}"
    )
    place, beside = folder / unpacked, folder.parent / unpacked
    # What is there is neither fetched a second time nor left out in silence.
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
    """The lists with each file's size in bytes, its path now relative to `images`."""
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
    """`meta/train.json`, `meta/test.json`: {class: [class/number]}; `images/class/number.jpg`."""

    def read(split: str) -> Lists:
        path = root / "meta" / f"{split}.json"
        try:
            listed = json.loads(_text(path))
            return {label: [f"images/{image}.jpg" for image in listed[label]] for label in sorted(listed)}
        except (ValueError, TypeError, LookupError) as error:
            raise LdregError(f"{path}: damaged; expected {{class: [class/number, ...]}}") from error

    return read("train"), read("test")


def read_dtd(root: Path) -> tuple[Lists, Lists]:
    """`labels/train1.txt`, `labels/test1.txt`: lines `class/file`; `images/class/file`.

    The first of ten partitions, trained on without `val1.txt`, as the authors' code has it.
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
    """MATLAB files of class names and of each image's class, numbered from 1, as torchvision reads them."""
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
    """The array `key` of a MATLAB file, one-dimensional."""
    # Imported here: only this data set should pay for it.
    import numpy as np
    from scipy.io import loadmat

    try:
        return np.atleast_1d(loadmat(str(path), squeeze_me=True)[key])
    except OSError as error:
        raise LdregError(f"{path}: cannot be read ({error.strerror}); it belongs to the data set") from error
    except Exception as error:  # the reader of a damaged file raises nearly anything
        raise LdregError(f"{path}: damaged; expected a MATLAB file with {key!r}") from error


def read_birdsnap(root: Path) -> tuple[Lists, Lists]:
    """`test_images.txt`: lines `class/file`, after a heading; all other images are trained on.

    Its script get_birdsnap.py downloads the images, into `download/images` unless it is told otherwise; in
    other copies they are in `images`, or the classes are beside the list. They come from Flickr, where many
    are gone: what is listed and not there is left out.
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
    if images == root:  # where other folders may lie too
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
