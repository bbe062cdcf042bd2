import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from ldreg.data import datasets
from ldreg.data.datasets import balanced_rows, load, prepare
from ldreg.data.digits import digits
from ldreg.errors import LdregError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    prepare("digits", root)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(prepared, tmp_path / "data")


def test_digits_are_all_there_once(prepared: Path) -> None:
    data = load("digits", prepared)
    assert data.name == "digits" and data.classes == 10
    assert data.train.images.shape == (1347, 1, 8, 8) and data.test.images.shape == (450, 1, 8, 8)
    assert data.train.images.dtype == data.test.images.dtype == torch.uint8
    assert data.train.labels.dtype == data.test.labels.dtype == torch.int64

    def rows(images: Tensor, labels: Tensor) -> list[list[int]]:
        return sorted(torch.cat([labels[:, None], images.flatten(1).long()], dim=1).tolist())

    original = load_digits()
    expected = rows(torch.tensor(original.images) * 255 / 16 + 0.5, torch.tensor(original.target))
    both = [
        torch.cat(pair) for pair in zip(*[(s.images, s.labels) for s in (data.train, data.test)], strict=True)
    ]
    assert rows(*both) == expected


def test_digits_split_is_stratified_and_always_the_same(prepared: Path) -> None:
    data = load("digits", prepared)
    train, test = torch.bincount(data.train.labels), torch.bincount(data.test.labels)
    assert (test - (train + test) * 450 / 1797).abs().max() < 1
    assert data.digest == "9a03d039538f94c5"


def test_manifest_says_what_there_is(prepared: Path) -> None:
    assert json.loads((prepared / "digits" / "dataset.json").read_text()) == {
        "name": "digits",
        "classes": 10,
        "train_images": 1347,
        "test_images": 450,
        "shape": [1, 8, 8],
        "digest": "9a03d039538f94c5",
        "source": "scikit-learn's digits",
    }
    assert sorted(path.name for path in (prepared / "digits").iterdir()) == [
        "arrays.safetensors",
        "dataset.json",
    ]


def test_loading_imports_neither_scikit_learn_nor_torchvision(prepared: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ldreg.data.datasets import load; "
        f"load('digits', Path({str(prepared)!r})); "
        "print(sorted({'sklearn', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Subsets


def test_subset_is_balanced_and_nested() -> None:
    labels = torch.tensor([2, 0, 0, 1, 2, 1, 1, 0, 2, 2])
    assert balanced_rows(labels, 3).tolist() == [0, 1, 3]
    assert balanced_rows(labels, 7).tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert balanced_rows(labels, 10).tolist() == list(range(10))
    for n in range(1, 10):
        counts = torch.bincount(labels[balanced_rows(labels, n)], minlength=3)
        assert counts.max() - counts.min() <= 1
        assert set(balanced_rows(labels, n).tolist()) < set(balanced_rows(labels, n + 1).tolist())


def test_subset_goes_on_when_a_class_runs_out() -> None:
    assert balanced_rows(torch.tensor([0, 1, 1, 1, 1]), 4).tolist() == [0, 1, 2, 3]


def test_load_takes_a_subset_of_the_training_split_alone(prepared: Path) -> None:
    data, whole = load("digits", prepared, train_images=105), load("digits", prepared)
    assert torch.bincount(data.train.labels).tolist() == [11] * 5 + [10] * 5
    rows = balanced_rows(whole.train.labels, 105)
    assert torch.equal(data.train.images, whole.train.images[rows])
    assert torch.equal(data.train.labels, whole.train.labels[rows])
    assert torch.equal(data.test.images, whole.test.images)
    assert data.digest == whole.digest


@pytest.mark.parametrize("n", [0, -1, 1348])
def test_subset_that_cannot_be_is_refused(prepared: Path, n: int) -> None:
    with pytest.raises(LdregError, match=rf"^train_images: {n} is not allowed; digits has 1 to 1347$"):
        load("digits", prepared, train_images=n)


# Errors


@pytest.mark.parametrize("function", [prepare, load])
def test_unknown_name_is_refused(function, tmp_path: Path) -> None:
    with pytest.raises(
        LdregError,
        match=r"^dataset: 'digit' is not known; allowed: digits, mnist, fashion_mnist, cifar10, cifar100, "
        "imagenet, imagenet100, food101, birdsnap, cars, dtd$",
    ):
        function("digit", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unprepared_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LdregError, match=r"dataset\.json: not found; .*ldreg data digits$"):
        load("digits", tmp_path / "nowhere")


def spoil_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("damage", [spoil_last_byte, cut_in_half, Path.unlink])
def test_damaged_arrays_are_named(root: Path, damage) -> None:
    damage(root / "digits" / "arrays.safetensors")
    with pytest.raises(LdregError, match=r"arrays\.safetensors: .*ldreg data digits$") as caught:
        load("digits", root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"digest": "x"}'])
def test_damaged_manifest_is_named(root: Path, content: str) -> None:
    (root / "digits" / "dataset.json").write_text(content)
    with pytest.raises(LdregError, match=r"dataset\.json: damaged; .*ldreg data digits$"):
        load("digits", root)


def test_preparing_again_mends_a_damaged_folder(root: Path) -> None:
    spoil_last_byte(root / "digits" / "arrays.safetensors")
    prepare("digits", root)
    assert load("digits", root).digest == "9a03d039538f94c5"


def test_source_that_gives_other_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, source = digits(tmp_path)
    arrays["test_images"][7, 0, 3, 3] += 1
    monkeypatch.setattr("ldreg.data.digits.digits", lambda folder: (arrays, source))
    with pytest.raises(
        LdregError, match=r"^digits from scikit-learn's digits: digest \w+ where 9a03d039538f94c5"
    ):
        prepare("digits", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_label_that_no_class_has_is_refused(tmp_path: Path, declare: Callable[..., None]) -> None:
    declare("digits", classes=9)
    with pytest.raises(LdregError, match=r"labels 0 to 9 are not allowed; digits has 9 classes"):
        prepare("digits", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_digest_sees_order_shape_and_type() -> None:
    array = torch.arange(6, dtype=torch.uint8)
    variants = [array, array.flip(0), array.view(2, 3), array.view(3, 2), array.to(torch.int8)]
    assert len({datasets.digest({"a": variant}) for variant in variants}) == len(variants)
    assert datasets.digest({"a": array}) != datasets.digest({"b": array})


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_root_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").write_text("a file, no folder")
    with pytest.raises(LdregError, match=rf"data/{name}: the data cannot be stored here"):
        prepare(name, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
