"""Figures 1 and 3, points in the plane, drawn from the JSON that `ldreg.plane.experiments.compute` wrote.

A figure shows the rows of its CSV, which `ldreg.exhibits.figures.plane_data` makes.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Circle
from matplotlib.text import Text

from ldreg.errors import LdregError
from ldreg.exhibits.figures.plane_data import LOSSES, figure1_table, figure3_table, targets, values, xy
from ldreg.exhibits.output import style
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.paper.reported import plane_numbers
from ldreg.exhibits.runs.run_table import ExhibitSpec
from ldreg.files import read_json

NAMES = {"lid": "LID", "mlid": "mLID", "fr_distance": "FR", "gid": "GID"}
DIGITS = {"gid": 1}  # others have 2
PAPER_DIGITS = {"fr_distance": 2}  # others have 1
ZOOM = 0.33  # half side of figure 1's panels around the anchor
TOLERANCE = 0.05  # of figure 3: how far mLID may be from the target
CLOUD_MARK = {"marker": ".", "linestyle": "none", "markeredgewidth": 0}
ANCHOR_MARK = {"marker": "*", "markersize": 9, "color": "black", "markeredgecolor": "white"}
# For figure 1 a and b, in the paper's order: words, colour, and the letter's offset from its curve in points.
ANCHORS = {
    "a": ("local collapse", style.COLOURS[1], (-8, 9)),
    "b": ("no collapse", style.COLOURS[0], (8, -4)),
}
VIEW = 3  # half the width of a close view, in radii of the anchor's neighbourhood
TARGET_COLOURS = (
    "#0072B2",
    "#009E73",
    "#56B4E9",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
)  # neighbours are far apart
LOSS_MARKS = {
    "offset": ("|mean ln(LID / t)|, above", "o", style.COLOURS[0]),
    "offset_per_sample": ("mean |ln(LID / t)|", "s", style.COLOURS[1]),
}
GLOSS = "LID by the method of moments, GID by DANCo; in brackets: the paper's"


def data_path(exhibit: ExhibitSpec) -> Path:
    """Where the exhibit's numbers lie: beside its spec, as `<name>.json`."""
    return exhibit.path.with_name(f"{exhibit.exhibit}.json")


def figure1(exhibit: ExhibitSpec) -> Drawing:
    """Figure 1; its table holds all that is drawn."""
    content = _read(data_path(exhibit), "figure1")
    rows = figure1_table(content, plane_numbers(exhibit.paper))
    return Drawing(_draw_figure1(rows, content), rows)


def figure3(exhibit: ExhibitSpec) -> Drawing:
    """Figure 3; its table holds all that is drawn."""
    content = _read(data_path(exhibit), "figure3")
    rows = figure3_table(content)
    return Drawing(_draw_figure3(rows, content), rows)


def _draw_figure1(rows: pd.DataFrame, content: Mapping[str, Any]) -> Figure:
    """Three rows: an anchor with and without collapse, clouds of falling mLID, LDReg undoing the collapse."""
    clouds = [panel for panel in rows["panel"].unique() if panel.startswith("c")]
    with style.styled():
        figure = Figure(figsize=(style.WIDTH, 6.0), layout="constrained")
        rows_of = figure.add_gridspec(3, 1, height_ratios=[1.85, 1.85, 1.8])
        *anchors, wide = _row(rows_of[0], (1, 1, 1.7))
        for axes, (panel, (words, colour, _)) in zip(anchors, ANCHORS.items(), strict=True):
            _cloud(axes, rows, panel, f"{_bold(panel)} {words}\n{_number_words(rows, panel, 'lid')}", ZOOM)
            near = {**CLOUD_MARK, "markersize": 3.5, "color": colour}
            axes.plot(*xy(rows, panel, "neighbours"), **near)
            axes.plot(0, 0, **ANCHOR_MARK)
        _distances(wide, rows, content["anchor_k"])
        for axes, panel in zip(_row(rows_of[1], [1] * len(clouds)), clouds, strict=True):
            said = "\n".join(_number_words(rows, panel, key) for key in ("mlid", "fr_distance", "gid"))
            _cloud(axes, rows, panel, f"{_bold('c')} {said}" if panel == clouds[0] else said)
        start, end, wide = _row(rows_of[2], (1, 1, 1.7))
        _cloud(start, rows, clouds[0], f"{_bold('d')} before LDReg\n{_local_and_global(rows, clouds[0])}")
        _cloud(end, rows, "d", f"after LDReg\n{_local_and_global(rows, 'd')}")
        _over_k(wide, rows, {clouds[0]: style.COLOURS[1], "d": style.COLOURS[0]}, content["k"])
        wide.set_title("mLID at other k (dotted: trained)")
        labels = {clouds[0]: "before", "d": "after", "uniform": "uniform"}
        wide.legend(*_handles(wide, labels), loc="center right", bbox_to_anchor=(1, 0.57), labelspacing=0.1)
        note = f"k = {content['anchor_k']} (a, b), {content['k']} (c, d)"
        remark = figure.supxlabel(f"{GLOSS}\n{note}; {_seed_words(content)}", fontsize=8, color=style.QUIET)
        _lay_out(figure, remark)
    return figure


def _draw_figure3(rows: pd.DataFrame, content: Mapping[str, Any]) -> Figure:
    """A close view of each target's cloud; below, mLID minus target over seeds, and mLID over k."""
    shown = targets(content)
    above = math.ceil(len(shown) / 3)
    colours = dict(zip(shown, TARGET_COLOURS, strict=False))
    with style.styled():
        figure = Figure(figsize=(style.WIDTH, 1.45 * above + 2.4), layout="constrained")
        upper, lower = figure.add_gridspec(2, 1, height_ratios=[1.45 * above, 2.4])
        grid = upper.subgridspec(above, 3)
        for place, target in enumerate(shown):
            title = f"{_bold(chr(ord('a') + place))} target {target}\n{_local_and_global(rows, target)}"
            axes = figure.add_subplot(grid[place // 3, place % 3])
            _close_view(axes, rows, target, title, colours[target])
        left, right = _row(lower, (1, 1))
        _offsets(left, rows, shown)
        left.set_title(f"{_bold(chr(ord('a') + len(shown)))} by form of the loss (t: target)")
        _over_k(right, rows, colours, content["k"])
        right.set_title(f"{_bold(chr(ord('b') + len(shown)))} at other k (dashed: uniform)")
        right.plot([content["k"]] * len(shown), [float(target) for target in shown], "k.", markersize=5)
        note = f"LID by the method of moments (k = {content['k']}), GID by DANCo"
        points = f"{content['points']:,} points that were not trained on; {_seed_words(content)}"
        remark = figure.supxlabel(f"{note}\n{points}", fontsize=8, color=style.QUIET)
        _lay_out(figure, remark)
    return figure


def _row(place: SubplotSpec, widths: Sequence[float]) -> list[Axes]:
    """Panels side by side."""
    grid = place.subgridspec(1, len(widths), width_ratios=widths)
    return [grid.figure.add_subplot(part) for part in grid]


def _lay_out(figure: Figure, remark: Text) -> None:
    """Lay out the figure and round the places: the solver's last digits vary, and a PDF's bytes with them."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(side, 6) for side in axes.get_position(original=True).bounds])
    remark.set_position([round(side, 6) for side in remark.get_position()])


def _cloud(
    axes: Axes,
    rows: pd.DataFrame,
    panel: str,
    title: str,
    half: float | None = None,
    middle: tuple[float, float] = (0, 0),
    aspect: float = 1,
) -> None:
    """Draw a panel's points, without ticks because LID has no unit of length. Both axes have one scale.

    half: half the width of the part that is shown around the middle; None shows all points.
    aspect: the panel's height as a multiple of its width.
    """
    x, y = xy(rows, panel, "points")
    axes.plot(x, y, **CLOUD_MARK, markersize=2, color=style.QUIET)
    if half is None:
        middle = ((x.min() + x.max()) / 2, (y.min() + y.max()) / 2)
        half = 0.53 * max(np.ptp(x), np.ptp(y))
    xlim, ylim = ((at - size, at + size) for at, size in zip(middle, (half, aspect * half), strict=True))
    axes.set(box_aspect=aspect, xlim=xlim, ylim=ylim, xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    axes.grid(visible=False)
    axes.set_title(title)


def _distances(axes: Axes, rows: pd.DataFrame, k: int) -> None:
    """F(r) of both anchors on logarithmic axes up to three neighbourhoods: LID is the slope at the left."""
    for panel, (_, colour, offset) in ANCHORS.items():
        r, share = (values[: 3 * k] for values in xy(rows, panel, "distances"))
        axes.plot(r, share, color=colour)
        axes.plot(r[k - 1], share[k - 1], "o", color=colour)
        away = {"xytext": offset, "textcoords": "offset points", "va": "center"}
        axes.annotate(f"({panel})", (r[k // 8], share[k // 8]), **away, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="distance r from the anchor", ylabel="F(r)")
    axes.set_title(f"share F(r) of points within r:\nits slope is LID (dots: k = {k})")


def _close_view(axes: Axes, rows: pd.DataFrame, target: str, title: str, colour: str) -> None:
    """The points around the anchor, with the circle that holds its neighbours."""
    (x,), (y,) = xy(rows, target, "anchor")
    near_x, near_y = xy(rows, target, "neighbours")
    radius = np.hypot(near_x - x, near_y - y).max()
    _cloud(axes, rows, target, title, VIEW * radius, (x, y), aspect=0.5)
    axes.plot(near_x, near_y, **{**CLOUD_MARK, "markersize": 4.5, "color": colour})
    axes.plot(x, y, **{**ANCHOR_MARK, "markersize": 7})
    axes.add_patch(Circle((x, y), radius, fill=False, color=colour, linewidth=0.8))


def _over_k(axes: Axes, rows: pd.DataFrame, colours: Mapping[str, str], k: int) -> None:
    """mLID over k: a line for each seed and panel, dashed for uniform points; `k` is that of the training."""
    for panel, colour in {**colours, "uniform": style.REFERENCE}.items():
        of_panel = rows[(rows["panel"] == panel) & (rows["series"] == "mlid over k")]
        drawn = {"color": colour, "linewidth": 1, "linestyle": "--" if panel == "uniform" else "-"}
        for _, of_seed in of_panel.groupby("seed"):
            axes.plot(of_seed["x"], of_seed["y"], **drawn, label=panel)
    axes.axvline(k, color=style.REFERENCE, linestyle=":", linewidth=1, zorder=0)
    axes.set_xscale("log", base=2)
    ks = sorted(set(rows[rows["series"] == "mlid over k"]["x"]))
    axes.set_xticks(ks, [f"{k:.0f}" for k in ks], minor=False)
    axes.set(xlabel="k", ylabel="mLID")


def _handles(axes: Axes, labels: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """The first line of each panel, with its words, for a legend."""
    first = {line.get_label(): line for line in reversed(axes.lines)}
    return [first[panel] for panel in labels], list(labels.values())


def _offsets(axes: Axes, rows: pd.DataFrame, shown: list[str]) -> None:
    """mLID minus target: the mean over seeds with its interval, each seed, and the tolerance as a band."""
    axes.axhspan(-TOLERANCE, TOLERANCE, color=style.REFERENCE, alpha=0.12, linewidth=0)
    axes.axhline(0, color=style.REFERENCE, linestyle="--", linewidth=1)
    for side, series in zip((-0.2, 0.2), LOSSES.values(), strict=True):
        words, marker, colour = LOSS_MARKS[series]
        for place, target in enumerate(shown):
            (mean,), high = values(rows, target, f"{series}_mean"), values(rows, target, f"{series}_high")
            bar = high[0] - mean if high else None
            mark = {"fmt": marker, "color": colour, "markersize": 4, "elinewidth": 1.0, "zorder": 3}
            axes.errorbar(place + side, mean, yerr=bar, label="" if place else words, **mark)
            offsets = values(rows, target, series)
            each = {**CLOUD_MARK, "markersize": 5, "alpha": 0.6, "color": colour}
            axes.plot([place + side + 0.15] * len(offsets), offsets, **each)
    axes.set_xticks(range(len(shown)), shown)
    axes.set(xlabel="target LID", ylabel="mLID - target")
    low, high = axes.get_ylim()
    low, high = min(low, -1.5 * TOLERANCE), max(high, 1.5 * TOLERANCE)
    axes.set_ylim(low, high + 0.35 * (high - low))  # the legend is above
    axes.legend(loc="upper left", borderaxespad=0)


def _bold(letter: str) -> str:
    return rf"$\mathbf{{({letter})}}$"


def _number_words(rows: pd.DataFrame, panel: str, key: str, paper: bool = True) -> str:
    """'mLID 1.10 (1.1)': the first seed's number, which is that of the points drawn, and the paper's."""
    found = rows[(rows["panel"] == panel) & (rows["series"] == key)].iloc[0]
    text = f"{NAMES[key]} {found['value']:.{DIGITS.get(key, 2)}f}"
    if not paper or pd.isna(found["paper"]):
        return text
    return f"{text} ({found['paper']:.{PAPER_DIGITS.get(key, 1)}f})"


def _local_and_global(rows: pd.DataFrame, panel: str) -> str:
    return ", ".join(_number_words(rows, panel, key, paper=False) for key in ("mlid", "gid"))


def _seed_words(content: Mapping[str, Any]) -> str:
    first, number = content["seeds"][0], len(content["seeds"])
    return f"seed {first}" if number == 1 else f"{number} seeds, the points are those of seed {first}"


def _read(path: Path, figure: str) -> dict[str, Any]:
    """The JSON of one figure; LdregError where it is missing or another figure's."""
    content = read_json(path, f"not computed yet; make it first: ldreg synthetic {figure} --output {path}")
    if content.get("figure") != figure:
        raise LdregError(f"{path}: figure: {content.get('figure')!r} is not allowed; it should be {figure!r}")
    return content
