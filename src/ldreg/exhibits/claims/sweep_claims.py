"""Claims about sweeps: metrics that rise, fall or stay as beta, k or the colour jitter varies.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.exhibits.claims.evidence import Evidence, gains, seeds, value_of
from ldreg.exhibits.claims.verdicts import PAIRED, Quote, Result, Results, one_above, one_below, within
from ldreg.exhibits.output.labels import METRICS, name, printed, same
from ldreg.exhibits.paper.reported import PaperRow, difference
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.stats.intervals import slopes, t_interval

COLLAPSING = 10.0  # the weight of Min LID at which the paper reports complete collapse (Table 13)
# How a swept setting is transformed, the symbol of the result, and the unit of a slope over it.
STEPS = {
    "beta": (math.log10, "log10(beta)", "per tenfold beta"),
    "k": (math.log2, "log2(k)", "per doubling of k"),
    "jitter": (float, "s", "per 1 of s"),
}


def falls(
    evidence: Evidence, metric: str, axis: str, regularizer: str = "", table: str = "figure5"
) -> Results:
    """A metric falls as beta or k of a regulariser (LDReg if none is named) grows."""
    kind = regularizer or evidence.settings.regularizer
    for context in evidence.contexts:
        swept = evidence.swept(context, kind, axis)
        reported = _paper_swept(evidence, context, kind, metric, axis, table)
        if result := _trend(swept, metric, axis, False, reported):
            yield context.label, result


def collapses_completely(evidence: Evidence) -> Results:
    """With Min LID at the weight at which the paper's training collapses, accuracy is that of guessing.

    Accuracies that are equal in all seeds decide here: a constant representation has the same in each.
    """
    settings, about = evidence.settings, METRICS["linear_top1"]
    for context in evidence.contexts:
        swept = evidence.swept(context, "min_lid", "beta")
        arm = next((arm for beta, arm in swept.items() if same(beta, COLLAPSING)), None)
        classes = DATA_SETS[value_of(arm, "dataset")].classes if arm else None
        found = t_interval(seeds(arm, "linear_top1") - 100 / classes) if classes else None
        if found:
            decision = one_below(found, settings.stability_margin, about.difference_unit, equal_decides=True)
            quantity = f"{about.label} with {arm.label} minus that by guessing among {classes} classes"
            quote = Quote(None, f"complete collapse at beta {name(COLLAPSING)}, no numbers")
            test = "t-interval over seeds, which decides too where all seeds are equal"
            yield context.label, decision.result(quantity, about.difference_unit, test, quote)


def rises_with_jitter(evidence: Evidence, metric: str) -> Results:
    """A metric of the unregularised method rises with the strength of its colour jitter."""
    for group in evidence.series("jitter"):
        controls = [context.control for context in group if context.control]
        swept = {value_of(arm, "jitter"): arm for arm in controls}
        if result := _trend(dict(sorted(swept.items())), metric, "jitter", True, {}):
            yield group[0].label, result


def _trend(
    swept: Mapping[float, Arm], metric: str, axis: str, rising: bool, reported: Mapping[float, PaperRow]
) -> Result | None:
    if len(swept) < 2:
        return None
    step, symbol, unit = STEPS[axis]
    label = METRICS[metric].label
    table = pd.DataFrame({value: seeds(arm, metric) for value, arm in swept.items()})
    estimate = t_interval(slopes([step(value) for value in swept], table))
    if estimate is None:
        return None
    theirs = None
    if len(reported) > 1:
        values = pd.DataFrame([[row.values[metric] for row in reported.values()]])
        theirs = round(float(slopes([step(value) for value in reported], values).iloc[0]), 1)
    kind = next(iter(swept.values())).regularizer
    words = {"ldreg_l1": "", "none": " (unregularised)"}.get(kind, f" ({name(kind)})")
    return (one_above if rising else one_below)(estimate).result(
        quantity=f"slope of {label} on {symbol}, at {axis} {_listed(swept)}{words}",
        unit=f"{METRICS[metric].difference_unit} {unit}",
        test=f"least-squares slope of {label} on {symbol} for each seed, then the t-interval over seeds",
        paper=Quote(theirs, _trend_words(metric, axis, reported)),
    )


def stable(evidence: Evidence, metric: str, axis: str) -> Results:
    """Accuracy with LDReg moves by less than the margin as beta or k varies around `base`."""
    settings, about = evidence.settings, METRICS[metric]
    for context in evidence.contexts:
        swept = evidence.swept(context, settings.regularizer, axis)
        if len(swept) < 2:
            continue
        base = _base_value(swept, settings.base.get(axis))
        changes = {
            name(value): gains(arm, swept[base], metric) for value, arm in swept.items() if value != base
        }
        if found := within(changes, settings.stability_margin, about.difference_unit):
            reported = _paper_swept(evidence, context, settings.regularizer, metric, axis, "figure5")
            theirs = _paper_change(reported, metric, evidence.reported_pairs.base(axis).get(axis))
            yield (
                context.label,
                found.result(
                    quantity=f"{about.label} at {axis} {found.at} minus that at {name(base)}",
                    unit=f"{about.difference_unit} at {axis} {found.at}",
                    test=f"{PAIRED} of each value of {axis} ({_listed(swept)}) against {name(base)}",
                    paper=Quote(theirs, _trend_words(metric, axis, reported)),
                    extreme="the largest change",
                ),
            )


def _base_value(values: Iterable[float], wanted: Any) -> float:
    """The value that `base` names, or the smallest where none of the values is named."""
    ascending = sorted(values)
    return next((value for value in ascending if same(value, wanted)), ascending[0])


def _paper_swept(
    evidence: Evidence, context: Context, kind: str, metric: str, axis: str, table: str
) -> dict[float, PaperRow]:
    """The paper's rows along the axis; Table 1 prints what Figure 5 only draws."""
    paper = evidence.reported(*(("table1", table) if table == "figure5" else (table,)))
    where = {"method": context.method, "backbone": context.backbone, "regularizer": kind}
    rows = [row for row in paper.rows(**paper.beside(axis) | where) if metric in row.values]
    return {getattr(row, axis): row for row in sorted(rows, key=lambda row: getattr(row, axis))}


def _paper_change(reported: Mapping[float, PaperRow], metric: str, wanted: Any) -> float | None:
    """The paper's largest change from its own base, which is at the `wanted` value of the swept setting."""
    if len(reported) < 2:
        return None
    base = reported[_base_value(reported, wanted)]
    return max((difference(row, base, metric) for row in reported.values()), key=abs)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(name(float(value)) for value in values)


def _trend_words(metric: str, axis: str, reported: Mapping[float, PaperRow]) -> str:
    """The paper's values in words: '64.8, 64.25 at beta 0.01, 0.1, some of them read off the figure'."""
    if not reported:
        return ""
    values = ", ".join(printed(row.values[metric]) for row in reported.values())
    drawn = any(metric in row.approximate for row in reported.values())
    return f"{values} at {axis} {_listed(reported)}{', some of them read off the figure' if drawn else ''}"
