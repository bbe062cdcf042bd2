"""How accurate the LID of a mini-batch is: its bias and error against the full split, by batch size and k."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.errors import LdregError
from ldreg.exhibits.beyond.declared import LidErrorSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.axis import AxisScale
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.labels import listed
from ldreg.exhibits.output.legends import legend_below
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.run_table import ExhibitSpec, load_runs, settings_of
from ldreg.files import read_keys

PANEL_HEIGHT = 1.6  # inches
MAP = "viridis"  # colours of k, from dark for the smallest to light
FIXED = {
    "color": "black",
    "linestyle": ":",
    "marker": "D",
    "fillstyle": "none",
    "markersize": 6.5,
    "zorder": 4,
}
NAMES = {"mom": "MoM", "mle": "MLE"}
KEYS = ("estimator", "k", "batch_rows")


@dataclass(frozen=True)
class ErrorCurves:
    """Two panels: one estimator's errors for the runs of one setting, one row per k and batch size."""

    context: Context
    arm: Arm
    estimator: str
    points: pd.DataFrame
    rows: int  # of the full split


def lid_error(exhibit: ExhibitSpec) -> Drawing:
    """The figure; its table has a line for each point."""
    settings = settings_of(exhibit, LidErrorSettings)
    curves = _read_curves(exhibit, settings)
    return Drawing(_draw_panels(curves, settings), _table(curves, settings))


def _read_curves(exhibit: ExhibitSpec, settings: LidErrorSettings) -> list[ErrorCurves]:
    """For each setting and estimator the mean errors over its runs, and their range over mini-batches.

    Raises LdregError when a run has no lid_error.json, or none of the wanted k in it.
    """
    found = []
    for context in contexts(load_runs(exhibit, (), settings)):
        for arm in context.arms:
            paths = [Path(folder) / "lid_error.json" for folder in arm.runs["folder"]]
            read = [read_keys(path, "entries", "rows") for path in paths]
            entries = pd.DataFrame([entry for content in read for entry in content["entries"]])
            for estimator in settings.estimators:
                chosen = entries[(entries["estimator"] == estimator) & entries["k"].isin(settings.ks)]
                if chosen.empty:
                    there = listed(sorted(entries["k"].unique()))
                    raise LdregError(
                        f"{paths[0]}: no {NAMES[estimator]} with k {listed(settings.ks)}; k: {there}"
                    )
                points = pd.DataFrame([_point(*each) for each in chosen.groupby(["k", "batch_rows"])])
                found.append(ErrorCurves(context, arm, estimator, points, read[0]["rows"]))
    return found


def _point(place: tuple[int, int], entries: pd.DataFrame) -> dict[str, Any]:
    """Means over runs, in logarithms for the bias, and the range over all mini-batches of all runs."""
    each = {key: np.concatenate(entries[f"batch_{key}"].tolist()) for key in ("bias", "rms")}
    return {
        "k": place[0],
        "batch_rows": place[1],
        "runs": len(entries),
        "batches": len(each["bias"]),
        "mlid": math.exp(np.log(entries["mlid"]).mean()),
        "full_mlid": math.exp(np.log(entries["full_mlid"]).mean()),
        "bias": math.exp(np.log(entries["bias"]).mean()),
        "bias_lowest": each["bias"].min(),
        "bias_highest": each["bias"].max(),
        "rms": math.sqrt((entries["rms"] ** 2).mean()),
        "rms_lowest": each["rms"].min(),
        "rms_highest": each["rms"].max(),
    }


def _table(curves: Sequence[ErrorCurves], settings: LidErrorSettings) -> pd.DataFrame:
    """One line per point."""
    parts = []
    for shown in curves:
        columns = shown.context.columns(shown.arm)
        keys = {
            # The points also have a column k, which is the k of their LID.
            **{"trained_k" if key == "k" else key: value for key, value in columns.items()},
            "estimator": shown.estimator,
            "full_rows": shown.rows,
        }
        points = shown.points.assign(**keys, fixed_ratio=_at_ratio(shown.points, settings.rows_per_neighbour))
        parts.append(points[[*keys, *shown.points, "fixed_ratio"]])
    return pd.concat(parts, ignore_index=True)


def _at_ratio(points: pd.DataFrame, rows_per_neighbour: int) -> pd.Series:
    """Which points have k = N / rows_per_neighbour."""
    return points["batch_rows"] == rows_per_neighbour * points["k"]


def _draw_panels(curves: Sequence[ErrorCurves], settings: LidErrorSettings) -> Figure:
    """A row of two panels (bias, error) for each setting and estimator; a line for each k."""
    scale = AxisScale.of(sorted({int(rows) for shown in curves for rows in shown.points["batch_rows"]}))
    several = len({shown.context.label for shown in curves}) > 1
    ks = sorted({int(k) for shown in curves for k in shown.points["k"]})
    colours = dict(zip(ks, mpl.colormaps[MAP](np.linspace(0.0, 0.88, len(ks))), strict=True))
    with style.styled():
        figure = Figure(figsize=(style.WIDTH, PANEL_HEIGHT * len(curves) + 1.15), layout="constrained")
        grid = figure.subplots(len(curves), 2, squeeze=False, sharex=True, sharey="col")
        for (left, right), shown in zip(grid, curves, strict=True):
            for axes, key in ((left, "bias"), (right, "rms")):
                scale.apply(axes)
                _draw(axes, shown.points, key, colours, settings.rows_per_neighbour)
            left.axhline(1.0, color=style.REFERENCE, linestyle="--", linewidth=1.0, zorder=1.5)
            arm = shown.arm.series
            place = f"{shown.context.label}: {arm}" if several else arm
            left.set_title(f"{place}; {NAMES[shown.estimator]}", fontweight="bold")
            left.set_ylabel("mLID, mini-batch / full")
            right.set_ylabel("RMS error of ln LID")
            right.set_ylim(bottom=0)
        for axes in grid[-1]:
            axes.set_xlabel("rows N of the mini-batch")
        _legend(figure, curves, colours, settings)
    return figure


def _draw(
    axes: Axes, points: pd.DataFrame, key: str, colours: dict[int, Any], rows_per_neighbour: int
) -> None:
    """A line with its range for each k; over them the points with k growing as N."""
    for k, members in points.groupby("k"):
        rows = members["batch_rows"]
        axes.plot(rows, members[key], marker="o", markersize=3.5, color=colours[k], zorder=3)
        axes.fill_between(
            rows,
            members[f"{key}_lowest"],
            members[f"{key}_highest"],
            color=colours[k],
            alpha=0.18,
            linewidth=0,
        )
    fixed = points[_at_ratio(points, rows_per_neighbour)]
    axes.plot(fixed["batch_rows"], fixed[key], **FIXED)


def _legend(
    figure: Figure, curves: Sequence[ErrorCurves], colours: dict[int, Any], settings: LidErrorSettings
) -> None:
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=3.5, label=f"k {k}")
        for k, colour in colours.items()
    ]
    handles.append(Line2D([], [], **FIXED, label=f"k = N / {settings.rows_per_neighbour}"))
    places = {shown.context.label for shown in curves}
    where = f"{curves[0].context.label}, " if len(places) == 1 else ""
    rows = listed(shown.rows for shown in curves)
    counts = sorted({int(count) for shown in curves for count in shown.points["runs"]})
    runs = " to ".join(dict.fromkeys([*map(str, counts[:1]), str(counts[-1])]))
    batches = listed(sorted({int(count) for shown in curves for count in shown.points["batches"]}))
    lines = (
        f"{where}training split without augmentation; full: all {rows} rows, with the same k",
        f"means over {runs} {'run' if counts[-1] == 1 else 'runs'}; bands: from the lowest to the highest of "
        f"{batches} random mini-batches",
        "dotted: k in proportion to the batch, as in the paper's Table 14",
    )
    legend_below(figure, handles, "\n".join(lines), len(handles), columnspacing=1.2, handlelength=1.6)
