"""What the renderer `sweep` declares: its settings, where its axes cross, and which runs its panels show."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from ldreg.config.run_spec import MONITOR_SETTINGS, RunSpec
from ldreg.errors import LdregError
from ldreg.exhibits.output.labels import present, same
from ldreg.exhibits.renderer import FIGURE, ExhibitInScale, Renderer
from ldreg.exhibits.settings import METRIC, REGULARIZER_KEYS, RUN_SETTING, MetricName, Settings


class SweepSettings(Settings):
    """Settings of `sweep`: a grid of panels, swept settings as columns and metrics as rows.

    paper_says: what the paper's figure shows, by metric and axis, in a word or two. base_of: `base` by method
    and encoder ("vicreg small_cnn"), where it is not the same for all; the workflow writes it.
    """

    axes: Annotated[tuple[str, ...], Field(min_length=1), RUN_SETTING]
    metrics: tuple[MetricName, ...] = Field(min_length=1)
    paper_says: Annotated[dict[str, dict[str, str]], METRIC] = Field(default_factory=dict)
    base_of: dict[str, dict[str, Any]] = Field(default_factory=dict)


def _check(settings: SweepSettings, exhibit: ExhibitInScale) -> None:
    """Refuse axes that no figure can have, and a `base` that would leave out runs."""
    for axis in settings.axes:
        if axis in MONITOR_SETTINGS:
            raise LdregError(
                f"{exhibit.where('settings', 'axes')}: {axis!r} is not allowed; it should be a setting"
                " that changes results"
            )
    shown = {
        run
        for run, spec in exhibit.runs.items()
        if any(at_base(spec.model_dump(), settings.base, axis) for axis in settings.axes)
    }
    left = [run for run in exhibit.runs if run not in shown]
    if left and (len(left) == len(exhibit.runs) or not exhibit.block.runs_of):
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise LdregError(
            f"{exhibit.where('settings', 'base')}: {settings.base} is not allowed; no panel over"
            f" {' or '.join(settings.axes)} would show {left[0]}{more}"
        )


def at_base(run: Mapping[str, Any], base: Mapping[str, Any], axis: str) -> bool:
    """Whether a panel over `axis` shows a run: at `base` in every other setting that the run has.

    A regulariser without neighbours has no k, and an unregularised run has none of a regulariser's settings.
    """
    without = REGULARIZER_KEYS if run["regularizer"] == "none" else ()
    return all(
        key == axis or key in without or not present(run[key]) or same(run[key], there)
        for key, there in base.items()
    )


def _defaults(
    settings: SweepSettings, exhibit: ExhibitInScale, folder: Callable[[str], str]
) -> dict[str, Any]:
    """Where the axes cross, by method and encoder if they cross at different values, and what is reported."""
    base = {} if "base" in settings.model_fields_set else _crossings(exhibit, settings.axes)
    return {**base, **exhibit.scale.report.model_dump(mode="json")}


def _crossings(exhibit: ExhibitInScale, axes: Sequence[str]) -> dict[str, Any]:
    groups: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in exhibit.runs.values():
        groups.setdefault((spec.method, spec.backbone), []).append(spec)
    found = {
        f"{method} {backbone}": _crossing(specs, axes, exhibit.usual(method, backbone))
        for (method, backbone), specs in groups.items()
    }
    first = next(iter(found.values()))
    return {"base": first} if all(base == first for base in found.values()) else {"base_of": found}


def _crossing(specs: Sequence[RunSpec], axes: Sequence[str], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The scale's own value of each axis, at which the runs over the other axes stay.

    It is empty unless all runs lie on such lines. A full grid has a curve for each value of the other axes.
    """
    if len(axes) == 1:
        return {}  # the only axis crosses nothing
    values = {key: {getattr(spec, key) for spec in specs} - {None} for key in axes}
    base = {key: usual[key] for key in axes if len(values[key]) > 1 and usual[key] in values[key]}

    def stays(spec: RunSpec, axis: str) -> bool:
        return all(getattr(spec, key) in (value, None) for key, value in base.items() if key != axis)

    return base if all(any(stays(spec, axis) for axis in axes) for spec in specs) else {}


SWEEP = Renderer(
    "sweep", "ldreg.exhibits.figures.sweep", SweepSettings, FIGURE, check=_check, defaults=_defaults
)
