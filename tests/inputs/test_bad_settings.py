"""Every row of `bad_settings.txt` is answered in one line, with exit status 2, and nothing is written."""

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldreg.cli import main

CONFIG = Path(__file__).resolve().parents[2] / "config"
NAMES = ("demo", "methods", "augmentations", "exhibits")
Contents = dict[str, dict[str, Any]]
Row = tuple[str, str, str, str]


def _rows() -> list[Row]:
    lines = Path(__file__).with_name("bad_settings.txt").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(" | ")) for line in lines if line and not line.startswith("#")]


ROWS = _rows()


@pytest.fixture(scope="module")
def contents() -> Contents:
    """The configuration's files by name, read with libyaml, which is much faster than PyYAML alone."""
    # Without aliases: a change of one exhibit would otherwise change those that share its block.
    return {name: _unshared(_read((CONFIG / f"{name}.yaml").read_text())) for name in NAMES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the configuration alone."""
    folder = tmp_path_factory.mktemp("settings")
    shutil.copytree(CONFIG, folder / "config")
    return folder


def test_there_are_enough_of_them() -> None:
    assert len({row[:3] for row in ROWS}) == len(ROWS) >= 200


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:3]))
def test_a_bad_setting(
    row: Row,
    contents: Contents,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    name, place, value, expected = row
    monkeypatch.chdir(folder)
    path = Path(f"config/{name}.yaml")
    right = path.read_bytes()
    path.write_text(_dump(_changed(contents[name], place, _read(value))))
    before = _state(folder)
    try:
        assert main(["plan", "config/demo.yaml"]) == 2
        assert _state(folder) == before
    finally:
        path.write_bytes(right)
    output, error = capfd.readouterr()
    assert output == ""
    where = re.sub(r"\.(\d+)", r"[\1]", place)  # as errors write it
    expected = expected.replace("...", "\0").replace("@", where).replace("^", where.rpartition(".")[0])
    pattern = ".*".join(re.escape(part) for part in expected.split("\0"))
    assert re.fullmatch(f"error: {path}: {pattern}\n", error), error


def _state(folder: Path) -> dict[Path, tuple[int, int]]:
    """What lies in a folder: size and time of modification of everything, links not followed."""
    stats = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def _changed(content: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy of `content` with `value` at e.g. `exhibits.figure5.runs.1.beta`."""
    content = copy.deepcopy(content)
    *blocks, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    block: Any = content
    for key in blocks:
        if isinstance(block, dict) and block.get(key) is None:
            block[key] = {}
        block = block[key]
    block[last] = value
    return content


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [_unshared(each) for each in value] if isinstance(value, list) else value


def _read(text: str) -> Any:
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _dump(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
