"""Listing a data set that stays files: the user's own tree of images."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from ldreg import cli
from ldreg.data import classes, folder
from ldreg.data.datasets import balanced_rows, load, prepare
from ldreg.errors import LdregError


def test_files_and_labels_are_image_folders(tree: Path) -> None:
    data = load("imagenet", tree)
    assert data.name == "imagenet" and data.classes == 3
    assert data.train.channels == 3
    for split, name in ((data.train, "train"), (data.test, "val")):
        theirs = ImageFolder(str(tree / "imagenet" / name))
        assert [*zip(split.images.paths, split.labels.tolist(), strict=True)] == theirs.samples
        assert split.labels.dtype == torch.int64 and len(split.images) == len(theirs)
    assert folder.EXTENSIONS == IMG_EXTENSIONS


def test_manifest_says_what_there_is(tree: Path) -> None:
    manifest = json.loads((tree / "imagenet" / "dataset.json").read_text())
    assert manifest["name"] == "imagenet" and manifest["classes"] == 3
    assert manifest["images"] == "imagenet"
    assert manifest["classes_sha256"] == hashlib.sha256(b"ant\nbee\ncat").hexdigest()
    assert (manifest["train_images"], manifest["test_images"]) == (31, 18)
    assert load("imagenet", tree).digest == manifest["digest"]
    names = sorted(path.name for path in (tree / "imagenet").iterdir())
    assert names == ["dataset.json", "files.json", "train", "val"]


def test_command_prepares(tree_copy: Path) -> None:
    for name in ("dataset.json", "files.json"):
        (tree_copy / "imagenet" / name).unlink()
    assert cli.main(["data", "imagenet", "--output", str(tree_copy / "imagenet" / "dataset.json")]) == 0
    assert len(load("imagenet", tree_copy).train.images) == 31


def test_loading_looks_at_no_image(tree_copy: Path) -> None:
    shutil.rmtree(tree_copy / "imagenet" / "train")
    assert len(load("imagenet", tree_copy).train.images) == 31


def test_subset_is_that_of_balanced_rows(tree: Path) -> None:
    whole, part = load("imagenet", tree), load("imagenet", tree, train_images=7)
    rows = balanced_rows(whole.train.labels, 7)
    assert part.train.images.names == [whole.train.images.names[row] for row in rows]
    assert torch.bincount(part.train.labels).tolist() == [3, 2, 2]
    assert len(part.test.images) == 18 and part.digest == whole.digest


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("change", [grow, lambda path: path.rename(path.with_name("b.JPEG")), Path.unlink])
def test_digest_sees_names_and_sizes(tree_copy: Path, change: Callable[[Path], object]) -> None:
    before = load("imagenet", tree_copy).digest
    prepare("imagenet", tree_copy)
    assert load("imagenet", tree_copy).digest == before
    change(tree_copy / "imagenet" / "val" / "bee" / "bee_1.JPEG")
    prepare("imagenet", tree_copy)
    assert load("imagenet", tree_copy).digest != before


# Errors of the folder


def refused(root: Path) -> str:
    with pytest.raises(LdregError) as caught:
        prepare("imagenet", root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("split", ["train", "val"])
def test_missing_tree_is_told_with_key_and_layout(tree_copy: Path, split: str) -> None:
    shutil.rmtree(tree_copy / "imagenet" / split)
    message = refused(tree_copy)
    assert message.startswith(f"{tree_copy / 'imagenet' / split}: no such folder")
    assert "execution.data" in message and f"{split}/CLASS/*.JPEG" in message


def test_missing_root_is_told_and_not_made(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("gone", "other"), [("train", "val"), ("val", "train")])
def test_class_of_one_split_alone_is_named(
    tree_copy: Path, gone: str, other: str, monkeypatch: pytest.MonkeyPatch, declare: Callable[..., None]
) -> None:
    """Of a data set without a list, where any classes will do."""
    monkeypatch.setattr(classes, "class_list", lambda name: None)
    declare("imagenet", classes=None)
    for label in ("bee", "cat"):
        shutil.rmtree(tree_copy / "imagenet" / gone / label)
    assert refused(tree_copy) == f"{tree_copy / 'imagenet' / gone}: class 'bee' is missing, which {other} has"


def test_flat_split_and_empty_class_are_told(tree_copy: Path) -> None:
    for path in (tree_copy / "imagenet" / "train" / "cat").iterdir():
        path.rename(path.with_suffix(".txt"))
    assert refused(tree_copy).startswith(f"{tree_copy / 'imagenet' / 'train' / 'cat'}: holds no image")
    for label in ("ant", "bee", "cat"):
        shutil.rmtree(tree_copy / "imagenet" / "train" / label)
    assert refused(tree_copy).startswith(f"{tree_copy / 'imagenet' / 'train'}: holds no folder")


def test_link_to_nothing_is_named(tree_copy: Path) -> None:
    link = tree_copy / "imagenet" / "val" / "cat" / "gone.JPEG"
    link.symlink_to("nowhere")
    assert refused(tree_copy) == f"{link}: cannot be read (No such file or directory)"


def test_read_only_folder_says_what_to_do(tree_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (tree_copy / "imagenet" / "dataset.json").read_bytes()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a superuser may write everywhere
    message = refused(tree_copy)
    assert (
        message.startswith(f"{tree_copy / 'imagenet'}: cannot be written")
        and "with links to what it holds" in message
    )
    assert (tree_copy / "imagenet" / "dataset.json").read_bytes() == before


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    "damage", [cut_in_half, Path.unlink, lambda path: path.write_text(path.read_text().replace("bee_1", "b"))]
)
def test_damaged_list_is_named(tree_copy: Path, damage: Callable[[Path], object]) -> None:
    damage(tree_copy / "imagenet" / "files.json")
    with pytest.raises(LdregError, match=r"files\.json: .*ldreg data imagenet$"):
        load("imagenet", tree_copy)
