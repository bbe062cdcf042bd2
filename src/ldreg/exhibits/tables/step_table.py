"""The part of Table 4 on single steps: their time with a regulariser and without, from step_cost.json."""

from pathlib import Path
from typing import Any

from ldreg.exhibits.output.estimates import effect, level
from ldreg.exhibits.output.labels import number
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.paper.comparison import Row
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.runs.step_costs import FILE, interval_words, read_step_cost, step_change
from ldreg.exhibits.stats.intervals import Estimate
from ldreg.exhibits.tables.quantities import NOT_MEASURED, Quantity, machines

# The quantities that step_cost.json gives, and their units.
STEPS = {
    "step_ms_with": "ms",
    "step_ms_without": "ms",
    "step_time": "%",
    "step_peak_memory_with": "GiB",
    "step_peak_memory_without": "GiB",
}


def stepped_rows(context: Context, group: list[Row]) -> list[list[Quantity]]:
    """For each regulariser the time of a step with it and without, and the change, all from the same jobs."""
    rows = [row for row in group if row.keys["regularizer"] != "none"]
    quantities = []
    for row, arm in zip(rows, context.treated, strict=True):
        costs = _step_costs(arm)
        found = dict.fromkeys(STEPS)
        if costs:
            found = {
                "step_ms_with": _mean(costs, "seconds_with", 1e3),
                "step_ms_without": _mean(costs, "seconds_without", 1e3),
                "step_time": step_change(costs),
                "step_peak_memory_with": _mean(costs, "peak_memory_bytes_with", 2**-30),
                "step_peak_memory_without": _mean(costs, "peak_memory_bytes_without", 2**-30),
            }
        quantities.append([Quantity(row, key, STEPS[key], found[key], NOT_MEASURED) for key in STEPS])
    return quantities


def _step_costs(arm: Arm) -> list[dict[str, Any]]:
    folders = [Path(folder) for folder in arm.runs["folder"]]
    return [read_step_cost(folder) for folder in folders if (folder / FILE).is_file()]


def _mean(costs: list[dict[str, Any]], key: str, factor: float) -> Estimate | None:
    """The mean over runs, without an interval: steps of different jobs also differ by the machines' load."""
    values = [cost.get(key) for cost in costs]
    if any(value is None for value in values):
        return None
    return Estimate(factor * sum(values) / len(values), None, None, len(values))


def step_block(stepped: list[list[list[Quantity]]]) -> Block:
    header = ("method", "regulariser", "step with (ms)", "step without (ms)", "change (%)")
    header += ("peak memory with / without (GiB)", "seeds")
    groups = []
    for group in filter(None, stepped):
        rows = []
        for place, (treated, control, change_of, *memory) in enumerate(group):
            row = change_of.row
            texts = [row.method if place == 0 else "", row.regularizer]
            texts += [level(each.ours) if each.ours else each.absent for each in (treated, control)]
            texts.append(_bracketed(change_of.ours) if change_of.ours else change_of.absent)
            known = all(each.ours for each in memory)
            texts.append(" / ".join(level(each.ours) for each in memory) if known else NOT_MEASURED)
            texts.append(str(change_of.ours.n if change_of.ours else 0))
            rows.append([Cell(text) for text in texts])
        groups.append(rows)
    return Block(
        "A training step with the regulariser and without, timed by turns in one process", header, groups
    )


def _bracketed(estimate: Estimate) -> str:
    return number(estimate.mean, True) if estimate.low is None else effect(estimate)


def step_notes(found: list[Context]) -> list[str]:
    """How the steps were timed, if they were."""
    arms = [costs for context in found for arm in context.treated if (costs := _step_costs(arm))]
    if not arms:
        return []
    every = [cost for costs in arms for cost in costs]
    pairs = sorted({cost["pairs"] for cost in every})
    steps = sorted({cost["steps_per_block"] for cost in every})
    intervals = " or ".join(dict.fromkeys(interval_words(len(costs)) for costs in arms))
    return [
        "A step consists of views, forward and backward pass, loss and optimiser, without live measurements. "
        f"Steps were timed on {machines(every)}. Each job trains one set of networks by turns with the "
        f"regulariser and without, in {_range(pairs)} pairs of blocks of {_range(steps)} "
        f"{'step' if steps[-1] == 1 else 'steps'}, so that other work of the machine slows both down.",
        "The change of a step's time is the median of the pairs' ratios, averaged over seeds; brackets hold "
        f"the {intervals}. The times with and without are medians over blocks, averaged over seeds.",
    ]


def _range(values: list[int]) -> str:
    """'8', '24 to 30'."""
    return " to ".join(str(value) for value in dict.fromkeys((values[0], values[-1])))
