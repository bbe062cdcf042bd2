"""Figure 5 and every other sweep: metrics over swept settings against the unregularised runs."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.exhibits.figures.axis import AxisScale
from ldreg.exhibits.figures.sweep_data import Point, SweepCurve, panel
from ldreg.exhibits.figures.sweep_declared import SweepSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.labels import METRICS, name
from ldreg.exhibits.output.legends import legend_columns
from ldreg.exhibits.runs.run_table import ExhibitSpec, load_runs, settings_of

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


def sweep(exhibit: ExhibitSpec) -> dict[str, str | bytes]:
    """A grid of panels (metrics down, swept settings across) as PNG, PDF and the CSV of what is drawn."""
    settings = settings_of(exhibit, SweepSettings)
    frame = load_runs(exhibit, settings.metrics, settings)
    panels = {
        (metric, axis): panel(exhibit, frame, axis, metric, settings).points()
        for metric in settings.metrics
        for axis in settings.axes
    }
    figure = draw(panels, settings)
    csv = table(panels, settings.scale_of_paper).round(10).to_csv(index=False, lineterminator="\n")
    return {"png": style.png(figure), "pdf": style.pdf(figure), "csv": csv}


def table(panels: Panels, scale_of_paper: bool) -> pd.DataFrame:
    """One line per point: level and paired effect with intervals, the paper's, and each seed's value.

    `comparable` says whether `mean` may be set beside `paper`. A column `curve` says what else tells curves
    apart, where something does.
    """
    lines = []
    several = any(point.curve.settings for points in panels.values() for point in points)
    for letter, ((metric, axis), points) in zip("abcdefghijklmnopqrstuvwxyz", panels.items(), strict=False):
        for point in points:
            level, effect = point.level, point.effect
            lines.append(
                {
                    "panel": letter,
                    "metric": metric,
                    "axis": axis,
                    "series": point.series,
                    **({"curve": point.curve.label} if several else {}),
                    "value": point.value,
                    "n": level.n,
                    "mean": level.mean,
                    "low": level.low,
                    "high": level.high,
                    "effect_n": effect.n if effect else None,
                    "effect_mean": effect.mean if effect else None,
                    "effect_low": effect.low if effect else None,
                    "effect_high": effect.high if effect else None,
                    "paper": point.paper,
                    "paper_effect": point.paper_effect,
                    "paper_read_off": point.read_off,
                    "comparable": scale_of_paper and point.paper is not None,
                    "seeds": " ".join(f"{seed}:{value:.10g}" for seed, value in point.seeds.items()),
                }
            )
    return pd.DataFrame(lines)


def draw(panels: Panels, settings: SweepSettings) -> Figure:
    """The figure: lettered panels row by row, one legend below for what the marks mean."""
    rows, columns = len(settings.metrics), len(settings.axes)
    looks = looks_of(panels)
    with style.styled():
        handles, legend = _legend(panels, settings, looks)
        more = math.ceil(len(handles) / legend["ncols"]) - 1  # lines of the legend
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
            _draw_points(axes, points, settings, looks)
            said = settings.paper_says.get(metric, {}).get(axis)
            if said:
                remark = f"paper: {said}"
                axes.set_title(remark, loc="right", fontsize=8, color=style.QUIET, style="italic")
        figure.align_ylabels()
        figure.legend(handles=handles, **legend)
    return figure


@dataclass(frozen=True)
class Look:
    """How a curve looks: unregularised ones dashed, in the colour of those that are compared with them."""

    colour: str
    marker: str
    dashed: bool


def looks_of(panels: Panels) -> dict[SweepCurve, Look]:
    """A look for each curve of a figure, the same in all its panels."""
    curves = list(dict.fromkeys(point.curve for points in panels.values() for point in points))
    treated = [curve for curve in curves if curve.series != "none"]
    plain = [curve for curve in curves if curve.series == "none"]
    if not any(curve.settings for curve in curves):
        treated.sort(key=lambda curve: curve.series)
    found = {curve: Look(*_place(place), dashed=False) for place, curve in enumerate(treated)}
    for place, curve in enumerate(plain):
        like = [found[each] for each in treated if each.networks == curve.networks]
        colour, marker = (like[0].colour, like[0].marker) if like else _place(len(treated) + place)
        single = (style.REFERENCE, MARKERS[0]) if len(plain) == 1 else (colour, marker)
        found[curve] = Look(*single, dashed=True)
    return found


def _place(place: int) -> tuple[str, str]:
    """A colour, and a marker that changes when the colours come again."""
    around, colour = divmod(place, len(style.COLOURS))
    return style.COLOURS[colour], MARKERS[around % len(MARKERS)]


def _draw_points(
    axes: Axes, points: list[Point], settings: SweepSettings, looks: dict[SweepCurve, Look]
) -> None:
    placed = [point for point in points if point.value is not None]
    scale = AxisScale.of([point.value for point in placed])
    if placed:
        scale.apply(axes)
    curves = list(dict.fromkeys(point.curve for point in placed))
    step = min(0.16, 0.8 / max(len(curves), 1))
    for place, curve in enumerate(curves):
        members = [point for point in placed if point.curve == curve]
        shift = step * (place - (len(curves) - 1) / 2)  # so that the intervals of two curves stand apart
        _draw_series(axes, scale, members, looks[curve], shift)
        if settings.scale_of_paper:
            theirs = [point for point in members if point.paper is not None]
            x = [scale.at(point.value, shift) for point in theirs]
            axes.plot(x, [point.paper for point in theirs], **PAPER_MARK)
    others = list(dict.fromkeys(curve.series for curve in curves if curve.series != "none"))
    label = f"without\n{name(others[0])}" if len(others) == 1 else "none"
    for point in points:
        if point.value is None:
            _draw_reference(axes, point, looks[point.curve], label if _stands_alone(point, points) else "")


def _stands_alone(point: Point, points: list[Point]) -> bool:
    """Whether a line is named where it ends: the only one of its panel, of the unregularised runs."""
    return point.series == "none" and sum(each.value is None for each in points) == 1


def _draw_series(axes: Axes, scale: AxisScale, members: list[Point], look: Look, shift: float) -> None:
    """Means joined by a line, their intervals, and each seed by itself, a little to the right."""
    half_widths = [math.nan if p.level.half_width is None else p.level.half_width for p in members]
    axes.errorbar(
        [scale.at(point.value, shift) for point in members],
        [point.level.mean for point in members],
        yerr=None if all(map(math.isnan, half_widths)) else half_widths,
        fmt=look.marker + (("--" if look.dashed else "-") if scale.numeric else ""),
        color=look.colour,
        elinewidth=1.0,
        zorder=3,
    )
    each = pd.DataFrame({scale.at(p.value, shift + 0.1): p.seeds for p in members if p.level.n > 1})
    for _, values in each.iterrows():
        axes.plot(each.columns, values, **_seed_mark(scale.numeric), color=look.colour, zorder=2.5)


def _seed_mark(joined: bool) -> dict[str, Any]:
    return SEED_MARK if joined else SEED_MARK | {"linestyle": "none"}


def _draw_reference(axes: Axes, point: Point, look: Look, label: str) -> None:
    """Runs without the swept setting: a line at the mean, its interval as a band, named at the right end."""
    level = point.level
    line = "--" if look.dashed else "-."
    axes.axhline(level.mean, color=look.colour, linestyle=line, linewidth=1.2, zorder=1.5)
    if level.low is not None:
        axes.axhspan(level.low, level.high, color=look.colour, alpha=0.12, linewidth=0, zorder=1)
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
        color=look.colour,
        fontsize=8,
        linespacing=1.0,
    )


def _legend(
    panels: Panels, settings: SweepSettings, looks: dict[SweepCurve, Look]
) -> tuple[list[Line2D], dict[str, Any]]:
    """The legend's entries, and how it is laid out."""
    points = [point for members in panels.values() for point in members]
    counts = sorted({point.level.n for point in points})
    placed = [point for point in points if point.value is not None]
    joined = AxisScale.of(point.value for point in placed).numeric
    shown = [
        *placed,
        *(p for ps in panels.values() for p in ps if p.value is None and not _stands_alone(p, ps)),
    ]
    handles = []
    for curve in sorted(
        dict.fromkeys(point.curve for point in shown), key=lambda each: each.series != "none"
    ):
        look, dots = looks[curve], any(point.curve == curve for point in placed)
        line = ("--" if look.dashed else "-" if dots else "-.") if joined or not dots else "none"
        mark = look.marker if dots else "none"
        handles.append(Line2D([], [], color=look.colour, marker=mark, linestyle=line, label=curve.label))
    if settings.scale_of_paper:
        handles.append(Line2D([], [], **PAPER_MARK, label="paper"))
    title = "1 seed, no interval"
    if counts[-1] > 1:
        handles.append(Line2D([], [], **_seed_mark(joined), color=style.QUIET, label="one seed"))
        number = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        marks = "bars" if len(placed) == len(points) else "bars, band"
        title = f"means with 95 % t-intervals ({marks}) over {number} seeds"
    columns = legend_columns([handle.get_label() for handle in handles])
    return handles, {
        "title": title,
        "title_fontsize": 8,
        "loc": "outside lower center",
        "ncols": columns if len(looks) > 3 else len(handles),
    }
