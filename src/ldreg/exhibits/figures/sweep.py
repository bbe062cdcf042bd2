"""Figure 5 and every other sweep: metrics over swept settings against the unregularised runs."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.exhibits.figures.sweep_data import Point, SweepCurve, panel
from ldreg.exhibits.figures.sweep_declared import SweepSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.axis import AxisScale
from ldreg.exhibits.output.csv_text import values_by_seed
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.labels import METRICS, name
from ldreg.exhibits.output.legends import interval_note, legend_below, legend_columns
from ldreg.exhibits.runs.run_table import ExhibitSpec, load_runs, settings_of
from ldreg.exhibits.stats.intervals import estimate_columns

PANEL_HEIGHT = 1.75  # inches
SEED_MARK = {
    "linewidth": 0.6,
    "linestyle": "-",
    "marker": ".",
    "markersize": 5,
    "alpha": 0.5,
    "markeredgewidth": 0,
}
PAPER_MARK = {
    "color": style.QUIET,
    "linestyle": ":",
    "marker": "D",
    "markersize": 3.5,
    "fillstyle": "none",
    "zorder": 3.5,
}
MARKERS = "os^v"
Panels = dict[tuple[str, str], list[Point]]  # by (metric, axis), row by row


def sweep(exhibit: ExhibitSpec) -> Drawing:
    """A grid of panels, metrics down and swept settings across; its table has a line for each point."""
    settings = settings_of(exhibit, SweepSettings)
    frame = load_runs(exhibit, settings.metrics, settings)
    panels = {
        (metric, axis): panel(exhibit, frame, axis, metric, settings).points()
        for metric in settings.metrics
        for axis in settings.axes
    }
    return Drawing(_draw_panels(panels, settings), _table(panels, settings.scale_of_paper))


def _table(panels: Panels, scale_of_paper: bool) -> pd.DataFrame:
    """One line per point: level and paired effect with intervals, the paper's numbers, and each seed's value.

    `comparable` says whether `mean` may be compared with `paper`. If curves differ in other settings too, the
    column `curve` names these.
    """
    lines = []
    several = any(point.curve.settings for points in panels.values() for point in points)
    for letter, ((metric, axis), points) in zip("abcdefghijklmnopqrstuvwxyz", panels.items(), strict=False):
        for point in points:
            lines.append(
                {
                    "panel": letter,
                    "metric": metric,
                    "axis": axis,
                    "series": point.series,
                    **({"curve": point.curve.label} if several else {}),
                    "value": point.value,
                    **estimate_columns(point.level),
                    **estimate_columns(point.effect, "effect_"),
                    **({} if point.effect else {"effect_n": None}),  # unregularised runs have no effect
                    "paper": point.paper,
                    "paper_effect": point.paper_effect,
                    "paper_read_off": point.read_off,
                    "comparable": scale_of_paper and point.paper is not None,
                    "seeds": values_by_seed(point.seeds),
                }
            )
    return pd.DataFrame(lines)


def _draw_panels(panels: Panels, settings: SweepSettings) -> Figure:
    """The figure: lettered panels row by row, one legend below for what the marks mean."""
    rows, columns = len(settings.metrics), len(settings.axes)
    styles = curve_styles(panels)
    with style.styled():
        handles, title = _legend(panels, settings, styles)
        fitting = legend_columns([handle.get_label() for handle in handles])
        across = fitting if len(styles) > 3 else len(handles)
        more = math.ceil(len(handles) / across) - 1  # lines of the legend
        size = (style.WIDTH * max(columns, 1.6) / 2, PANEL_HEIGHT * rows + 0.35 + 0.18 * more)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, ((metric, axis), points) in enumerate(panels.items()):
            axes = grid[place // columns][place % columns]
            axes.set_title(f"({chr(ord('a') + place)})", fontweight="bold")
            axes.set_xlabel(name(axis))
            if place % columns == 0:
                axes.set_ylabel(METRICS[metric].axis)
            axes.locator_params(axis="y", nbins=5, min_n_ticks=4)
            _draw_points(axes, points, settings, styles)
            said = settings.paper_says.get(metric, {}).get(axis)
            if said:
                remark = f"paper: {said}"
                axes.set_title(remark, loc="right", fontsize=8, color=style.QUIET, style="italic")
        figure.align_ylabels()
        legend_below(figure, handles, title, across)
    return figure


@dataclass(frozen=True)
class CurveStyle:
    """How a curve is drawn. An unregularised one is dashed, in the colour of the curves compared with it."""

    colour: str
    marker: str
    dashed: bool


def curve_styles(panels: Panels) -> dict[SweepCurve, CurveStyle]:
    """A style for each curve of a figure, the same in all its panels."""
    curves = list(dict.fromkeys(point.curve for points in panels.values() for point in points))
    treated = [curve for curve in curves if curve.series != "none"]
    plain = [curve for curve in curves if curve.series == "none"]
    if not any(curve.settings for curve in curves):
        treated.sort(key=lambda curve: curve.series)
    found = {curve: CurveStyle(*_palette(place), dashed=False) for place, curve in enumerate(treated)}
    for place, curve in enumerate(plain):
        like = [found[each] for each in treated if each.networks == curve.networks]
        colour, marker = (like[0].colour, like[0].marker) if like else _palette(len(treated) + place)
        single = (style.REFERENCE, MARKERS[0]) if len(plain) == 1 else (colour, marker)
        found[curve] = CurveStyle(*single, dashed=True)
    return found


def _palette(place: int) -> tuple[str, str]:
    """A colour, and a marker that changes when the colours start again."""
    around, colour = divmod(place, len(style.COLOURS))
    return style.COLOURS[colour], MARKERS[around % len(MARKERS)]


def _draw_points(
    axes: Axes, points: list[Point], settings: SweepSettings, styles: dict[SweepCurve, CurveStyle]
) -> None:
    with_value = [point for point in points if point.value is not None]
    scale = AxisScale.of([point.value for point in with_value])
    if with_value:
        scale.apply(axes)
    curves = list(dict.fromkeys(point.curve for point in with_value))
    step = min(0.16, 0.8 / max(len(curves), 1))
    for place, curve in enumerate(curves):
        members = [point for point in with_value if point.curve == curve]
        shift = step * (place - (len(curves) - 1) / 2)  # so that the intervals of two curves stand apart
        _draw_series(axes, scale, members, styles[curve], shift)
        if settings.scale_of_paper:
            theirs = [point for point in members if point.paper is not None]
            x = [scale.at(point.value, shift) for point in theirs]
            axes.plot(x, [point.paper for point in theirs], **PAPER_MARK)
    others = list(dict.fromkeys(curve.series for curve in curves if curve.series != "none"))
    label = f"without\n{name(others[0])}" if len(others) == 1 else "none"
    for point in points:
        if point.value is None:
            _draw_reference(axes, point, styles[point.curve], label if _stands_alone(point, points) else "")


def _stands_alone(point: Point, points: list[Point]) -> bool:
    """Whether a line is named at its end: the only line of its panel, for the unregularised runs."""
    return point.series == "none" and sum(each.value is None for each in points) == 1


def _draw_series(axes: Axes, scale: AxisScale, members: list[Point], drawn: CurveStyle, shift: float) -> None:
    """Means joined by a line, their intervals, and each seed by itself, a little to the right."""
    half_widths = [math.nan if p.level.half_width is None else p.level.half_width for p in members]
    axes.errorbar(
        [scale.at(point.value, shift) for point in members],
        [point.level.mean for point in members],
        yerr=None if all(map(math.isnan, half_widths)) else half_widths,
        fmt=drawn.marker + (("--" if drawn.dashed else "-") if scale.numeric else ""),
        color=drawn.colour,
        elinewidth=1.0,
        zorder=3,
    )
    each = pd.DataFrame({scale.at(p.value, shift + 0.1): p.seeds for p in members if p.level.n > 1})
    for _, values in each.iterrows():
        axes.plot(each.columns, values, **_seed_mark(scale.numeric), color=drawn.colour, zorder=2.5)


def _seed_mark(joined: bool) -> dict[str, Any]:
    return SEED_MARK if joined else SEED_MARK | {"linestyle": "none"}


def _draw_reference(axes: Axes, point: Point, drawn: CurveStyle, label: str) -> None:
    """Runs without the swept setting: a line at the mean, its interval as a band, named at the right end."""
    level = point.level
    line = "--" if drawn.dashed else "-."
    axes.axhline(level.mean, color=drawn.colour, linestyle=line, linewidth=1.2, zorder=1.5)
    if level.low is not None:
        axes.axhspan(level.low, level.high, color=drawn.colour, alpha=0.12, linewidth=0, zorder=1)
    axes.autoscale(axis="y")  # a line within the limits so far would get no margin
    if not label:
        return
    axes.annotate(
        label,
        xy=(1, level.mean),
        xycoords=axes.get_yaxis_transform(),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        color=drawn.colour,
        fontsize=8,
        linespacing=1.0,
    )


def _legend(
    panels: Panels, settings: SweepSettings, styles: dict[SweepCurve, CurveStyle]
) -> tuple[list[Line2D], str]:
    """The entries of the legend, and its title."""
    points = [point for members in panels.values() for point in members]
    counts = sorted({point.level.n for point in points})
    with_value = [point for point in points if point.value is not None]
    joined = AxisScale.of(point.value for point in with_value).numeric
    shown = [
        *with_value,
        *(p for ps in panels.values() for p in ps if p.value is None and not _stands_alone(p, ps)),
    ]
    handles = []
    for curve in sorted(
        dict.fromkeys(point.curve for point in shown), key=lambda each: each.series != "none"
    ):
        drawn, dots = styles[curve], any(point.curve == curve for point in with_value)
        line = ("--" if drawn.dashed else "-" if dots else "-.") if joined or not dots else "none"
        mark = drawn.marker if dots else "none"
        handles.append(Line2D([], [], color=drawn.colour, marker=mark, linestyle=line, label=curve.label))
    if settings.scale_of_paper:
        handles.append(Line2D([], [], **PAPER_MARK, label="paper"))
    if counts[-1] > 1:
        handles.append(Line2D([], [], **_seed_mark(joined), color=style.QUIET, label="one seed"))
    return handles, interval_note(counts, "bars" if len(with_value) == len(points) else "bars, band")
