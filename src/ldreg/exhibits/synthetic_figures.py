"""Figures 1 and 3, points in the plane: from the JSON that `ldreg.synthetic.compute` wrote, to files.

Each figure is a list of rows first, the CSV, and is drawn from these rows: panel, series, x, y for what is
drawn as points and lines; panel, series, seed, value for numbers, with the paper's beside them.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ldreg.errors import LdregError
from ldreg.exhibits import style
from ldreg.exhibits.data import Exhibit
from ldreg.exhibits.statistics import t_interval
from ldreg.files import read_json

COLUMNS = ["panel", "series", "x", "y", "seed", "value", "paper"]
NAMES = {"lid": "LID", "mlid": "mLID", "fr_distance": "FR", "gid": "GID"}
DIGITS = {"gid": 1}  # others have 2
PAPER_DIGITS = {"fr_distance": 2}  # others have 1
ZOOM = 0.33  # half side of figure 1's panels around the anchor
TOLERANCE = 0.05  # of figure 3: how near the target mLID should come
CLOUD_MARK = {"marker": ".", "linestyle": "none", "markeredgewidth": 0}
ANCHOR_MARK = {"marker": "*", "markersize": 9, "color": "black", "markeredgecolor": "white"}
GLOSS = "LID by the method of moments, GID by DANCo; in brackets: the paper's"


def data_path(exhibit: Exhibit) -> Path:
    """Where the exhibit's numbers lie: beside its spec, as `<name>.json`."""
    return exhibit.path.with_name(f"{exhibit.exhibit}.json")


def figure1(exhibit: Exhibit) -> dict[str, str | bytes]:
    """Figure 1 as PNG, PDF and the CSV of what is drawn."""
    content = _read(data_path(exhibit), "figure1")
    rows = figure1_table(content, _paper(exhibit.paper))
    return _files(draw_figure1(rows, content), rows)


def figure3(exhibit: Exhibit) -> dict[str, str | bytes]:
    """Figure 3 as PNG, PDF and the CSV of what is drawn."""
    content = _read(data_path(exhibit), "figure3")
    rows = figure3_table(content)
    return _files(draw_figure3(rows, content), rows)


def figure1_table(content: Mapping[str, Any], paper: Mapping[str, float]) -> pd.DataFrame:
    """All that figure 1 shows; `paper` are its metrics in reported.csv, such as gid_at_mlid_1.1."""
    panels, rows = content["panels"], []
    for letter, name in (("a", "spread"), ("b", "collapsed")):
        by_distance = sorted(panels[name]["points"], key=lambda point: math.hypot(*point))
        distances = [math.hypot(*point) for point in by_distance]
        shares = [(place + 1) / len(distances) for place in range(len(distances))]
        rows += _curve(letter, "points", panels[name]["points"])
        rows += _curve(letter, "neighbours", by_distance[: content["anchor_k"]])
        rows += _curve(letter, "distances", zip(distances, shares, strict=True))
        rows += _numbers(letter, panels[name], content["seeds"])
    for place, name in enumerate(filter(lambda name: name.startswith("cloud_"), panels), start=1):
        target = name.removeprefix("cloud_")
        beside = {"mlid": float(target)} | {
            key: paper[f"{key}_at_mlid_{target}"]
            for key in ("fr_distance", "gid")
            if f"{key}_at_mlid_{target}" in paper
        }
        rows += _curve(f"c{place}", "points", panels[name]["points"])
        rows += _numbers(f"c{place}", panels[name], content["seeds"], beside)
    restored = panels["restored"]
    rows += _curve("d", "points", restored["points"]) + _numbers("d", restored, content["seeds"])
    for seed, trace in zip(content["seeds"], restored["trace"], strict=True):
        rows += [row | {"seed": seed} for row in _curve("d", "mlid over steps", enumerate(trace))]
    return pd.DataFrame(rows, columns=COLUMNS)


def figure3_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """All that figure 3 shows. Panels are named by their target; in `offset`, value is mLID minus target."""
    rows = []
    for target, panel in content["panels"].items():
        rows += _curve(target, "points", panel["points"]) + _numbers(target, panel, content["seeds"])
        offsets = [mlid - float(target) for mlid in panel["mlid"]]
        rows += _numbers(target, {"offset": offsets}, content["seeds"])
    return pd.DataFrame(rows, columns=COLUMNS)


def draw_figure1(rows: pd.DataFrame, content: Mapping[str, Any]) -> Figure:
    """Three rows: an anchor with and without collapse, clouds of falling mLID, LDReg undoing the collapse."""
    clouds = [panel for panel in rows["panel"].unique() if panel.startswith("c")]
    with style.styled():
        figure = Figure(figsize=(style.WIDTH, 6.0), layout="constrained")
        first, second, third = figure.subfigures(3, 1, height_ratios=[1.85, 1.85, 1.8])
        *anchors, wide = first.subplots(1, 3, width_ratios=(1, 1, 1.7))
        for axes, panel, words, colour in zip(
            anchors, "ab", ("no collapse", "local collapse"), style.COLOURS, strict=False
        ):
            _cloud(axes, rows, panel, f"({panel}) {words}\n{_said(rows, panel, 'lid')}", ZOOM)
            near = {**CLOUD_MARK, "markersize": 3.5, "color": colour}
            axes.plot(*_xy(rows, panel, "neighbours"), **near)
            axes.plot(0, 0, **ANCHOR_MARK)
        _distances(wide, rows, content["anchor_k"])
        for axes, panel in zip(second.subplots(1, len(clouds)), clouds, strict=True):
            said = "\n".join(_said(rows, panel, key) for key in ("mlid", "fr_distance", "gid"))
            _cloud(axes, rows, panel, f"(c) {said}" if panel == clouds[0] else said)
        start, end, wide = third.subplots(1, 3, width_ratios=(1, 1, 1.7))
        _cloud(start, rows, clouds[0], f"(d) before LDReg\n{_measured(rows, clouds[0])}")
        _cloud(end, rows, "d", f"after LDReg\n{_measured(rows, 'd')}")
        _trace(wide, rows)
        note = f"k = {content['anchor_k']} (a, b), {content['k']} (c, d)"
        figure.supxlabel(f"{GLOSS}\n{note}; {_drawn(content)}", fontsize=8, color=style.QUIET)
    return figure


def draw_figure3(rows: pd.DataFrame, content: Mapping[str, Any]) -> Figure:
    """One cloud per target, three in a row; below, how far mLID ends from its target, over seeds."""
    targets = list(content["panels"])
    above = math.ceil(len(targets) / 3)
    with style.styled():
        figure = Figure(figsize=(style.WIDTH, 2.1 * above + 1.7), layout="constrained")
        grid = figure.add_gridspec(above + 1, 3, height_ratios=[1.6] * above + [1])
        for place, target in enumerate(targets):
            title = f"target {target}: {_said(rows, target, 'mlid')}\n{_said(rows, target, 'gid')}"
            _cloud(figure.add_subplot(grid[place // 3, place % 3]), rows, target, title)
        _offsets(figure.add_subplot(grid[above, :]), rows, targets)
        note = (
            f"LID by the method of moments (k = {content['k']}), GID by DANCo; {content['points']:,} points"
        )
        figure.supxlabel(f"{note}\n{_drawn(content)}", fontsize=8, color=style.QUIET)
    return figure


def _cloud(axes: Axes, rows: pd.DataFrame, panel: str, title: str, half: float | None = None) -> None:
    """A panel's points, without ticks: LID has no unit of length. Both coordinates are on one scale.

    half: half the side of what is shown around the origin; None shows all points.
    """
    x, y = _xy(rows, panel, "points")
    axes.plot(x, y, **CLOUD_MARK, markersize=2, color=style.QUIET)
    middle = (0, 0) if half else ((x.min() + x.max()) / 2, (y.min() + y.max()) / 2)
    half = half or 0.53 * max(np.ptp(x), np.ptp(y))
    limits = [(center - half, center + half) for center in middle]
    axes.set(box_aspect=1, xlim=limits[0], ylim=limits[1], xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    axes.grid(visible=False)
    axes.set_title(title)


def _distances(axes: Axes, rows: pd.DataFrame, k: int) -> None:
    """F(r) of both anchors on logarithmic axes up to three neighbourhoods: LID is the slope at the left."""
    for panel, colour, offset in zip("ab", style.COLOURS, ((8, -4), (-8, 9)), strict=False):
        r, share = (values[: 3 * k] for values in _xy(rows, panel, "distances"))
        axes.plot(r, share, color=colour)
        axes.plot(r[k - 1], share[k - 1], "o", color=colour)
        away = {"xytext": offset, "textcoords": "offset points", "va": "center"}
        axes.annotate(f"({panel})", (r[k // 8], share[k // 8]), **away, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="distance r from the anchor", ylabel="F(r)")
    axes.set_title(f"share F(r) of points within r:\nits slope is LID (dots: k = {k})")


def _trace(axes: Axes, rows: pd.DataFrame) -> None:
    trace = rows[rows["series"] == "mlid over steps"]
    for _, of_seed in trace.groupby("seed"):
        axes.plot(of_seed["x"], of_seed["y"], color=style.COLOURS[0], linewidth=1)
    axes.axhline(2, color=style.REFERENCE, linestyle="--", linewidth=1)
    axes.set(xlabel="steps on the LDReg term", ylabel="mLID")


def _offsets(axes: Axes, rows: pd.DataFrame, targets: list[str]) -> None:
    """mLID minus target: the mean over seeds with its interval, each seed, and the tolerance as a band."""
    axes.axhspan(-TOLERANCE, TOLERANCE, color=style.REFERENCE, alpha=0.12, linewidth=0)
    axes.axhline(0, color=style.REFERENCE, linestyle="--", linewidth=1)
    for place, target in enumerate(targets):
        offsets = _values(rows, target, "offset")
        estimate = t_interval(offsets)
        bar = estimate.half_width
        mark = {"fmt": "o", "color": style.COLOURS[0], "elinewidth": 1.0, "zorder": 3}
        axes.errorbar(place, estimate.mean, yerr=bar, label="" if place else "mean, 95 % t-interval", **mark)
        label = "" if place else "one seed"
        each = {**CLOUD_MARK, "markersize": 6, "alpha": 0.6, "color": style.COLOURS[1]}
        axes.plot([place + 0.12] * len(offsets), offsets, **each, label=label)
    axes.set_xticks(range(len(targets)), targets)
    axes.set(xlabel="target LID", ylabel="mLID - target")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -1.5 * TOLERANCE), max(high, 1.9 * TOLERANCE))  # the legend is above the band
    axes.legend(loc="upper center", ncols=2)


def _said(rows: pd.DataFrame, panel: str, key: str, paper: bool = True) -> str:
    """'mLID 1.10 (1.1)': the first seed's number, which is that of the points drawn, and the paper's."""
    found = rows[(rows["panel"] == panel) & (rows["series"] == key)].iloc[0]
    text = f"{NAMES[key]} {found['value']:.{DIGITS.get(key, 2)}f}"
    if not paper or pd.isna(found["paper"]):
        return text
    return f"{text} ({found['paper']:.{PAPER_DIGITS.get(key, 1)}f})"


def _measured(rows: pd.DataFrame, panel: str) -> str:
    return ", ".join(_said(rows, panel, key, paper=False) for key in ("mlid", "gid"))


def _drawn(content: Mapping[str, Any]) -> str:
    first, number = content["seeds"][0], len(content["seeds"])
    return f"seed {first}" if number == 1 else f"{number} seeds, the points are those of seed {first}"


def _xy(rows: pd.DataFrame, panel: str, series: str) -> tuple[Any, Any]:
    found = rows[(rows["panel"] == panel) & (rows["series"] == series)]
    return found["x"].to_numpy(), found["y"].to_numpy()


def _values(rows: pd.DataFrame, panel: str, series: str) -> list[float]:
    return rows[(rows["panel"] == panel) & (rows["series"] == series)]["value"].tolist()


def _curve(panel: str, series: str, points: Any) -> list[dict[str, Any]]:
    return [{"panel": panel, "series": series, "x": x, "y": y} for x, y in points]


def _numbers(
    panel: str, numbers: Mapping[str, Any], seeds: list[int], paper: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """A row per number and seed; what is no list of numbers (points, traces) has rows of another kind."""
    return [
        {"panel": panel, "series": key, "seed": seed, "value": value, "paper": (paper or {}).get(key)}
        for key, values in numbers.items()
        if key not in ("points", "trace")
        for seed, value in zip(seeds, values, strict=True)
    ]


def _files(figure: Figure, rows: pd.DataFrame) -> dict[str, str | bytes]:
    rows = rows.astype({"seed": "Int64"}).round(10)
    csv = rows.to_csv(index=False, lineterminator="\n")
    return {"png": style.png(figure), "pdf": style.pdf(figure), "csv": csv}


def _paper(path: Path) -> dict[str, float]:
    """The numbers that the paper prints in figure 1 c, by metric."""
    table = pd.read_csv(path)
    printed = table[table["exhibit"] == "figure1c"]
    return dict(zip(printed["metric"], printed["value"].astype(float), strict=True))


def _read(path: Path, figure: str) -> dict[str, Any]:
    """The JSON of one figure; LdregError where it is missing or another figure's."""
    content = read_json(path, f"not computed yet; make it first: ldreg synthetic {figure} --output {path}")
    if content.get("figure") != figure:
        raise LdregError(f"{path}: figure: {content.get('figure')!r} is not allowed; it should be {figure!r}")
    return content
