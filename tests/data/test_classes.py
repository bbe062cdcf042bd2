"""The class lists that are committed, and data sets that do not fit them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data import classes, folder
from ldreg.data.classes import class_digest, class_list
from ldreg.data.datasets import load, prepare
from ldreg.errors import LdregError

# Here and in the package: an edit of a list has to be made in three places to pass.
SHA256 = {
    "imagenet": "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd",
    "imagenet100": "d61d354b64beb3ce2c2c9cf04a874298362dc9fcd589e15ee34c5e4592145746",
}


@pytest.mark.parametrize("name", SHA256)
def test_list_is_what_it_was_and_names_its_source(name: str) -> None:
    found = class_list(name)
    assert len(set(found)) == len(found) == DATA_SETS[name].classes and found == sorted(found)
    assert all(len(each) == 9 and each[0] == "n" and each[1:].isdigit() for each in found)
    assert class_digest(found) == SHA256[name]
    assert "Source: " in (classes.CLASS_LISTS / f"{name}.txt").read_text()


def test_part_is_in_the_whole() -> None:
    assert set(class_list("imagenet100")) < set(class_list("imagenet"))


def test_list_of_imagenet_is_timms() -> None:
    timm = pytest.importorskip("timm.data")
    labels = timm.ImageNetInfo().label_names()
    assert class_list("imagenet") == labels


def test_data_set_without_a_list_may_have_any_classes() -> None:
    assert class_list("food101") is None


def test_edited_and_missing_list_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "CLASS_LISTS", shutil.copytree(classes.CLASS_LISTS, tmp_path / "classes"))
    path = tmp_path / "classes" / "imagenet100.txt"
    path.write_text(path.read_text().replace("n01558993", "n01558994"))
    with pytest.raises(
        LdregError, match=rf"^{path}: digest \w{{64}} where {SHA256['imagenet100']} is expected"
    ):
        class_list("imagenet100")
    path.unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        LdregError,
        match=r"^config/classes/imagenet100.txt: cannot be read \(No such file.*copy the folder config",
    ):
        class_list("imagenet100")


def test_without_a_checkout_the_copied_configuration_has_the_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = class_list("imagenet100")
    shutil.copytree(classes.CLASS_LISTS, tmp_path / "config/classes")
    monkeypatch.setattr(classes, "CLASS_LISTS", tmp_path / "site-packages/config/classes")
    monkeypatch.chdir(tmp_path)
    assert class_list("imagenet100") == expected


def refused(name: str, root: Path) -> str:
    with pytest.raises(LdregError) as caught:
        prepare(name, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_small_tree_that_is_called_imagenet_is_refused(
    tree_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classes, "class_list", class_list)
    before = (tree_copy / "imagenet" / "dataset.json").read_bytes()
    assert refused("imagenet", tree_copy) == (
        f"{tree_copy}/imagenet/train: its classes are not imagenet's: 1000 missing (first 'n01440764'),"
        f" 3 surplus (first 'ant'); expected the 1000 of {classes.CLASS_LISTS}/imagenet.txt"
    )
    assert "imagenet/train: its classes are not imagenet100's: 100 missing" in refused(
        "imagenet100", tree_copy
    )
    assert (tree_copy / "imagenet" / "dataset.json").read_bytes() == before


def test_missing_and_surplus_class_are_named(tree_copy: Path) -> None:
    val = tree_copy / "imagenet" / "val"
    (val / "bee").rename(val / "wasp")
    message = refused("imagenet", tree_copy)
    assert message.startswith(f"{val}: its classes are not imagenet's: 1 missing (first 'bee'), 1 surplus")
    (val / "wasp").rename(val / "bee")
    (val / "dog").mkdir()
    assert "imagenet's: 1 surplus (first 'dog'); expected the 3 of" in refused("imagenet", tree_copy)


# ImageNet-100: some classes of ImageNet


def assert_part(root: Path, images: Path) -> str:
    """`imagenet100` below `root` is ant and cat of `images`; returns its digest."""
    whole, part = load("imagenet", root), load("imagenet100", root)
    assert part.name == "imagenet100" and part.classes == 2
    for split, other in ((part.train, whole.train), (part.test, whole.test)):
        chosen = other.labels != 1
        assert split.images.names == other.images[chosen.nonzero().squeeze(1)].names
        assert torch.equal(split.labels, other.labels[chosen] // 2)
        assert split.images.folder == images
    return part.digest


def test_part_takes_its_images_from_the_wholes_folder(tree_copy: Path) -> None:
    prepare("imagenet100", tree_copy)
    assert sorted(path.name for path in (tree_copy / "imagenet100").iterdir()) == [
        "dataset.json",
        "files.json",
    ]
    manifest = json.loads((tree_copy / "imagenet100" / "dataset.json").read_text())
    assert manifest["images"] == "imagenet" and manifest["classes_sha256"] == class_digest(["ant", "cat"])
    before = assert_part(tree_copy, tree_copy / "imagenet")
    # All paths are relative: the data root may move.
    moved = tree_copy.rename(tree_copy.with_name("moved"))
    assert assert_part(moved, moved / "imagenet") == before


@pytest.mark.parametrize("links", ["splits", "classes"])
def test_part_through_links(tree_copy: Path, links: str) -> None:
    """Links to whole splits, whose other classes are left alone, or to the classes one by one."""
    prepare("imagenet100", tree_copy)
    before = assert_part(tree_copy, tree_copy / "imagenet")
    for split in folder.SPLITS:
        theirs, ours = tree_copy / "imagenet" / split, tree_copy / "imagenet100" / split
        if links == "splits":
            ours.symlink_to(theirs)
        else:
            ours.mkdir()
            for label in ("ant", "cat"):
                (ours / label).symlink_to(theirs / label)
    # What was prepared stays what it is until it is prepared again.
    assert assert_part(tree_copy, tree_copy / "imagenet") == before
    prepare("imagenet100", tree_copy)
    assert assert_part(tree_copy, tree_copy / "imagenet100") == before


def test_part_without_images_says_where_they_may_lie(tmp_path: Path) -> None:
    message = refused("imagenet100", tmp_path)
    assert message.startswith(f"{tmp_path}/imagenet100/train: no such folder; imagenet100 is not fetched")
    assert message.endswith("the folder that holds imagenet100/train or imagenet/train")
    assert list(tmp_path.iterdir()) == []


def test_part_with_a_class_missing_names_it(tree_copy: Path) -> None:
    shutil.rmtree(tree_copy / "imagenet" / "val" / "cat")
    message = refused("imagenet100", tree_copy)
    assert message.startswith(
        f"{tree_copy}/imagenet/val: its classes are not imagenet100's: 1 missing (first 'cat'); expected the"
    )
    assert not (tree_copy / "imagenet100").exists()
