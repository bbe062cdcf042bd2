"""The ratio of the times of a training step with and without a regulariser, from step_cost.json of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ldreg.exhibits.stats.intervals import Estimate, t_interval
from ldreg.files import read_keys

FILE = "step_cost.json"
KEYS = ("seconds_with", "seconds_without", "ratio", "ratio_low", "ratio_high", "level", "pairs")


def read_step_cost(folder: Path) -> dict[str, Any]:
    """The file of one run; LdregError where it is missing, broken or lacks a key."""
    return read_keys(folder / FILE, *KEYS)


def step_ratio(costs: Sequence[dict[str, Any]]) -> Estimate:
    """The time of a step with the regulariser as a multiple of one without, over runs that differ by seed
    alone.

    For several runs it is the mean with its t-interval. For one run it is the median over its blocks with a
    distribution-free interval, which does not cover the differences between processes. Without a regulariser
    it is 1 and has no interval.
    """
    if len(costs) == 1:
        (cost,) = costs
        return Estimate(cost["ratio"], cost["ratio_low"], cost["ratio_high"], 1)
    if all(cost["ratio_low"] is None for cost in costs):
        return Estimate(1.0, None, None, len(costs))
    return t_interval([cost["ratio"] for cost in costs])


def interval_words(count: int) -> str:
    """The name of the interval that `step_ratio` has for this number of runs."""
    return "95 % t-interval over seeds" if count > 1 else "interval over blocks (at least 95 %)"


def scaled(estimate: Estimate, factor: float, offset: float = 0.0) -> Estimate:
    """offset + factor * estimate, for a positive factor."""
    bounds = [None if bound is None else offset + factor * bound for bound in (estimate.low, estimate.high)]
    return Estimate(offset + factor * estimate.mean, *bounds, estimate.n)


def step_change(costs: Sequence[dict[str, Any]]) -> Estimate:
    """`step_ratio` as a change in per cent."""
    return scaled(step_ratio(costs), 100.0, -100.0)
