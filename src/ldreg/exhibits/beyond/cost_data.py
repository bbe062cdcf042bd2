"""The cost of runs, and their gains over unregularised training of the same cost.

A run's cost is its number of epochs times the ratio of its step time to that of an unregularised step. Both
kinds of step are timed by turns in one process (`ldreg step-cost`). So the cost is counted in epochs of
unregularised training, and does not depend on what else the machine does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from ldreg.errors import LdregError
from ldreg.exhibits.beyond.declared import CostSettings
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.execution import EXECUTION
from ldreg.exhibits.runs.run_table import ExhibitSpec, add_columns, by_seed, load_runs
from ldreg.exhibits.runs.step_costs import read_step_cost, scaled, step_ratio
from ldreg.exhibits.stats.intervals import Estimate, differences, t_interval

COST = "cost_epochs"


@dataclass(frozen=True)
class RunCost:
    """One setting and number of epochs: its cost, its results, and its gains at equal cost."""

    context: Context
    arm: Arm
    ratio: Estimate  # the time of a step as a multiple of an unregularised step's
    levels: dict[str, Estimate]
    gains: dict[str, pd.Series]  # by seed, at equal cost, for the seeds that can be compared

    @property
    def epochs(self) -> Estimate:
        """The number of epochs of unregularised training that take as long."""
        return scaled(self.ratio, self.context.epochs)

    @property
    def ldreg(self) -> bool:
        """Whether the regulariser is a form of LDReg, with which the others are compared."""
        return self.arm.regularizer.startswith("ldreg")

    @property
    def label(self) -> str:
        """The setting, without its number of epochs."""
        return self.arm.series


def read_costs(exhibit: ExhibitSpec, settings: CostSettings) -> list[RunCost]:
    """One RunCost per setting and number of epochs, the unregularised first, by epochs.

    Raises LdregError when the runs differ in more than regulariser and epochs, when none is unregularised,
    and when the cost of a step was not measured, or measured on different machines.
    """
    frame = load_runs(exhibit, settings.metrics, settings)
    frame = add_columns(frame, lambda folder: {"step_cost": read_step_cost(folder)})
    frame[COST] = frame["epochs"] * [cost["ratio"] for cost in frame["step_cost"]]
    found = contexts(frame)
    budgets = [context.epochs for context in found]
    if len(set(budgets)) < len(budgets) or len({(each.method, each.backbone) for each in found}) > 1:
        labels = "; ".join(context.label for context in found)
        raise LdregError(
            f"{exhibit.path}: runs: they may differ in regulariser and epochs alone; there are {labels}"
        )
    _check_alike(exhibit, frame["step_cost"])
    plain = [context.control for context in found if context.control]
    if not plain:
        raise LdregError(f"{exhibit.path}: runs: none is unregularised")
    costs = [
        RunCost(
            context,
            arm,
            step_ratio(list(arm.runs["step_cost"])),
            {metric: arm.level(metric) for metric in settings.metrics},
            {metric: gains_at_equal_cost(arm, plain, metric) for metric in settings.metrics},
        )
        for context in found
        for arm in context.arms
    ]
    return sorted(costs, key=_order)


def _order(cost: RunCost) -> tuple[int, int]:
    """Unregularised runs from short to long, then LDReg, then the others, in the order of the runs."""
    return (2 - cost.ldreg, 0) if cost.arm.regularized else (0, cost.context.epochs)


def _check_alike(exhibit: ExhibitSpec, measured: Iterable[dict[str, Any]]) -> None:
    for key in EXECUTION:
        ways = dict.fromkeys(str(each.get(key)) for each in measured)
        if len(ways) > 1:
            raise LdregError(
                f"{exhibit.path}: runs: not comparable in cost: their {key} differs ({', '.join(ways)})"
            )


def gains_at_equal_cost(arm: Arm, plain: list[Arm], metric: str) -> pd.Series:
    """The arm's metric minus that of unregularised runs of the same seed and the same cost, by seed.

    The unregularised metric is interpolated linearly between two numbers of epochs. A seed is left out where
    all its unregularised runs cost less than the arm, or all cost more.
    """
    found = {}
    costs, values = by_seed(arm.runs, COST), by_seed(arm.runs, metric)
    for seed in costs.index:
        known = [
            (by_seed(other.runs, COST)[seed], by_seed(other.runs, metric)[seed])
            for other in plain
            if seed in set(other.runs["seed"])
        ]
        known.sort()
        for (before, low), (after, high) in pairwise(known):
            if before <= costs[seed] <= after:
                share = (costs[seed] - before) / (after - before)
                found[seed] = values[seed] - (low + share * (high - low))
                break
    return pd.Series(found, dtype=float)


def minus(cost: RunCost, other: RunCost, metric: str) -> Estimate | None:
    """The gain of one setting minus another's, paired by seed."""
    return t_interval(differences(cost.gains[metric], other.gains[metric]))
