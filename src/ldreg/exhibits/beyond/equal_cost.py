"""LDReg, global regularisers and no regulariser at equal cost: metrics and gains over the cost of a run."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.exhibits.beyond.cost_data import COST, RunCost, minus, read_costs
from ldreg.exhibits.beyond.declared import CostSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.labels import METRICS, name, number
from ldreg.exhibits.output.legends import interval_note, legend_below, lid_words
from ldreg.exhibits.runs.run_table import ExhibitSpec, settings_of
from ldreg.exhibits.runs.step_costs import interval_words
from ldreg.exhibits.stats.intervals import Estimate, estimate_columns, t_interval

HEIGHTS = (1.75, 1.3)  # inches, of the rows of panels
MARKERS = ("s", "^", "v", "D", "P", "X", "<", ">")  # the unregularised runs' is a circle


def equal_cost(exhibit: ExhibitSpec) -> Drawing:
    """The figure; its table has a line for each level, gain and difference of gains."""
    settings = settings_of(exhibit, CostSettings)
    costs = read_costs(exhibit, settings)
    return Drawing(_draw_panels(costs, settings), _table(costs, settings))


def _table(costs: list[RunCost], settings: CostSettings) -> pd.DataFrame:
    """One line per number: levels; gains over none at equal cost; LDReg's gain minus each other's.

    Such a difference is at equal cost too, since each gain is over unregularised training of the same cost.
    """
    lines = [
        _line("level", cost, "", metric, cost.levels[metric]) for cost in costs for metric in settings.metrics
    ]
    treated = [cost for cost in costs if cost.arm.regularized]
    lines += [
        _line("gain", cost, "none", metric, t_interval(cost.gains[metric]))
        for cost in treated
        for metric in settings.metrics
    ]
    ours = [cost for cost in treated if cost.ldreg]
    lines += [
        _line("difference", cost, _named(other, costs), metric, minus(cost, other, metric))
        for cost in ours
        for other in treated
        if not other.ldreg
        for metric in settings.metrics
    ]
    names = {"step_ratio_mean": "step_ratio", f"{COST}_mean": COST}
    return pd.DataFrame(lines).drop(columns=["step_ratio_n", f"{COST}_n"]).rename(columns=names)


def _named(cost: RunCost, costs: list[RunCost]) -> str:
    several = sum(other.label == cost.label for other in costs) > 1
    return f"{cost.label}, {cost.context.epochs} epochs" if several else cost.label


def _line(kind: str, cost: RunCost, other: str, metric: str, estimate: Estimate | None) -> dict[str, Any]:
    about = METRICS[metric]
    return {
        "kind": kind,
        "method": cost.context.method,
        "backbone": cost.context.backbone,
        "epochs": cost.context.epochs,
        "regularizer": cost.arm.regularizer,
        "beta": cost.arm.beta,
        "k": cost.arm.k,
        "setting": cost.arm.extra,
        "minus": other,
        **estimate_columns(cost.ratio, "step_ratio_"),
        "step_interval": "" if cost.ratio.low is None else interval_words(cost.ratio.n),
        **estimate_columns(cost.epochs, f"{COST}_"),
        "metric": metric,
        "unit": about.unit if kind == "level" else about.difference_unit,
        **estimate_columns(estimate),
    }


def _draw_panels(costs: list[RunCost], settings: CostSettings) -> Figure:
    """For each metric a panel over the cost and, below it, the gains; a line joins the unregularised runs."""
    styles = _styles(costs)
    names = {label: _legend_label(label, costs) for label in styles}
    handles = [Line2D([], [], **drawn, label=names[label]) for label, drawn in styles.items()]
    columns = 2 if max(map(len, names.values())) <= 40 else 1  # as many as fit into the width
    with style.styled():
        height = sum(HEIGHTS) + 1.35 + 0.17 * -(-len(styles) // columns)
        figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
        panels = figure.subplots(
            2, len(settings.metrics), squeeze=False, gridspec_kw={"height_ratios": HEIGHTS}
        )
        for axes, letter in zip(panels.flat, "abcdef", strict=False):
            axes.set_title(f"({letter}) ", fontweight="bold")
            axes.locator_params(axis="y", nbins=4)
        for (above, below), metric in zip(panels.T, settings.metrics, strict=True):
            _draw_levels(above, costs, metric, styles)
            above.set_title(METRICS[metric].axis, loc="right")
            _draw_gains(below, costs, metric, styles)
            below.set_title(METRICS[metric].label, loc="right")
            below.set_ylabel(METRICS[metric].difference_unit)
        unit = METRICS[settings.metrics[0]].difference_unit
        panels[1, 0].set_ylabel(f"gain ({unit})" if unit else "gain")
        panels[0, len(settings.metrics) // 2].set_xlabel("cost of a run (epochs of unregularised training)")
        note = _note(costs, settings)
        legend_below(figure, handles, note, columns, handlelength=1.6, columnspacing=1.2)
    return figure


def _styles(costs: list[RunCost]) -> dict[str, dict[str, Any]]:
    """How each setting is drawn: a marker of its own, a colour for each regulariser."""
    # LDReg comes first and has the same colour in every figure.
    kinds = list(dict.fromkeys(cost.arm.regularizer for cost in costs if cost.arm.regularized))
    styles: dict[str, dict[str, Any]] = {}
    for cost in costs:
        if not cost.arm.regularized:
            styles[cost.label] = {"color": style.REFERENCE, "marker": "o", "linestyle": "--"}
        elif cost.label not in styles:
            marker = MARKERS[(len(styles) - 1) % len(MARKERS)]
            colour = style.COLOURS[kinds.index(cost.arm.regularizer) % len(style.COLOURS)]
            styles[cost.label] = {"color": colour, "marker": marker, "linestyle": "none"}
    return styles


def _legend_label(label: str, costs: list[RunCost]) -> str:
    """A label with the extra time of a step: 'LDReg β 0.1, k 16: +4 % [+2, +6]'."""
    shown = dict.fromkeys(_more(cost.ratio) for cost in costs if cost.label == label and cost.arm.regularized)
    return f"{label}: {'; '.join(shown)}" if shown else label


def _more(ratio: Estimate) -> str:
    mean, low, high = (
        None if value is None else number(100 * (value - 1), True, 0)
        for value in (ratio.mean, ratio.low, ratio.high)
    )
    return f"{mean} %" if low is None else f"{mean} % [{low}, {high}]"


def _draw_levels(axes: Axes, costs: list[RunCost], metric: str, styles: dict[str, dict[str, Any]]) -> None:
    for label, drawn in styles.items():
        shown = [cost for cost in costs if cost.label == label]
        across, up = [cost.epochs for cost in shown], [cost.levels[metric] for cost in shown]
        axes.errorbar(
            [each.mean for each in across],
            [each.mean for each in up],
            xerr=_errors(across),
            yerr=_errors(up),
            **drawn,
            elinewidth=0.9,
            zorder=3,
        )
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="x", visible=True)


def _draw_gains(axes: Axes, costs: list[RunCost], metric: str, styles: dict[str, dict[str, Any]]) -> None:
    """Draw one mark for each setting, in the legend's order; the line at zero is unregularised training."""
    axes.axhline(0.0, color=style.REFERENCE, linestyle="--", linewidth=1.0, zorder=1.5)
    treated = [cost for cost in costs if cost.arm.regularized]
    for place, cost in enumerate(treated):
        gain = t_interval(cost.gains[metric])
        if gain is not None:
            axes.errorbar(
                [place], [gain.mean], yerr=_errors([gain]), **styles[cost.label], elinewidth=0.9, zorder=3
            )
    axes.set_xlim(-0.7, len(treated) - 0.3)
    axes.margins(y=0.15)
    axes.set_xticks([])


def _errors(estimates: list[Estimate]) -> np.ndarray | None:
    """(2, n) distances to the bounds, NaN without any; None where no estimate has any."""
    if all(estimate.low is None for estimate in estimates):
        return None
    bounds = [
        (math.nan, math.nan) if each.low is None else (each.mean - each.low, each.high - each.mean)
        for each in estimates
    ]
    return np.array(bounds).T


def _note(costs: list[RunCost], settings: CostSettings) -> str:
    where = costs[0].context
    lid = f"; mLID: {lid_words(settings.mlid)}" if "mlid" in settings.metrics else ""
    epochs = sorted({cost.context.epochs for cost in costs})
    trained = ", ".join(map(str, epochs)) + (
        " epochs (unregularised: joined)" if len(epochs) > 1 else " epochs"
    )
    lines = [
        f"{name(where.method)}, {name(where.backbone)}, {trained}{lid}",
        interval_note([level.n for cost in costs for level in cost.levels.values()], "bars"),
        "gain: over unregularised training of the same cost (dashed)",
    ]
    treated = [cost for cost in costs if cost.arm.regularized]
    if any(gain.empty for cost in treated for gain in cost.gains.values()):
        lines.append("no gain where all unregularised runs cost more, or all cost less")
    if treated:
        words = interval_words(max(cost.ratio.n for cost in treated))
        lines.append("after the colon: a step's time against an unregularised one's, timed by turns,")
        lines.append(f"in brackets and as horizontal bars its {words}")
    return "\n".join(lines)
