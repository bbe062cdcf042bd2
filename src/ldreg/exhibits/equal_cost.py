"""LDReg against global regularisers and none at equal cost: each metric over the wall-clock of a run."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.errors import LdregError
from ldreg.exhibits import style
from ldreg.exhibits.beyond_settings import CostSettings
from ldreg.exhibits.data import Exhibit, by_seed, load_runs, settings_of
from ldreg.exhibits.groups import Arm, Context, contexts
from ldreg.exhibits.labels import METRICS, name, number
from ldreg.exhibits.series import interval_note, legend_columns, lid_words
from ldreg.exhibits.statistics import Estimate, t_interval
from ldreg.exhibits.summaries import read_summary
from ldreg.exhibits.timing import EXECUTION, percent

HEIGHT = 2.1  # inches, of the panels
SECONDS, STEP = "wall_seconds", "step_seconds"
MARKERS = ("o", "s", "^", "D", "v", "P")
UNITS = (("s", 1), ("min", 60), ("h", 3600))


@dataclass(frozen=True)
class Cost:
    """One setting: what it took, what it gave, and what that is against the unregularised at equal cost."""

    context: Context
    arm: Arm
    seconds: Estimate
    overhead: Estimate | None  # of a step, in per cent of an unregularised one; None for those
    levels: dict[str, Estimate]
    effects: dict[str, Estimate | None]  # None where the unregularised were not trained as long

    @property
    def plain(self) -> bool:
        """Whether there is no regulariser."""
        return self.arm.regularizer == "none"

    @property
    def label(self) -> str:
        """For the legend."""
        if self.plain:
            return "unregularised"
        cost = "" if self.overhead is None else f" ({number(self.overhead.mean, True, 0)} % a step)"
        return self.arm.label + cost


def equal_cost(exhibit: Exhibit) -> dict[str, str | bytes]:
    """The figure as PNG, PDF and the CSV of its points."""
    settings = settings_of(exhibit, CostSettings)
    costs = read_costs(exhibit, settings)
    figure = draw(costs, settings)
    csv = table(costs, settings).round(10).to_csv(index=False, lineterminator="\n")
    return {"png": style.png(figure), "pdf": style.pdf(figure), "csv": csv}


def read_costs(exhibit: Exhibit, settings: CostSettings) -> list[Cost]:
    """One Cost per setting and number of epochs, the unregularised first, by time.

    Raises LdregError when the runs differ in more than regulariser and epochs, were executed in different
    ways, have no wall-clock, or none is unregularised.
    """
    frame = load_runs(exhibit, settings.metrics, settings)
    _check_alike(exhibit, [read_summary(Path(folder)) for folder in frame["folder"]])
    found = [
        replace(context, arms=tuple(replace(arm, runs=_timed(arm.runs)) for arm in context.arms))
        for context in contexts(frame)
    ]
    budgets = [context.epochs for context in found]
    if len(set(budgets)) < len(budgets) or len({(each.method, each.backbone) for each in found}) > 1:
        labels = "; ".join(context.label for context in found)
        raise LdregError(
            f"{exhibit.path}: runs: they may differ in regulariser and epochs alone; there are {labels}"
        )
    plain = [context.control for context in found if context.control]
    if not plain:
        raise LdregError(f"{exhibit.path}: runs: none is unregularised")
    costs = [_cost(context, arm, plain, settings) for context in found for arm in context.arms]
    # The unregularised first, from short to long; the others as they are listed.
    return sorted(costs, key=lambda cost: (0, cost.seconds.mean) if cost.plain else (1, 0.0))


def _check_alike(exhibit: Exhibit, summaries: list[dict[str, Any]]) -> None:
    for key in EXECUTION:
        ways = dict.fromkeys(str(summary.get(key)) for summary in summaries)
        if len(ways) > 1:
            raise LdregError(
                f"{exhibit.path}: runs: not comparable in time: their {key} differs ({', '.join(ways)})"
            )


def _timed(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with what they took: as a whole, and a step, by the median speed over epochs."""
    folders = [Path(folder) for folder in runs["folder"]]
    speeds = [_number(folder, "images_per_second") for folder in folders]
    times = [_number(folder, SECONDS) for folder in folders]
    return runs.assign(**{SECONDS: times, STEP: runs["batch_size"] / speeds})


def _number(folder: Path, key: str) -> float:
    value = read_summary(folder).get(key)
    if not isinstance(value, (int, float)) or not value > 0:
        raise LdregError(f"{folder / 'summary.json'}: {key}: no time was taken ({value}); was it imported?")
    return float(value)


def _cost(context: Context, arm: Arm, plain: list[Arm], settings: CostSettings) -> Cost:
    treated = arm.regularizer != "none"
    overhead = None
    if treated and context.control:
        overhead = t_interval(percent(by_seed(arm.runs, STEP), by_seed(context.control.runs, STEP)).dropna())
    effects = {
        metric: t_interval(at_equal_cost(arm, plain, metric)) if treated else None
        for metric in settings.metrics
    }
    levels = {metric: arm.level(metric) for metric in settings.metrics}
    return Cost(context, arm, arm.level(SECONDS), overhead, levels, effects)


def at_equal_cost(arm: Arm, plain: list[Arm], metric: str) -> list[float]:
    """For each seed: the arm's metric minus what unregularised runs of that seed give in the arm's time.

    Between two numbers of epochs that is interpolated, linearly in time. Seeds whose longest unregularised
    run took less time, or shortest more, are left out.
    """
    found = []
    times, values = by_seed(arm.runs, SECONDS), by_seed(arm.runs, metric)
    for seed in times.index:
        known = [
            (by_seed(other.runs, SECONDS)[seed], by_seed(other.runs, metric)[seed])
            for other in plain
            if seed in set(other.runs["seed"])
        ]
        known.sort()
        for (before, low), (after, high) in pairwise(known):
            if before <= times[seed] <= after:
                share = (times[seed] - before) / (after - before) if after > before else 0.0
                found.append(values[seed] - (low + share * (high - low)))
                break
    return found


def table(costs: list[Cost], settings: CostSettings) -> pd.DataFrame:
    """One line per setting and metric."""
    nothing = Estimate(math.nan, None, None, 0)
    lines = []
    for cost in costs:
        overhead = cost.overhead or nothing
        for metric in settings.metrics:
            level, effect = cost.levels[metric], cost.effects[metric] or nothing
            lines.append(
                {
                    "method": cost.context.method,
                    "backbone": cost.context.backbone,
                    "epochs": cost.context.epochs,
                    "regularizer": cost.arm.regularizer,
                    "beta": cost.arm.beta,
                    "k": cost.arm.k,
                    "setting": cost.arm.extra,
                    **_columns("seconds", cost.seconds),
                    **_columns("step_overhead_percent", overhead),
                    "metric": metric,
                    "unit": METRICS[metric].unit,
                    **_columns("level", level),
                    "effect_n": effect.n,
                    **_columns("effect_at_equal_cost", effect),
                    "n": level.n,
                }
            )
    return pd.DataFrame(lines)


def _columns(key: str, estimate: Estimate) -> dict[str, float | None]:
    return {key: estimate.mean, f"{key}_low": estimate.low, f"{key}_high": estimate.high}


def draw(costs: list[Cost], settings: CostSettings) -> Figure:
    """One panel for each metric over the wall-clock; unregularised runs of several lengths are joined."""
    unit, factor = _unit(cost.seconds.mean for cost in costs)
    looks = _looks(costs)
    handles = [Line2D([], [], **look, label=label) for label, look in looks.items()]
    columns = legend_columns(list(looks))
    with style.styled():
        height = HEIGHT + 0.9 + 0.17 * -(-len(looks) // columns)
        figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
        panels = figure.subplots(1, len(settings.metrics), squeeze=False)[0]
        for axes, letter, metric in zip(panels, "abc", settings.metrics, strict=False):
            _draw(axes, costs, metric, factor, looks)
            axes.set_title(f"({letter}) ", fontweight="bold")
            axes.set_title(METRICS[metric].axis, loc="right")
            axes.set_xlabel(f"wall-clock of a run ({unit})")
            axes.locator_params(axis="both", nbins=4)
        figure.legend(
            handles=handles,
            title=_note(costs, settings),
            title_fontsize=8,
            loc="outside lower center",
            ncols=columns,
        )
    return figure


def _unit(times: Iterable[float]) -> tuple[str, int]:
    most = max(times)
    return next((unit, factor) for unit, factor in reversed(UNITS) if most >= 2 * factor or factor == 1)


def _looks(costs: list[Cost]) -> dict[str, dict[str, Any]]:
    """How each setting is drawn: a colour for each regulariser, a marker for each of its settings."""
    kinds = list(dict.fromkeys(cost.arm.regularizer for cost in costs if not cost.plain))
    # LDReg has the same colour in every figure.
    kinds.sort(key=lambda kind: not kind.startswith("ldreg"))
    looks: dict[str, dict[str, Any]] = {}
    for cost in costs:
        kind = cost.arm.regularizer
        if cost.plain:
            looks[cost.label] = {"color": style.REFERENCE, "marker": "o", "linestyle": "--"}
        elif cost.label not in looks:
            colour = style.COLOURS[kinds.index(kind) % len(style.COLOURS)]
            place = sum(look["color"] == colour for look in looks.values())
            marker = MARKERS[place % len(MARKERS)]
            looks[cost.label] = {"color": colour, "marker": marker, "linestyle": "none"}
    return looks


def _draw(axes: Axes, costs: list[Cost], metric: str, factor: int, looks: dict[str, dict[str, Any]]) -> None:
    for label, look in looks.items():
        shown = [cost for cost in costs if cost.label == label]
        across, up = [cost.seconds for cost in shown], [cost.levels[metric] for cost in shown]
        axes.errorbar(
            [each.mean / factor for each in across],
            [each.mean for each in up],
            xerr=_half_widths(across, factor),
            yerr=_half_widths(up),
            **look,
            elinewidth=0.9,
            zorder=3,
        )
    axes.grid(axis="x", visible=True)


def _half_widths(estimates: list[Estimate], factor: int = 1) -> np.ndarray | None:
    if all(estimate.half_width is None for estimate in estimates):
        return None
    return np.array([math.nan if each.half_width is None else each.half_width for each in estimates]) / factor


def _note(costs: list[Cost], settings: CostSettings) -> str:
    where = costs[0].context
    lid = f"; mLID: {lid_words(settings.mlid)}" if "mlid" in settings.metrics else ""
    epochs = sorted({cost.context.epochs for cost in costs})
    trained = ", ".join(map(str, epochs)) + (
        " epochs (unregularised: joined)" if len(epochs) > 1 else " epochs"
    )
    intervals = interval_note([level.n for cost in costs for level in cost.levels.values()], "bars")
    return (
        f"{name(where.method)}, {name(where.backbone)}, {trained}{lid}\n{intervals}\n"
        "in brackets: a step's time against an unregularised one's"
    )
