"""Whatever a file holds, its reader returns or says in one line what is wrong with the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldreg.config.run_names import format_run, parse_run
from ldreg.config.run_spec import RunSpec, read_spec, write_spec
from ldreg.config.scale_file import ScaleFile
from ldreg.errors import LdregError
from ldreg.exhibits.paper.reported import read_reported
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.exhibits.runs.csv_columns import read_columns
from ldreg.files import read_json, read_yaml
from ldreg.runtime.checkpoint import Checkpoint
from ldreg.tracking.run_files import history
from ldreg.workflow.importing import read_weights
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"
# Folders and fixtures serve all examples, which write their own file anew.
FEW = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=2000)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
READERS: dict[str, Callable[[Path], Any]] = {
    "settings.csv": PaperSettings,
    "reported.csv": read_reported,
    "columns of history.csv": lambda path: read_columns(path, ("epoch",)),
    "history.csv": lambda path: history(path.parent, 0),
    "spec.yaml": read_spec,
    "scale.yaml": read_yaml,
    "summary.json": read_json,
    "weights.pth": read_weights,
    "weights.safetensors": read_weights,
}
BROKEN_YAML = (
    *("a: 2020-13-01", "a: !!bool x", "a: !!int x", "a: !!timestamp x", "a: &a [*a]", "&a {b: *a}"),
    *(
        "[" * 3000,
        "a: &a {<<: *a}",
        "? [1]\n: 2",
        "!!python/object:os.system {}",
        "a: !!binary 1",
        "\ufeff- 1",
    ),
)


def answered(read: Callable[[Path], Any], path: Path) -> None:
    """Read the file: a value or an error in one line that begins with the file's name."""
    try:
        read(path)
    except LdregError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)


def spoiled(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that are `content` with some of them replaced, and any others."""
    at = st.integers(0, len(content))
    cut = st.builds(lambda i, j, new: content[: min(i, j)] + new + content[max(i, j) :], at, at, st.binary())
    return cut | st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace"))


def whole(name: str, tiny_spec: Callable[..., RunSpec], folder: Path) -> bytes:
    """A file of that name as it should be."""
    path = folder / name
    if name == "spec.yaml":
        write_spec(path, tiny_spec(), "a run")
    elif name.startswith("weights"):
        torch.save({"a": torch.ones(2)}, path)
    elif name in ("settings.csv", "reported.csv"):
        return b"\n".join((CONFIG / "paper" / name).read_bytes().splitlines()[:4])
    else:
        return {"scale.yaml": b"a: [1, {b: 2}]\n", "summary.json": b'{"a": [1, 2.5]}'}.get(
            name, b"epoch,loss\n1,0.5\n2,\n"
        )
    return path.read_bytes()


def fuzz(how: settings, name: str, tiny_spec: Callable[..., RunSpec], folder: Path) -> None:
    path = folder / name.removeprefix("columns of ")
    right = whole(name, tiny_spec, folder)

    @how
    @given(content=spoiled(right))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        answered(READERS[name], path)

    check()


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_answered(name: str, tiny_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    fuzz(FEW, name, tiny_spec, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_many_more_bytes_are_answered(name: str, tiny_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    fuzz(MANY, name, tiny_spec, tmp_path)


@pytest.mark.parametrize("text", BROKEN_YAML)
def test_yaml_that_no_constructor_takes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(LdregError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@FEW
@given(key=st.sampled_from(sorted(RunSpec.model_fields)), value=VALUES)
def test_any_value_in_a_spec_is_answered(
    tiny_spec: Callable[..., RunSpec], tmp_path: Path, key: str, value: Any
) -> None:
    path = tmp_path / "spec.yaml"
    write_spec(path, tiny_spec(), "a run")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {key: value}))
    answered(read_spec, path)


@FEW
@given(key=st.sampled_from(sorted(ScaleFile.model_fields)), value=VALUES)
def test_any_value_in_a_scale_is_answered(key: str, value: Any) -> None:
    content = read_yaml(CONFIG / "demo.yaml")
    content["exhibits"] = {"table1_simclr": None}
    content["core"] = []
    try:
        scale = Scale(content | {key: value}, "scale.yaml", CONFIG)
    except LdregError as error:
        assert "\n" not in str(error)
        assert ".yaml: " in str(error)
    else:
        parts = [scale.name, *scale.exhibits, *(part for run in scale.runs for part in run.split("/"))]
        assert all(part and "/" not in part and part not in (".", "..") for part in parts)


@FEW
@given(name=st.text(max_size=40) | st.from_regex(r"[a-z_]+-[a-z_0-9.]+/[a-z0-9_.-]+/seed\S*", fullmatch=True))
def test_any_name_of_a_run_is_parsed_or_refused(name: str) -> None:
    try:
        parse_run(name)
    except LdregError as error:
        assert "\n" not in str(error)


@FEW
@given(
    beta=st.floats(0, 1e30),
    k=st.integers(2, 62),
    jitter=st.floats(0, 1e6),
    base_lr=st.floats(0, 1e9, exclude_min=True),
    seed=st.integers(0, 2**32),
    projector=st.lists(st.integers(1, 9999), min_size=1, max_size=4),
)
def test_names_of_runs_read_back(tiny_spec: Callable[..., RunSpec], **changes: Any) -> None:
    base = tiny_spec()
    spec = tiny_spec(regularizer="ldreg_l1", **changes)
    name = format_run(spec, base)
    if max(map(len, name.split("/"))) < 255:  # a shortened name is not read back
        values = base.model_dump() | parse_run(name)
        assert RunSpec(**values | {"regularizer_start": spec.regularizer_start}) == spec


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_spoiled_checkpoint_is_never_taken_for_whole(suffix: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "job", {"spec": "a"})
    assert checkpoint.save(1, {"weights": torch.arange(6.0), "epoch": 1}, {})
    path = checkpoint.folder / f"1{suffix}"
    right = path.read_bytes()
    places = st.integers(0, 10**6)  # of a file whose length differs from run to run

    @FEW
    @given(first=places, last=places, new=st.binary(max_size=9))
    def check(first: int, last: int, new: bytes) -> None:
        first, last = sorted((first % len(right), last % len(right)))
        content = right[:first] + new + right[last:]
        path.write_bytes(content)
        same = content == right or (suffix == ".json" and _same_json(content, right))
        assert (Checkpoint(tmp_path, "job", {"spec": "a"}).load() is not None) == same

    check()


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
