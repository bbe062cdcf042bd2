"""JSON schemas of the configuration files, from which editors complete keys and mark mistakes while you type.

`make schema` (`python -m ldreg.workflow.schema`) writes them anew. A YAML file points to its schema in its
first line: `# yaml-language-server: $schema=schema.json`. A schema says what single keys and values may be,
like the models of the configuration. Rules about several keys at once are checked by `ldreg.workflow.scale`
alone.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ldreg.config.grids import SETTINGS
from ldreg.config.run_spec import LIST_SETTINGS, RunSpec, ViewSettings
from ldreg.config.scale_file import Exhibit, ScaleFile
from ldreg.exhibits import RENDERERS
from ldreg.files import write_text

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, Schema]:
    """The schema of each kind of file, by the schema's own file name."""
    definitions, refs = _models()
    definitions |= {
        "run_settings": _settings(),
        "method_settings": _method_settings(),
        "grid": _grid(),
        "exhibit": _exhibit(definitions["Exhibit"], refs),
    }
    scale = definitions.pop("ScaleFile")
    method_names = definitions["run_settings"]["properties"]["method"]["enum"]
    scale["properties"] |= {
        "run": _ref("run_settings"),
        "methods": {
            "type": "object",
            "properties": {name: _ref("method_settings") for name in method_names},
            "additionalProperties": False,
        },
        "exhibits": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"anyOf": [_ref("exhibit"), {"type": "null"}]},
        },
    }
    views = {
        "type": "array",
        "items": _ref("ViewSettings"),
        **{key: _run_spec()["views"][key] for key in ("minItems", "maxItems")},
    }
    whole_exhibit = {"allOf": [_ref("exhibit")], "required": definitions["Exhibit"]["required"]}
    files = {
        "schema.json": scale,
        "methods.schema.json": {
            "type": "object",
            "properties": {name: _ref("method_settings") for name in method_names},
            "additionalProperties": False,
        },
        "augmentations.schema.json": {"type": "object", "additionalProperties": views},
        "exhibits.schema.json": {"type": "object", "additionalProperties": whole_exhibit},
    }
    return {name: _document(schema, definitions) for name, schema in files.items()}


def write_schemas(folder: Path) -> None:
    """Write every schema into `folder`, which is `config/`."""
    for name, schema in schemas().items():
        write_text(folder / name, text(schema))


def text(schema: Schema) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2) + "\n"


def _models() -> tuple[dict[str, Schema], dict[type[BaseModel], Schema]]:
    """The definitions of all models by name, and the reference to that of each model."""
    models = [ScaleFile, Exhibit, ViewSettings, *(renderer.settings for renderer in RENDERERS.values())]
    found, joint = models_json_schema([(model, "validation") for model in dict.fromkeys(models)])
    refs = {model: found[model, "validation"] for model in models}
    return {name: _untitled(each) for name, each in joint["$defs"].items()}, refs


def _run_spec() -> Schema:
    return _untitled(RunSpec.model_json_schema())["properties"]


def _settings() -> Schema:
    """A run's settings, each with one value; any of them may be left out."""
    properties = {key: schema for key, schema in _run_spec().items() if key in SETTINGS}
    # A default holds if no file gives the setting, which one cannot see in a single file.
    properties = {key: _without(schema, "default") for key, schema in properties.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _method_settings() -> Schema:
    """A run's settings, and below `backbones` those for single backbones."""
    settings = _settings()
    backbones = dict.fromkeys(settings["properties"]["backbone"]["enum"], _ref("run_settings"))
    settings["properties"]["backbones"] = {
        "type": "object",
        "properties": backbones,
        "additionalProperties": False,
    }
    return settings


def _grid() -> Schema:
    """An entry of `runs`: each setting has one value, or a list of values that are swept."""
    grid = _settings()
    for key, schema in grid["properties"].items():
        items = schema
        if key in LIST_SETTINGS:  # one list is one value, so that a sweep takes a list of lists
            items = {"anyOf": [each for each in schema["anyOf"] if each["type"] == "array"]}
        grid["properties"][key] = {"anyOf": [schema, {"type": "array", "items": items, "minItems": 1}]}
    return grid


def _exhibit(model: Schema, refs: Mapping[type[BaseModel], Schema]) -> Schema:
    """An exhibit's block, all of whose keys may be left out; without a renderer it may have any settings."""
    properties = {
        **model["properties"],
        "renderer": {"enum": sorted(RENDERERS)},
        "runs": {"type": "array", "items": _ref("grid")},
    }
    cases = [
        {
            "if": {"properties": {"renderer": {"const": name}}, "required": ["renderer"]},
            "then": {"properties": {"settings": refs[renderer.settings]}},
        }
        for name, renderer in sorted(RENDERERS.items())
    ]
    unnamed = {
        "if": {"not": {"required": ["renderer"]}},
        "then": {
            "properties": {
                "settings": {
                    "type": "object",
                    "properties": dict.fromkeys(sorted(_setting_names()), True),
                    "additionalProperties": False,
                }
            }
        },
    }
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "allOf": [*cases, unnamed],
    }


def _setting_names() -> set[str]:
    """Names of all settings of all renderers."""
    return {key for renderer in RENDERERS.values() for key in renderer.settings.model_fields}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _without(schema: Schema, *keys: str) -> Schema:
    return {key: value for key, value in schema.items() if key not in keys}


def _untitled(schema: Any) -> Any:
    """A schema without the titles that pydantic makes of names; a property that is called `title` stays."""
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _untitled(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _document(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A whole schema with those definitions that it needs."""
    needed: dict[str, Schema] = {}
    wanted = list(_refs(schema))
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed[name] = definitions[name]
            wanted += _refs(definitions[name])
    return {"$schema": DIALECT, **schema, "$defs": dict(sorted(needed.items()))}


def _refs(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(target := schema.get("$ref"), str):
            yield target.removeprefix("#/$defs/")
        for value in schema.values():
            yield from _refs(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _refs(value)


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("config"))
