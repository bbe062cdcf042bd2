"""Figure 2 (c, d): metrics on the test split with and without a regulariser, method by method."""

from textwrap import wrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ldreg.exhibits.figures.declared import BarSettings
from ldreg.exhibits.figures.sweep import PAPER_MARK
from ldreg.exhibits.output import style
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.labels import METRICS, number, printed
from ldreg.exhibits.output.legends import interval_note, legend_below, lid_words, series_names
from ldreg.exhibits.paper import comparison
from ldreg.exhibits.paper.comparison import Groups, Row
from ldreg.exhibits.paper.reported import Reported
from ldreg.exhibits.runs.arms import contexts
from ldreg.exhibits.runs.run_table import ExhibitSpec, load_runs, settings_of
from ldreg.exhibits.stats.intervals import Estimate

BAR_HEIGHT = 0.19  # inches
GAP = 0.6  # between methods, in bars
WITHOUT = {"facecolor": "#D9D9D9", "edgecolor": style.REFERENCE, "linewidth": 0.7}
# A white line under the whisker, so that the whisker is seen on every bar.
PAPER = PAPER_MARK | {"linestyle": "none", "color": "black", "markerfacecolor": "white", "zorder": 2.5}
PAPER |= {"fillstyle": "full", "markersize": 4.5}


def bars(exhibit: ExhibitSpec) -> Drawing:
    """The figure; its table holds levels, effects and the paper's numbers, like that of a main table."""
    settings = settings_of(exhibit, BarSettings)
    frame = load_runs(exhibit, settings.metrics, settings)
    found, paper = contexts(frame), Reported(exhibit.paper, settings)
    levels = comparison.levels(found, paper, settings.metrics, not_run=False)
    effects = comparison.effects(found, paper, settings.metrics, not_run=False)
    tables = [
        comparison.table("level", levels, settings.scale_of_paper),
        comparison.table("effect", effects, settings.scale_of_paper),
    ]
    return Drawing(_draw_panels(levels, effects, settings), pd.concat(tables, ignore_index=True))


def _draw_panels(levels: Groups, effects: Groups, settings: BarSettings) -> Figure:
    """One panel per metric, side by side; the paper's levels are marked at its own scale alone."""
    rows = sum(len(group) + GAP for group in levels)
    changes = {(row.method, row.regularizer): row for group in effects for row in group}
    colours = _colours(levels)
    theirs = settings.scale_of_paper and any(
        value is not None for group in levels for row in group for value in row.paper.values()
    )
    with style.styled():
        figure = Figure(figsize=(style.WIDTH, BAR_HEIGHT * rows + 1.15), layout="constrained")
        panels = figure.subplots(1, len(settings.metrics), squeeze=False, sharey=True)[0]
        for axes, metric in zip(panels, settings.metrics, strict=True):
            _draw(axes, metric, levels, changes, colours, theirs)
            axes.set_xlabel(_axis(metric, settings))
        _name_methods(panels[0], levels)
        _legend(figure, levels, colours, theirs)
    return figure


def _setting(row: Row) -> tuple[str, str]:
    return row.keys["regularizer"], row.regularizer


def _colours(levels: Groups) -> dict[str, dict[str, object]]:
    """How the bars of each series look; without a regulariser they are light, which shows in grey too."""
    names = series_names([_setting(row) for row in group] for group in levels)
    styles: dict[str, dict[str, object]] = {}
    for (kind, _), label in names.items():
        place = len([key for key in styles if key != "unregularised"]) % len(style.COLOURS)
        styles.setdefault(label, WITHOUT if kind == "none" else {"facecolor": style.COLOURS[place]})
    return styles


def _draw(
    axes: Axes,
    metric: str,
    levels: Groups,
    changes: dict[tuple[str, str], Row],
    colours: dict[str, dict[str, object]],
    theirs: bool,
) -> None:
    """Draw bars from zero with whiskers; at the end of a regularised bar stands the change that it makes."""
    names = series_names([_setting(row) for row in group] for group in levels)
    place = 0.0
    for group in levels:
        for row in group:
            level = row.ours[metric]
            drawn = {"zorder": 2, **colours[names[_setting(row)]]}
            axes.barh(place, level.mean, height=0.86, **drawn)
            if level.half_width is not None:
                axes.errorbar(
                    level.mean, place, xerr=level.half_width, color="black", elinewidth=0.9, zorder=3
                )
            if theirs and row.paper[metric] is not None:
                axes.plot([row.paper[metric]], [place], **PAPER)
            change = changes.get((row.method, row.regularizer))
            if change and change.ours[metric]:
                _write_change(axes, place, change, metric, level, row.paper[metric] if theirs else None)
            place += 1
        place += GAP
    axes.set_ylim(place - GAP - 0.3, -0.7)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    low, high = axes.dataLim.intervalx
    axes.set_xlim(1.1 * min(low, 0.0), (1.6 if theirs else 1.3) * high)  # room for the changes' numbers


def _axis(metric: str, settings: BarSettings) -> str:
    return METRICS[metric].axis + (f" ({lid_words(settings.mlid)})" if metric == "mlid" else "")


def _write_change(
    axes: Axes, place: float, change: Row, metric: str, level: Estimate, paper: float | None
) -> None:
    """Write the change at the bar's end; where the paper's level is drawn, its change follows in brackets."""
    ours, theirs = change.ours[metric], change.paper[metric]
    text = number(ours.mean, signed=True, decimals=1 if abs(ours.mean) >= 10 else 2)
    text += f" ({printed(theirs, signed=True)})" if paper is not None and theirs is not None else ""
    ends = [
        level.mean,
        level.mean if level.high is None else level.high,
        *([paper] if paper is not None else []),
    ]
    axes.annotate(
        text,
        xy=(max(ends), place),
        xytext=(5, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=8,
    )


def _name_methods(axes: Axes, levels: Groups) -> None:
    """Method and encoder of each group, on two lines, in the middle of its bars."""
    places, place = [], 0.0
    for group in levels:
        places.append(place + (len(group) - 1) / 2)
        place += len(group) + GAP
    axes.set_yticks(places, ["\n".join(_lines(group[0].method)) for group in levels])


def _lines(label: str) -> list[str]:
    """The method, then the encoder and other differences, in lines as short as the margin needs."""
    method, _, rest = label.partition(", ")
    return [method, *wrap(rest, 24)]


def _legend(figure: Figure, levels: Groups, colours: dict[str, dict[str, object]], theirs: bool) -> None:
    handles: list[Patch | Line2D] = [Patch(**drawn, label=label) for label, drawn in colours.items()]
    if theirs:
        handles.append(Line2D([], [], **PAPER, label="paper"))
    note = interval_note((row.seeds for group in levels for row in group), "whiskers")
    brackets = " (in brackets: the paper's)" if theirs else ""
    title = f"test split; {note};\nnumbers: change through the regulariser, paired by seed{brackets}"
    legend_below(figure, handles, title)
