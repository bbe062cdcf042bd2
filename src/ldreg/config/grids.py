"""Settings of a run as the configuration gives them: layers of several files, grids of one exhibit."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.regularizers import REGULARIZER_SETTINGS, REGULARIZERS
from ldreg.config.run_spec import LISTS, RunSpec
from ldreg.errors import LdregError, Location, dotted, unknown

# What a user may set for a run; the rest follows from it or from its place in the configuration.
SETTINGS = tuple(key for key in RunSpec.model_fields if key not in ("scale", "views", "seed", "recipe"))
_SCALED_BY_JITTER = ("brightness", "contrast", "saturation", "hue")


@dataclass(frozen=True)
class Overlay:
    """Settings from one place of one file; later layers win over earlier ones."""

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


def keys_and_values(block: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(block, Mapping):
        raise LdregError(f"{where}: expected keys and values, found {block!r}")
    return block


def without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def unused_settings(regularizer: Any) -> tuple[str, ...]:
    """Settings that mean nothing to a regulariser, though a method's defaults or a grid may hold them."""
    if regularizer == "none":
        return (*REGULARIZER_SETTINGS, "acts_on")
    if not isinstance(regularizer, str) or regularizer not in REGULARIZERS:
        return ()  # RunSpec refuses it and says why
    return tuple(key for key in REGULARIZER_SETTINGS if key not in REGULARIZERS[regularizer].settings)


def method_overlays(file: str, place: Location, block: Any) -> Iterator[Overlay]:
    """A method's block, then what it says for single backbones."""
    block = keys_and_values(block, f"{file}: {dotted(place)}")
    yield Overlay(file, place, {key: value for key, value in block.items() if key != "backbones"})
    place = (*place, "backbones")
    for backbone, values in keys_and_values(block.get("backbones", {}), f"{file}: {dotted(place)}").items():
        if backbone not in BACKBONES:
            raise unknown(f"{file}: {dotted(place)}", backbone, BACKBONES)
        yield Overlay(file, (*place, backbone), values)


def scale_jitter(views: Any, strength: Any) -> Any:
    """The views with their colour jitter times `strength` (the paper's s, Figure 2b)."""
    if not isinstance(views, list) or not all(isinstance(view, Mapping) for view in views):
        return views  # RunSpec refuses it and says why
    return [
        {k: _times(v, strength) if k in _SCALED_BY_JITTER else v for k, v in view.items()} for view in views
    ]


def _times(value: Any, strength: Any) -> Any:
    try:
        return float(value) * float(strength)  # YAML reads 1e-1 as text, pydantic as a number
    except (TypeError, ValueError):
        return value  # RunSpec refuses the one that is no number


def product(grid: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Every combination of a grid's lists; settings that are lists themselves take a list of lists."""
    axes = []
    for key, value in grid.items():
        if value == []:
            raise LdregError(f"{where}.{key}: [] is not allowed; it should have at least 1 value")
        is_axis = isinstance(value, list) and (key not in LISTS or any(isinstance(v, list) for v in value))
        axes.append([(key, each) for each in (value if is_axis else [value])])
    for point in itertools.product(*axes):
        yield dict(point)
