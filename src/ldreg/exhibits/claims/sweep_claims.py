"""Claims about sweeps: what grows, falls or stays as beta, k or the strength of the views varies.

Each function tests one kind of claim and returns what it found where it could: (context label, result) pairs.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ldreg.exhibits.claims.declared import LedgerSettings
from ldreg.exhibits.claims.evidence import Evidence, gains, seeds, value_of
from ldreg.exhibits.claims.pair_claims import PAIRED, Results
from ldreg.exhibits.claims.verdicts import SEVERAL, Result, negative, verdict, within
from ldreg.exhibits.output.labels import METRICS, name, printed, same
from ldreg.exhibits.paper.reported import PaperRow, difference
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.settings import PAPER_BASE
from ldreg.exhibits.stats.intervals import slopes, t_interval

# The unit in which a swept setting is read, such as its logarithm, and what a step of one on it is.
STEPS = {
    "beta": (math.log10, "log10(beta)", "per tenfold beta"),
    "k": (math.log2, "log2(k)", "per doubling of k"),
    "jitter": (float, "s", "per 1 of s"),
}


def falls(
    evidence: Evidence, metric: str, axis: str, regularizer: str = "", table: str = "figure5"
) -> Results:
    """A metric falls as beta or k of a regulariser (LDReg if none is named) grows."""
    kind, results = regularizer or evidence.settings.regularizer, []
    for context in evidence.contexts:
        swept = evidence.swept(context, kind, axis)
        reported = _paper_swept(evidence, context, kind, metric, axis, table)
        if result := _trend(swept, metric, axis, False, reported):
            results.append((context.label, result))
    return results


def rises_with_jitter(evidence: Evidence, metric: str) -> Results:
    """A metric of the unregularised method rises with the strength of its colour jitter."""
    results = []
    for group in evidence.series("jitter"):
        controls = [context.control for context in group if context.control]
        swept = {value_of(arm, "jitter"): arm for arm in controls}
        if result := _trend(dict(sorted(swept.items())), metric, "jitter", True, {}):
            results.append((group[0].label, result))
    return results


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
    sides = ("above", "below") if rising else ("below", "above")
    regularizer = next(iter(swept.values())).regularizer
    of = (
        ""
        if regularizer == "ldreg_l1"
        else f" ({name(regularizer) if regularizer != 'none' else 'unregularised'})"
    )
    points = METRICS[metric].difference_unit
    return Result(
        quantity=f"slope of {label} on {symbol}, at {axis} {_listed(swept)}{of}",
        unit=f"{points} {unit}".strip(),
        test=f"least-squares slope of {label} on {symbol} for each seed, then t over seeds; "
        f"supported if the interval lies {sides[0]} 0, contradicted if {sides[1]}",
        estimate=estimate,
        verdict=verdict(estimate if rising else negative(estimate), 0.0),
        paper=theirs,
        paper_values=_trend_values(metric, axis, reported),
    )


def stable(evidence: Evidence, metric: str, axis: str) -> Results:
    """Accuracy with LDReg moves by less than the margin as beta or k varies around `base`."""
    settings, results = evidence.settings, []
    about, margin = METRICS[metric], settings.stability_margin
    for context in evidence.contexts:
        swept = evidence.swept(context, settings.regularizer, axis)
        if len(swept) < 2:
            continue
        base = _base_value(swept, settings.base.get(axis))
        changes = {
            name(value): gains(arm, swept[base], metric) for value, arm in swept.items() if value != base
        }
        found = within(changes, margin)
        if found is None:
            continue
        reported = _paper_swept(evidence, context, settings.regularizer, metric, axis, "figure5")
        result = Result(
            quantity=f"{about.label} at {axis} {found.at} minus that at {name(base)} "
            f"({found.named('the largest change')})",
            unit=f"{about.difference_unit} at {axis} {found.at}",
            test=f"{PAIRED} of each value of {axis} ({_listed(swept)}) against {name(base)}; supported if "
            f"every interval lies within ±{name(margin)} {about.difference_unit}, contradicted if one lies "
            f"outside {SEVERAL}",
            estimate=found.estimate,
            verdict=found.verdict,
            paper=_paper_change(reported, metric, axis, settings),
            paper_values=_trend_values(metric, axis, reported),
        )
        results.append((context.label, result))
    return results


def _base_value(values: Iterable[float], wanted: Any) -> float:
    """The value that `base` names, else the smallest."""
    ascending = sorted(values)
    return next((value for value in ascending if same(value, wanted)), ascending[0])


def _paper_swept(
    evidence: Evidence, context: Context, kind: str, metric: str, axis: str, table: str
) -> dict[float, PaperRow]:
    """The paper's rows along the axis; Table 1 prints what Figure 5 only draws."""
    where = evidence.settings.paper_at(axis)
    where |= {"method": context.method, "backbone": context.backbone, "regularizer": kind}
    exhibits = ("table1", table) if table == "figure5" else (table,)
    rows = [row for row in evidence.reported(*exhibits).rows(**where) if metric in row.values]
    return {getattr(row, axis): row for row in sorted(rows, key=lambda row: getattr(row, axis))}


def _paper_change(
    reported: Mapping[float, PaperRow], metric: str, axis: str, settings: LedgerSettings
) -> float | None:
    """The paper's largest change from its own base."""
    if len(reported) < 2:
        return None
    base = reported[_base_value(reported, (settings.paper_base or PAPER_BASE).get(axis))]
    return max((difference(row, base, metric) for row in reported.values()), key=abs)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(name(float(value)) for value in values)


def _trend_values(metric: str, axis: str, reported: Mapping[float, PaperRow]) -> str:
    """'64.8, 65.0, 64.25 at beta 0.01, 0.05, 0.1, in part read off the figure'."""
    if not reported:
        return ""
    values = ", ".join(printed(row.values[metric]) for row in reported.values())
    drawn = any(metric in row.approximate for row in reported.values())
    return f"{values} at {axis} {_listed(reported)}{', in part read off the figure' if drawn else ''}"
