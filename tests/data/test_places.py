"""Where data sets are looked for, and which of them could be had now."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torchvision

from ldreg.catalogue.data_sets import DATA_SETS, Download
from ldreg.data import places


def test_addresses_are_those_that_torchvision_asks_first() -> None:
    kinds = torchvision.datasets
    theirs = {name: f"{kind.mirrors[0]}{kind.resources[0][0]}" for name, kind in _idx(kinds).items()}
    theirs |= {"cifar10": kinds.CIFAR10.url, "cifar100": kinds.CIFAR100.url}
    theirs |= {"food101": kinds.Food101._URL, "dtd": kinds.DTD._URL}
    assert {name: each.download.address for name, each in DATA_SETS.items() if each.download} == theirs
    assert {name for name, each in DATA_SETS.items() if each.layout and each.layout.torchvision} <= set(
        theirs
    )


def _idx(kinds: object) -> dict[str, type]:
    return {"mnist": kinds.MNIST, "fashion_mnist": kinds.FashionMNIST}


def test_folders_are_those_that_torchvision_unpacks() -> None:
    kinds = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}
    for name, kind in kinds.items():
        assert kind.base_folder in DATA_SETS[name].unpacked


@pytest.mark.parametrize("where", ["food101/food-101/meta", "food101/archive.tar.gz", "food-101/images"])
def test_whatever_lies_there_is_there(where: str, tmp_path: Path) -> None:
    assert not places.is_present("food101", tmp_path / "nowhere")
    (tmp_path / "food101").mkdir()
    (tmp_path / "dtd").mkdir()
    (tmp_path / "food101" / ".DS_Store").touch()
    assert not places.is_present("food101", tmp_path)
    (tmp_path / where).mkdir(parents=True)
    assert places.is_present("food101", tmp_path) and not places.is_present("cars", tmp_path)


def test_a_part_is_there_where_the_whole_is(tmp_path: Path) -> None:
    (tmp_path / "imagenet" / "train").mkdir(parents=True)
    assert places.is_present("imagenet100", tmp_path)
    shutil.rmtree(tmp_path / "imagenet")
    assert not places.is_present("imagenet100", tmp_path)


def test_only_what_answers_could_be_fetched(
    serve_folder: Callable[[Path], str], nobody: str, tmp_path: Path, declare: Callable[..., None]
) -> None:
    (tmp_path / "here").touch()
    server = serve_folder(tmp_path)
    addresses = {"mnist": f"{server}here", "cifar10": f"{server}gone", "dtd": f"{nobody}here"}
    for name, address in addresses.items():
        declare(name, download=Download(address, "1 MB"))
    assert places.reachable_downloads([*addresses, "birdsnap"]) == {"mnist"}
