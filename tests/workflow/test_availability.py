"""Data sets to transfer to that are not there: left out, then looked for again; refused where damaged."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data.availability import AGAIN
from ldreg.workflow.rechecks import write_rechecks
from ldreg.workflow.scale import Scale

Workflow = Any  # tests/workflow/conftest.py
RUN = "simclr-small_cnn/none/seed0"
REPOSITORY = Path(__file__).resolve().parents[2]


def _transfers(content: dict[str, Any]) -> None:
    grid = {"method": "simclr", "regularizer": "none"}
    settings = {"datasets": ["digits", "cars"]}
    content |= {
        "seeds": [0],
        "core": ["table2"],
        "exhibits": {"table2": {"runs": [grid], "settings": settings}},
        "transfer": {**settings, "epochs": 1, "learning_rates": [0.01], "weight_decays": [0.0005]},
    }


def _cars(folder: Path) -> None:
    """As folders of images per class: two of each to train on, for there must be some to hold out."""
    for split, count in (("train", 2), ("val", 1)):
        for label in range(196):
            (folder / split / f"{label:03}").mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (9, 8), (label, 9 * i, 0)).save(folder / split / f"{label:03}" / f"{i}.png")


def test_a_set_that_is_put_in_place_is_found_by_the_next_call(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    workflow = fresh_workflow(tmp_path)
    workflow.edit(_transfers)
    offer = workflow.path("results/tiny/transfer/cars.json")
    measured = workflow.path("results/tiny/runs", RUN, "transfer/cars.json")
    done = workflow.run("table2", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(offer.read_text())["unavailable"]
    assert told.startswith("data/cars: no images; ") and told.endswith(AGAIN)
    assert AGAIN in workflow.path("results/tiny/exhibits/table2.md").read_text()
    assert workflow.jobs("table2") == {} == workflow.jobs("table2")

    # Put there, but not unpacked: that is a mistake, and no set to do without.
    workflow.path("data/cars").mkdir()
    workflow.path("data/cars/cars_train.tgz").touch()
    again = {"offer": 1, "transfer": 1, "table2": 1}
    assert workflow.jobs("table2") == again == workflow.jobs("table2")
    assert json.loads(offer.read_text())["unavailable"] == told  # a dry run takes nothing away
    done = workflow.run("table2", "--cores", "1")
    assert done.returncode != 0 and "not found; unpack or complete the data set" in done.stderr
    assert json.loads(measured.read_text())["unavailable"] == told

    workflow.path("data/cars/cars_train.tgz").unlink()
    _cars(workflow.path("data/cars"))
    assert workflow.jobs("table2") == again
    done = workflow.run("table2", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(measured.read_text())["rows"]["test"] == 196
    assert workflow.jobs("table2") == {}

    # A job that fails after a change loses its outputs; the older table must not count as up to date.
    workflow.edit(lambda content: content["transfer"].update(epochs=2))
    arrays = workflow.path("data/digits/arrays.safetensors")
    arrays.rename(arrays.with_suffix(".elsewhere"))
    assert workflow.run("table2", "--cores", "1").returncode != 0 and not measured.exists()
    arrays.with_suffix(".elsewhere").rename(arrays)
    assert workflow.jobs("table2") == {"transfer": 1, "table2": 1}


@pytest.fixture
def scale(tmp_path: Path) -> Scale:
    content = yaml.safe_load((REPOSITORY / "config/demo.yaml").read_text())
    content["transfer"]["datasets"] = ["mnist", "fashion_mnist", "cars"]
    for exhibit in content["exhibits"].values():
        if exhibit and "datasets" in exhibit.get("settings", {}):
            exhibit["settings"]["datasets"] = ["mnist"]
    content["execution"]["data"] = str(tmp_path / "data")
    return Scale(content, "demo.yaml", REPOSITORY / "config")


def _rechecks(scale: Scale, results: Path) -> dict[str, str]:
    write_rechecks(scale, results)
    return {path.stem: path.read_text() for path in (results / "demo/transfer").glob("*.yaml")}


def test_what_was_left_out_is_looked_for_once_its_download_answers(
    scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []
    online: set[str] = set()
    monkeypatch.setattr(
        "ldreg.workflow.rechecks.reachable_downloads",
        lambda names: asked.append(set(names)) or names & online,
    )
    nowhere = replace(DATA_SETS["fashion_mnist"], installed=None)
    monkeypatch.setitem(DATA_SETS, "fashion_mnist", nowhere)
    first = _rechecks(scale, tmp_path)
    assert set(first) == {"mnist", "fashion_mnist", "cars"}
    folder = tmp_path / "demo/transfer"
    (folder / "mnist.json").write_text(
        json.dumps({"dataset": "mnist", "manifest": "data/mnist/dataset.json"})
    )
    for name in ("fashion_mnist", "cars"):
        (folder / f"{name}.json").write_text(json.dumps({"dataset": name, "unavailable": "no way"}))
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert _rechecks(scale, tmp_path) == first  # without a network, nothing runs again
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    online |= {"mnist", "fashion_mnist"}
    second = _rechecks(scale, tmp_path)
    changed = {name for name in first if second[name] != first[name]}
    assert changed == {"fashion_mnist"} and asked == [set(), *[{"fashion_mnist", "cars"}] * 2]
    assert _rechecks(scale, tmp_path) == second  # reading the workflow twice changes nothing
    # The download broke off and the set is left out once more: so once more it is looked for.
    os.utime(folder / "fashion_mnist.json", ns=(0, times[folder / "fashion_mnist.json"] + 10**9))
    assert _rechecks(scale, tmp_path)["fashion_mnist"] != second["fashion_mnist"]
