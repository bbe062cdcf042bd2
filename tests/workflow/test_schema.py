"""The schemas for editors are those of the models, hold for what is shipped, and find misspelt keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from ldreg.workflow.schema import schemas, text, write_schemas

CONFIG = Path(__file__).resolve().parents[2] / "config"
SHIPPED = sorted(path.name for path in CONFIG.glob("*.yaml"))
POINTER = "# yaml-language-server: $schema="


def content_of(name: str) -> dict[str, Any]:
    """A shipped file as JSON has it, whose keys are all texts."""
    return json.loads(json.dumps(yaml.safe_load((CONFIG / name).read_text())))


def schema_of(name: str) -> dict[str, Any]:
    """The schema that the first line of a shipped file points to."""
    first, _, _ = (CONFIG / name).read_text().partition("\n")
    assert first.startswith(POINTER), f"config/{name}: the first line should point to its schema"
    return json.loads((CONFIG / first.removeprefix(POINTER)).read_text())


def mistakes(name: str, content: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema_of(name)).iter_errors(content)]


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_up_to_date(name: str) -> None:
    written = (CONFIG / name).read_text()
    assert written == text(schemas()[name]), f"config/{name} is stale: make schema"


def test_the_command_writes_them_all(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in CONFIG.glob("*schema.json")}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_fits_its_schema(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert mistakes(name, content_of(name)) == []


MISTAKES: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "a block": ("demo.yaml", lambda content: content.update(evaluatoin={})),
    "a setting of all runs": ("demo.yaml", lambda content: content["run"].update(epochz=3)),
    "a setting of a method": ("demo.yaml", lambda content: content["methods"]["byol"].update(momentun=0.9)),
    "a method": ("demo.yaml", lambda content: content["methods"].update(simclear={})),
    "how it is executed": ("demo.yaml", lambda content: content["execution"].update(gpuz=1)),
    "of the detector": ("demo.yaml", lambda content: content["detection"]["settings"].update(stepz=[1])),
    "an exhibit's key": ("demo.yaml", lambda content: content["exhibits"]["table2"].update(run=[])),
    "a swept setting": (
        "demo.yaml",
        lambda content: content["exhibits"]["figure5"]["runs"][1].update(betta=[0.1, 1.0]),
    ),
    "a setting of some renderer": (
        "demo.yaml",
        lambda content: content["exhibits"]["table2"]["settings"].update(data_sets=["mnist"]),
    ),
    "a backbone": ("methods.yaml", lambda content: content["simclr"]["backbones"].update(vit_b61={})),
    "a setting on a backbone": (
        "methods.yaml",
        lambda content: content["simclr"]["backbones"]["vit_b16"].update(beda=1.0),
    ),
    "a view's setting": ("augmentations.yaml", lambda content: content["mae"][0].update(flips=0.5)),
    "a shared exhibit's key": ("exhibits.yaml", lambda content: content["table2"].update(titel="x")),
    "a setting of another renderer": (
        "exhibits.yaml",
        lambda content: content["table2"]["settings"].update(axes=["beta"]),
    ),
    "no key but a value": ("demo.yaml", lambda content: content["run"].update(epochs=0)),
    "a missing key": ("exhibits.yaml", lambda content: content["table2"].pop("caption")),
}


@pytest.mark.parametrize("where", MISTAKES)
def test_a_mistake_is_refused(where: str) -> None:
    name, spoil = MISTAKES[where]
    content = content_of(name)
    spoil(content)
    assert mistakes(name, content) != []


def test_a_sweep_over_lists_is_told_from_one_list() -> None:
    content = content_of("demo.yaml")
    grid = content["exhibits"]["figure5"]["runs"][1]
    for projector in ([128, 64], [[128, 64], [64]]):
        grid["projector"] = projector
        assert mistakes("demo.yaml", content) == []
    grid["projector"] = [["wide"]]
    assert mistakes("demo.yaml", content) != []
