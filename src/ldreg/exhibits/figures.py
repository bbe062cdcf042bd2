"""Figure 5 and every other sweep: metrics over swept settings against the unregularised runs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.exhibits import style
from ldreg.exhibits.data import Exhibit, load_runs, settings_of
from ldreg.exhibits.labels import METRICS, name
from ldreg.exhibits.settings import SweepSettings
from ldreg.exhibits.sweeps import Point, panel

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
Panels = dict[tuple[str, str], list[Point]]  # by (metric, axis), row by row


def sweep(exhibit: Exhibit) -> dict[str, str | bytes]:
    """A grid of panels (metrics down, swept settings across) as PNG, PDF and the CSV of what is drawn."""
    settings = settings_of(exhibit, SweepSettings)
    frame = load_runs(exhibit, settings.metrics, settings)
    panels = {
        (metric, axis): panel(exhibit, frame, axis, metric, settings).points()
        for metric in settings.metrics
        for axis in settings.axes
    }
    figure = draw(panels, settings)
    csv = table(panels).round(10).to_csv(index=False, lineterminator="\n")
    return {"png": style.png(figure), "pdf": style.pdf(figure), "csv": csv}


def table(panels: Panels) -> pd.DataFrame:
    """One line per point: level and paired effect with intervals, the paper's, and each seed's value."""
    lines = []
    for letter, ((metric, axis), points) in zip("abcdefghijklmnopqrstuvwxyz", panels.items(), strict=False):
        for point in points:
            level, effect = point.level, point.effect
            lines.append(
                {
                    "panel": letter,
                    "metric": metric,
                    "axis": axis,
                    "series": point.series,
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
                    "seeds": " ".join(f"{seed}:{value:.10g}" for seed, value in point.seeds.items()),
                }
            )
    return pd.DataFrame(lines)


def draw(panels: Panels, settings: SweepSettings) -> Figure:
    """The figure: lettered panels row by row, one legend below for what the marks mean."""
    rows, columns = len(settings.metrics), len(settings.axes)
    with style.styled():
        size = (style.WIDTH * max(columns, 1.6) / 2, PANEL_HEIGHT * rows + 0.35)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, ((metric, axis), points) in enumerate(panels.items()):
            axes = grid[place // columns][place % columns]
            axes.set_title(f"({chr(ord('a') + place)})", fontweight="bold")
            axes.set_xlabel(name(axis))
            if place % columns == 0:
                axes.set_ylabel(METRICS[metric].axis)
            axes.locator_params(axis="y", nbins=5, min_n_ticks=4)
            _draw_points(axes, axis, points, settings)
            said = settings.paper_says.get(metric, {}).get(axis)
            if said:
                remark = f"paper: {said}"
                axes.set_title(remark, loc="right", fontsize=8, color=style.QUIET, style="italic")
        figure.align_ylabels()
        _legend(figure, panels, settings)
    return figure


def _draw_points(axes: Axes, axis: str, points: list[Point], settings: SweepSettings) -> None:
    placed = [point for point in points if point.value is not None]
    scale = Scale.of([point.value for point in placed])
    scale.apply(axes)
    series = list(dict.fromkeys(point.series for point in placed))
    for place, label in enumerate(series):
        members = [point for point in placed if point.series == label]
        shift = 0.16 * (place - (len(series) - 1) / 2)  # so that the intervals of two series stand apart
        _draw_series(axes, scale, members, _colour(label, points), shift)
        if settings.scale_of_paper:
            theirs = [point for point in members if point.paper is not None]
            x = [scale.at(point.value, shift) for point in theirs]
            axes.plot(x, [point.paper for point in theirs], **PAPER_MARK)
    others = [label for label in series if label != "none"]
    for point in points:
        if point.value is None:
            _draw_reference(axes, point, f"without\n{name(others[0])}" if len(others) == 1 else "none")


@dataclass(frozen=True)
class Scale:
    """Where swept values lie on the x axis.

    Powers of two stand on a binary logarithmic axis, other positive numbers over a decade or more on a
    decimal one, other numbers on a linear one, words side by side in the order given.
    """

    values: tuple[Any, ...]
    base: int | None  # of the logarithm
    numeric: bool

    @classmethod
    def of(cls, values: Iterable[Any]) -> "Scale":
        """The scale that suits the values."""
        different = tuple(dict.fromkeys(values))
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in different)
        if not numeric:
            return cls(different, None, False)
        base = None
        if len(different) > 1 and min(different) > 0:
            if all(math.log2(value).is_integer() for value in different):
                base = 2
            elif max(different) >= 10 * min(different):
                base = 10
        return cls(tuple(sorted(different)), base, True)

    def at(self, value: Any, shift: float = 0.0) -> float:
        """Place of a value, moved to the right by `shift` of the narrowest gap between two values."""
        places = [self._even(value) for value in self.values]
        gap = min((b - a for a, b in pairwise(places)), default=1.0)
        place = self._even(value) + shift * gap
        return place if self.base is None else float(self.base) ** place

    def _even(self, value: Any) -> float:
        if not self.numeric:
            return float(self.values.index(value))
        return float(value) if self.base is None else math.log(value, self.base)

    def apply(self, axes: Axes) -> None:
        """Set the axis's scale, with one tick at each swept value."""
        if self.base is not None:
            axes.set_xscale("log", base=self.base)
        axes.set_xticks([self.at(value) for value in self.values], [name(value) for value in self.values])
        axes.minorticks_off()
        axes.set_xlim(self.at(self.values[0], -0.45), self.at(self.values[-1], 0.45))


def _draw_series(axes: Axes, scale: Scale, members: list[Point], colour: str, shift: float) -> None:
    """Means joined by a line, their intervals, and each seed by itself, a little to the right."""
    half_widths = [math.nan if p.level.half_width is None else p.level.half_width for p in members]
    axes.errorbar(
        [scale.at(point.value, shift) for point in members],
        [point.level.mean for point in members],
        yerr=None if all(map(math.isnan, half_widths)) else half_widths,
        fmt=("o--" if colour == style.REFERENCE else "o-") if scale.numeric else "o",
        color=colour,
        elinewidth=1.0,
        zorder=3,
    )
    each = pd.DataFrame({scale.at(p.value, shift + 0.1): p.seeds for p in members if p.level.n > 1})
    for _, values in each.iterrows():
        axes.plot(each.columns, values, **_seed_mark(scale.numeric), color=colour, zorder=2.5)


def _seed_mark(joined: bool) -> dict[str, Any]:
    return SEED_MARK if joined else SEED_MARK | {"linestyle": "none"}


def _draw_reference(axes: Axes, point: Point, label: str) -> None:
    """The unregularised runs: a dashed line at the mean, its interval as a band, named at the right end."""
    level = point.level
    axes.axhline(level.mean, color=style.REFERENCE, linestyle="--", linewidth=1.2, zorder=1.5)
    if level.low is not None:
        axes.axhspan(level.low, level.high, color=style.REFERENCE, alpha=0.12, linewidth=0, zorder=1)
    axes.autoscale(axis="y")  # a line within the limits so far would get no margin
    axes.annotate(
        label,
        xy=(1, level.mean),
        xycoords=axes.get_yaxis_transform(),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        color=style.REFERENCE,
        fontsize=8,
        linespacing=1.0,
    )


def _colour(series: str, points: list[Point]) -> str:
    regularized = sorted({point.series for point in points} - {"none"})
    return (
        style.REFERENCE if series == "none" else style.COLOURS[regularized.index(series) % len(style.COLOURS)]
    )


def _legend(figure: Figure, panels: Panels, settings: SweepSettings) -> None:
    points = [point for members in panels.values() for point in members]
    counts = sorted({point.level.n for point in points})
    placed = [point for point in points if point.value is not None]
    joined = Scale.of(point.value for point in placed).numeric
    handles = []
    for series in dict.fromkeys(point.series for point in placed):
        label = "unregularised" if series == "none" else name(series)
        line = ("--" if series == "none" else "-") if joined else "none"
        handles.append(Line2D([], [], color=_colour(series, points), marker="o", linestyle=line, label=label))
    if settings.scale_of_paper:
        handles.append(Line2D([], [], **PAPER_MARK, label="paper"))
    title = "1 seed, no interval"
    if counts[-1] > 1:
        handles.append(Line2D([], [], **_seed_mark(joined), color=style.QUIET, label="one seed"))
        number = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        marks = "bars" if len(placed) == len(points) else "bars, band"
        title = f"means with 95 % t-intervals ({marks}) over {number} seeds"
    figure.legend(
        handles=handles, title=title, title_fontsize=8, loc="outside lower center", ncols=len(handles)
    )
