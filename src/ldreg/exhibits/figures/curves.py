"""Figure 2 (a, b): a live measurement over the epochs of training, as a mean over seeds with its interval."""

from numbers import Real
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.errors import LdregError
from ldreg.exhibits.figures.curve_data import TrainingCurve, line_names, monitor_k, read_curves, table
from ldreg.exhibits.figures.declared import CurveSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.estimates import level
from ldreg.exhibits.output.labels import METRICS, listed, name, plain, present
from ldreg.exhibits.output.legends import interval_note, legend_below
from ldreg.exhibits.runs.run_table import ExhibitSpec, settings_of

PANEL_HEIGHT = 1.7  # inches
WIDE_HEIGHT = 2.5  # of the one panel of a sweep
FEW_POINTS = 15  # the largest number of measured epochs at which each of them gets a mark
LINES = ("-", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))  # of the regularised settings; unregularised: dashed
MONITORS = {
    "mlid": "mLID",
    "mlid_mle_32": "mLID (MLE, k 32)",
    "mlid_mle_512": "mLID (MLE, k 512)",
    "effective_rank": "effective rank",
    "probe_top1": "online probe (%)",
}


def curves(exhibit: ExhibitSpec) -> Drawing:
    """The figure; its table has a line for each curve and measured epoch."""
    settings = settings_of(exhibit, CurveSettings)
    found = read_curves(exhibit, settings)
    regularized = _regularized(line_names(found, settings))
    if len(regularized) > len(LINES):
        raise LdregError(
            f"{exhibit.path}: settings.over: {len(regularized)} regularised settings are too many for "
            f"{len(LINES)} line styles; name the setting in which they differ"
        )
    with style.styled():
        figure = (_swept if settings.over else _panels)(found, settings)
    return Drawing(figure, table(found, settings))


def _panels(found: list[TrainingCurve], settings: CurveSettings) -> Figure:
    """One panel for each method and encoder."""
    shown = list(dict.fromkeys(curve.context.label for curve in found))
    names, marked = line_names(found, settings), _few(found)
    columns = min(len(shown), 3 if len(shown) > 4 else 2)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(style.WIDTH, PANEL_HEIGHT * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for place, axes in enumerate(grid):
        if place >= len(shown):
            axes.set_axis_off()
            continue
        for curve in (curve for curve in found if curve.context.label == shown[place]):
            _draw(axes, curve, style.COLOURS[place % len(style.COLOURS)], _line(names, curve), marked)
        method, _, rest = shown[place].partition(", ")
        axes.set_title(f"{method}\n{fill(rest, 24)}" if columns > 2 else fill(shown[place], 40))
        _name_axes(axes, settings, x=place + columns >= len(shown), y=place % columns == 0)
    figure.align_ylabels()
    lines = {names[curve.setting]: _line(names, curve) for curve in found}
    handles = [
        Line2D([], [], color=style.REFERENCE, linestyle=line, label=label) for label, line in lines.items()
    ]
    legend_below(figure, handles, _note(found, settings), handlelength=2.6)
    return figure


def _swept(found: list[TrainingCurve], settings: CurveSettings) -> Figure:
    """One panel with a colour for each value of `over`."""
    names = line_names(found, settings)
    figure = Figure(figsize=(style.WIDTH, WIDE_HEIGHT), layout="constrained")
    axes = figure.subplots()
    colours = _colours([curve.value for curve in found])
    handles = []
    for curve in found:
        colour, line = colours[name(curve.value)], _line(names, curve)
        _draw(axes, curve, colour, line, _few(found))
        parts = [name(curve.value)] if present(curve.value) else []
        parts += [names[curve.setting]] if len(set(names.values())) > 1 else []
        after = f": {level(curve.after)}" if curve.after else ""
        handles.append(Line2D([], [], color=colour, linestyle=line, label=", ".join(parts) + after))
    title = plain(settings.over)
    if settings.in_legend:
        title += f":\n{METRICS[settings.in_legend].axis}"
    figure.legend(handles=handles, title=title, title_fontsize=8, loc="outside right upper", alignment="left")
    _name_axes(axes, settings)
    figure.supxlabel(_note(found, settings), fontsize=8)
    return figure


def _colours(values: list[Any]) -> dict[str, Any]:
    """A colour for each value: numbers from dark to light, words distinct, grey without a value."""
    numbers = sorted({v for v in values if isinstance(v, Real) and present(v)})
    words = dict.fromkeys(name(v) for v in values if isinstance(v, str))
    shades = mpl.colormaps["viridis"]
    last = max(len(numbers) - 1, 1)
    # The upper end of viridis is too light for lines on white.
    found = {name(value): shades(0.82 * place / last) for place, value in enumerate(numbers)}
    found |= {word: style.COLOURS[place % len(style.COLOURS)] for place, word in enumerate(words)}
    return {name(value): style.REFERENCE for value in values} | found


def _regularized(names: dict[tuple[str, str], str]) -> list[str]:
    return list(dict.fromkeys(label for label in names.values() if label != "unregularised"))


def _line(names: dict[tuple[str, str], str], curve: TrainingCurve) -> Any:
    """Dashed without a regulariser, unless nothing else is shown."""
    regularized = _regularized(names)
    if not curve.arm.regularized:
        return "--" if regularized else "-"
    return LINES[regularized.index(names[curve.setting])]


def _few(found: list[TrainingCurve]) -> bool:
    return max(len(curve.points) for curve in found) <= FEW_POINTS


def _draw(axes: Axes, curve: TrainingCurve, colour: Any, line: Any, marked: bool) -> None:
    points = curve.points
    mark = {"marker": "o", "markersize": 2.5} if marked else {}
    axes.plot(points["epoch"], points["mean"], color=colour, linestyle=line, zorder=3, **mark)
    if points["low"].notna().any():
        axes.fill_between(
            points["epoch"], points["low"], points["high"], color=colour, alpha=0.16, linewidth=0, zorder=2
        )


def _name_axes(axes: Axes, settings: CurveSettings, x: bool = True, y: bool = True) -> None:
    if x:
        axes.set_xlabel("epoch")
    if y:
        axes.set_ylabel(MONITORS[settings.monitor])
    axes.set_xlim(left=0)
    axes.locator_params(axis="both", nbins=5, min_n_ticks=3)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _note(found: list[TrainingCurve], settings: CurveSettings) -> str:
    """A note that says where the curves were measured, and over how many seeds."""
    where = "training batches"
    if settings.monitor == "mlid":
        where += f", MoM, k {listed(monitor_k(curve) for curve in found)}"
    return f"{where}; {interval_note([n for curve in found for n in curve.points['n']], 'bands')}"
