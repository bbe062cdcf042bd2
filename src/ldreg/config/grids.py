"""How the settings of runs are combined: overlays from several files, and the grids of an exhibit."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.regularizers import REGULARIZER_SETTINGS, REGULARIZERS
from ldreg.config.run_spec import LIST_SETTINGS, RunSpec
from ldreg.errors import LdregError, Location, dotted, unknown

# The settings that a user may write for a run. The others are derived.
SETTINGS = tuple(key for key in RunSpec.model_fields if key not in ("scale", "views", "seed", "recipe"))
_SCALED_BY_JITTER = ("brightness", "contrast", "saturation", "hue")


@dataclass(frozen=True)
class Overlay:
    """Settings from one place in one file; later overlays override earlier ones."""

    file: str
    place: Location
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        where = f"{self.file}: {dotted(self.place)}"
        if not isinstance(self.values, Mapping):
            raise LdregError(f"{where}: expected keys and values, found {self.values!r}")
        for key in self.values:
            if key not in SETTINGS:
                raise unknown(where, key, SETTINGS)


def require_mapping(block: Any, where: str) -> Mapping[str, Any]:
    """Return `block`; raise LdregError naming `where` if it is not a mapping."""
    if not isinstance(block, Mapping):
        raise LdregError(f"{where}: expected keys and values, found {block!r}")
    return block


def without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return `values` without some keys."""
    return {key: value for key, value in values.items() if key not in keys}


def unused_settings(regularizer: Any) -> tuple[str, ...]:
    """Return settings that a regulariser ignores, though a method's defaults or a grid may hold them."""
    if regularizer == "none":
        return (*REGULARIZER_SETTINGS, "acts_on")
    if not isinstance(regularizer, str) or regularizer not in REGULARIZERS:
        return ()  # RunSpec reports the error
    return tuple(key for key in REGULARIZER_SETTINGS if key not in REGULARIZERS[regularizer].settings)


def method_overlays(file: str, place: Location, block: Any) -> Iterator[Overlay]:
    """Yield the overlay of a method, then those for single backbones in its block."""
    block = require_mapping(block, f"{file}: {dotted(place)}")
    yield Overlay(file, place, {key: value for key, value in block.items() if key != "backbones"})
    place = (*place, "backbones")
    for backbone, values in require_mapping(block.get("backbones", {}), f"{file}: {dotted(place)}").items():
        if backbone not in BACKBONES:
            raise unknown(f"{file}: {dotted(place)}", backbone, BACKBONES)
        yield Overlay(file, (*place, backbone), values)


def scale_jitter(views: Any, strength: Any) -> Any:
    """Return the views with their colour jitter multiplied by `strength` (s in the paper's Figure 2b)."""
    if not isinstance(views, list) or not all(isinstance(view, Mapping) for view in views):
        return views  # RunSpec reports the error
    return [
        {k: _times(v, strength) if k in _SCALED_BY_JITTER else v for k, v in view.items()} for view in views
    ]


def _times(value: Any, strength: Any) -> Any:
    try:
        return float(value) * float(strength)  # YAML reads 1e-1 as a string, which pydantic converts
    except (TypeError, ValueError):
        return value  # RunSpec reports the value that is not a number


def product(grid: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Yield every combination of the lists of a grid.

    For a setting in `LIST_SETTINGS`, whose value is a list itself, only a list of lists is an axis.
    """
    axes = []
    for key, value in grid.items():
        if value == []:
            raise LdregError(f"{where}.{key}: [] is not allowed; it should have at least 1 value")
        is_axis = isinstance(value, list) and (
            key not in LIST_SETTINGS or any(isinstance(v, list) for v in value)
        )
        axes.append([(key, each) for each in (value if is_axis else [value])])
    for point in itertools.product(*axes):
        yield dict(point)
