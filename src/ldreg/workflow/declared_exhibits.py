"""The exhibits that a scale declares: blocks of exhibits.yaml, with the keys that the scale file replaces."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ldreg.catalogue.measurements import MEASUREMENTS
from ldreg.config.grids import require_mapping
from ldreg.config.scale_file import Exhibit, ScaleFile
from ldreg.errors import LdregError, Location, dotted, explain, refuse_booleans, unknown
from ldreg.exhibits import RENDERERS
from ldreg.exhibits.renderer import Renderer
from ldreg.exhibits.settings import Settings
from ldreg.files import read_yaml

AnyModel = TypeVar("AnyModel", bound=BaseModel)

# Names of the workflow's own rules, which no exhibit may have, because each exhibit is a rule of its name.
RULES = (
    *("all", "core", "data", "pretrain", *MEASUREMENTS, "offer", "compose", "coco"),
    *("synthetic", "site", "track"),
)


@dataclass(frozen=True)
class DeclaredExhibit:
    """One exhibit of a scale, checked: its block, its renderer and the renderer's settings.

    Attributes:
        block: The exhibit's block in the configuration.
        settings: The block's `settings`, validated.
        origin: Gives the file that a key of the block came from, and where it stands there.
    """

    block: Exhibit
    settings: Settings
    origin: Callable[[Location], tuple[str, Location]]

    @property
    def renderer(self) -> Renderer:
        """The exhibit's renderer."""
        return RENDERERS[self.block.renderer]

    def where(self, *location: str | int) -> str:
        """File and place of a key of the block, for error messages."""
        file, place = self.origin(location)
        return f"{file}: {dotted(place)}"


def read_exhibits(content: ScaleFile, file: str, folder: Path) -> dict[str, DeclaredExhibit]:
    """The exhibits of the scale file `file` by name, in its order; `folder` holds exhibits.yaml.

    Raises:
        LdregError: a mistake in a block or its settings, told with file, key, value and what is allowed.
    """
    shared = read_yaml(folder / "exhibits.yaml")
    found = {name: _read(name, content, file, folder / "exhibits.yaml", shared) for name in content.exhibits}
    for name, exhibit in found.items():
        _check_runs(name, exhibit, {**shared, **content.exhibits}, found)
    return found


def _read(
    name: str, content: ScaleFile, file: str, shared_file: Path, shared: Mapping[str, Any]
) -> DeclaredExhibit:
    own = content.exhibits[name] or {}
    if name in RULES:
        raise LdregError(
            f"{file}: exhibits.{name}: {name!r} is not allowed; it should be another name"
            f" than those of the workflow's own rules: {', '.join(RULES)}"
        )
    if name not in shared and "renderer" not in own:
        raise unknown(f"{file}: exhibits", name, shared)
    values = {**require_mapping(shared.get(name, {}), f"{shared_file}: {name}"), **own}

    def origin(location: Location) -> tuple[str, Location]:
        if location[0] in own or name not in shared:
            return file, ("exhibits", name, *location)
        return str(shared_file), (name, *location)

    block = _validated(values, Exhibit, origin)
    if block.renderer not in RENDERERS:
        there, place = origin(("renderer",))
        raise unknown(f"{there}: {dotted(place)}", block.renderer, RENDERERS)
    model = RENDERERS[block.renderer].settings
    settings = _validated(block.settings, model, lambda location: origin(("settings", *location)))
    return DeclaredExhibit(block, settings, origin)


def _validated(
    values: Mapping[str, Any], model: type[AnyModel], origin: Callable[[Location], tuple[str, Location]]
) -> AnyModel:
    refuse_booleans(values, model, origin)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explain(error, model, origin) from error


def _check_runs(
    name: str,
    exhibit: DeclaredExhibit,
    known: Mapping[str, Any],
    declared: Mapping[str, DeclaredExhibit],
) -> None:
    """Check that an exhibit has the runs that its renderer needs, and does not take its own runs."""
    block = exhibit.block
    for other in block.runs_of:
        if other not in known:
            raise unknown(exhibit.where("runs_of"), other, known)
        if name in _takes(other, declared):
            raise LdregError(
                f"{exhibit.where('runs_of')}: {other!r} is not allowed; it takes the runs of {name} itself"
            )
    if exhibit.renderer.needs_runs and not (block.runs or set(block.runs_of) & set(declared)):
        wrong = "no exhibit of this scale" if block.runs_of else "missing"
        where = exhibit.where("runs_of" if block.runs_of else "runs")
        raise LdregError(f"{where}: {wrong}; renderer {block.renderer} needs some")


def _takes(exhibit: str, declared: Mapping[str, DeclaredExhibit]) -> set[str]:
    """An exhibit, those of this scale whose runs it takes, whose runs these take, and so on."""
    found: set[str] = set()
    wanted = [exhibit]
    while wanted:
        name = wanted.pop()
        if name not in found and name in declared:
            found.add(name)
            wanted += declared[name].block.runs_of
    return found
