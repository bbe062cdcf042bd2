"""A data set that stays files: a small tree of real JPEGs, 3 classes, sizes and modes of all kinds.

And what tests of downloads share: a server on this machine, an address where none answers, an npm.
"""

import http.server
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data import classes
from ldreg.data.datasets import prepare

CLASSES = ("ant", "bee", "cat")
PART = ("ant", "cat")
COUNTS = {"train": 10, "val": 6}


@pytest.fixture(autouse=True)
def small_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet has `CLASSES` in these tests, and ImageNet-100 `PART` of them."""
    monkeypatch.setattr(classes, "class_list", small_list)


def small_list(name: str) -> list[str] | None:
    found = {"imagenet": CLASSES, "imagenet100": PART}.get(name)
    return list(found) if found else None


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`declare(name, **changes)`: change what is declared of a data set, for one test."""

    def change(name: str, **changes: object) -> None:
        monkeypatch.setitem(DATA_SETS, name, replace(DATA_SETS[name], **changes))

    return change


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


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def serve_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """`serve_folder(folder)` is the address, with a slash at its end, of a server of its files."""
    monkeypatch.setenv("no_proxy", "*")
    with ExitStack() as stack:

        def start(folder: Path) -> str:
            handler = partial(_Quiet, directory=str(folder))
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/"

        yield start


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a port where nobody listens; and no npm is installed."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


@pytest.fixture
def fake_npm(nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a program that does as `npm pack` does: here, a line of shell."""

    def install(line: str) -> None:
        program = tmp_path / "npm"
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name: str(program) if name == "npm" else None)

    return install
