"""How a claim of the paper is tested on the runs of one context, and when it is supported or contradicted."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ldreg.errors import LdregError
from ldreg.exhibits.data import by_seed
from ldreg.exhibits.groups import Arm, Context
from ldreg.exhibits.labels import METRICS, name, printed, same
from ldreg.exhibits.reported import PaperRow, Reported, difference
from ldreg.exhibits.settings import PAPER_BASE, LedgerSettings
from ldreg.exhibits.statistics import LEVEL, Estimate, slopes, t_interval

# The unit in which a swept setting is read: its logarithm, and what a step of one on it is.
STEPS = {
    "beta": (math.log10, "log10(beta)", "per tenfold beta"),
    "k": (math.log2, "log2(k)", "per doubling of k"),
}


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, where it stands, and how it is tested: a kind, a metric, a swept setting."""

    id: str
    text: str
    source: str
    kind: Literal["raises", "keeps", "falls", "stable"]
    metric: str
    axis: str = ""


@dataclass(frozen=True)
class Result:
    """What a test gave: the estimated quantity, the verdict, and the paper's own number for it."""

    quantity: str
    unit: str
    test: str
    estimate: Estimate
    verdict: str
    paper: float | None
    paper_values: str  # the numbers behind `paper`


def verdict(low: float | None, high: float | None, bound: float) -> str:
    """Whether a quantity is above `bound`, by its interval; without an interval nothing is decided.

    >>> verdict(0.1, 0.9, 0.0), verdict(-0.9, -0.1, 0.0), verdict(-0.1, 0.9, 0.0), verdict(None, None, 0.0)
    ('supported', 'contradicted', 'inconclusive', 'inconclusive (1 seed)')
    """
    if low is None or high is None:
        return "inconclusive (1 seed)"
    if low > bound:
        return "supported"
    return "contradicted" if high < bound else "inconclusive"


def judge(claim: Claim, context: Context, paper: Reported, settings: LedgerSettings) -> Result | None:
    """Test a claim on one context's runs; None when they do not include what the test needs."""
    arms = [arm for arm in context.treated if arm.regularizer == settings.regularizer]
    if claim.axis:
        swept = _swept(arms, claim.axis, settings)
        if len(swept) < 2:
            return None
        reported = _paper_swept(claim, context, paper, settings)
        return (_falls if claim.kind == "falls" else _stable)(claim, swept, reported, settings)
    chosen = _base_arm(arms, settings)
    if chosen is None or context.control is None:
        return None
    return _raises_or_keeps(claim, context, chosen, paper, settings)


def _raises_or_keeps(
    claim: Claim, context: Context, arm: Arm, paper: Reported, settings: LedgerSettings
) -> Result | None:
    estimate = arm.effect(context.control, claim.metric)
    if estimate is None:
        return None
    metric = METRICS[claim.metric]
    margin = settings.accuracy_margin if claim.kind == "keeps" else 0.0
    bound = f"-{name(margin)} {metric.difference_unit}" if margin else "0"
    control, treated = paper.row(context.setting()), paper.row(context.setting(arm))
    theirs = difference(treated, control, claim.metric)
    return Result(
        quantity=f"{metric.label}, {arm.label} minus none",
        unit=metric.difference_unit,
        test=f"paired t over seeds; supported if the interval lies above {bound}, contradicted if below",
        estimate=estimate,
        verdict=verdict(estimate.low, estimate.high, -margin),
        paper=theirs,
        paper_values="" if theirs is None else _pair(control, treated, claim.metric),
    )


def _falls(
    claim: Claim, swept: dict[float, Arm], reported: dict[float, PaperRow], settings: LedgerSettings
) -> Result | None:
    step, symbol, unit = STEPS[claim.axis]
    table = pd.DataFrame({value: by_seed(arm.runs, claim.metric) for value, arm in swept.items()})
    estimate = t_interval(slopes([step(value) for value in swept], table))
    if estimate is None:
        return None
    theirs = None
    if len(reported) > 1:
        values = pd.DataFrame([[row.values[claim.metric] for row in reported.values()]])
        theirs = round(float(slopes([step(value) for value in reported], values).iloc[0]), 1)
    label = METRICS[claim.metric].label
    low, high = (None, None) if estimate.low is None else (-estimate.high, -estimate.low)
    return Result(
        quantity=f"slope of {label} on {symbol}, at {claim.axis} {_listed(swept)}",
        unit=unit,
        test=f"least-squares slope of {label} on {symbol} for each seed, then t over seeds; "
        "supported if the interval lies below 0, contradicted if above",
        estimate=estimate,
        verdict=verdict(low, high, 0.0),
        paper=theirs,
        paper_values=_trend(claim, reported),
    )


def _stable(
    claim: Claim, swept: dict[float, Arm], reported: dict[float, PaperRow], settings: LedgerSettings
) -> Result | None:
    base = _base_value(swept, settings.base.get(claim.axis))
    others = [value for value in swept if value != base]
    # Contradiction by any of several values needs intervals adjusted for their number; support does not.
    levels = (LEVEL, 1 - (1 - LEVEL) / len(others))
    plain, wide = (
        {value: swept[value].effect(swept[base], claim.metric, level) for value in others} for level in levels
    )
    if None in plain.values():
        return None
    metric, margin = METRICS[claim.metric], settings.stability_margin
    worst = max(others, key=lambda value: abs(plain[value].mean))
    return Result(
        quantity=f"largest mean change of {metric.label} from {claim.axis} {name(base)}, at {name(worst)}",
        unit=f"{metric.difference_unit} at {claim.axis} {name(worst)}",
        test=f"paired t over seeds of each value of {claim.axis} ({_listed(swept)}) against {name(base)}; "
        f"supported if every interval lies within ±{name(margin)} {metric.difference_unit}, contradicted if "
        "one lies outside (at a level adjusted for the number of values)",
        estimate=plain[worst],
        verdict=stability(list(plain.values()), list(wide.values()), margin),
        paper=_paper_change(claim, reported, settings),
        paper_values=_trend(claim, reported),
    )


def stability(plain: list[Estimate], wide: list[Estimate], margin: float) -> str:
    """Whether all differences are within +-margin: supported by every plain interval inside, contradicted by
    one adjusted interval wholly outside."""
    if any(estimate.low is None for estimate in plain):
        return verdict(None, None, 0.0)
    if all(-margin < estimate.low and estimate.high < margin for estimate in plain):
        return "supported"
    outside = any(estimate.low > margin or estimate.high < -margin for estimate in wide)
    return "contradicted" if outside else "inconclusive"


def _at(arm: Arm, key: str, settings: LedgerSettings) -> bool:
    return key not in settings.base or same(arm.runs[key].iloc[0], settings.base[key])


def _base_arm(arms: list[Arm], settings: LedgerSettings) -> Arm | None:
    """The arm at `base`; a method that was run with one setting only (its own) is tested with that."""
    at_base = [arm for arm in arms if all(_at(arm, key, settings) for key in settings.base)]
    if len(at_base) > 1:
        raise LdregError(f"claims: base: {settings.base} does not single out one of {_labels(at_base)}")
    found = at_base or arms
    return found[0] if len(found) == 1 else None


def _labels(arms: list[Arm]) -> str:
    return "; ".join(arm.label for arm in arms)


def _swept(arms: list[Arm], axis: str, settings: LedgerSettings) -> dict[float, Arm]:
    """Arms by ascending value of the axis, all else at `base`."""
    found = [arm for arm in arms if all(_at(arm, key, settings) for key in settings.base if key != axis)]
    swept = {arm.runs[axis].iloc[0]: arm for arm in sorted(found, key=lambda arm: arm.runs[axis].iloc[0])}
    if len(swept) < len(found):
        raise LdregError(f"claims: base: {settings.base} leaves several runs at one {axis}: {_labels(found)}")
    return swept


def _base_value(values: Iterable[float], wanted: Any) -> float:
    """The value that `base` names, else the smallest."""
    ascending = sorted(values)
    return next((value for value in ascending if same(value, wanted)), ascending[0])


def _paper_swept(
    claim: Claim, context: Context, paper: Reported, settings: LedgerSettings
) -> dict[float, PaperRow]:
    where = settings.paper_at(claim.axis)
    where |= {"method": context.method, "backbone": context.backbone, "regularizer": settings.regularizer}
    rows = [row for row in paper.rows(**where) if claim.metric in row.values]
    return {getattr(row, claim.axis): row for row in sorted(rows, key=lambda row: getattr(row, claim.axis))}


def _paper_change(claim: Claim, reported: dict[float, PaperRow], settings: LedgerSettings) -> float | None:
    """The paper's largest change from its own base."""
    if len(reported) < 2:
        return None
    base = reported[_base_value(reported, (settings.paper_base or PAPER_BASE).get(claim.axis))]
    return max((difference(row, base, claim.metric) for row in reported.values()), key=abs)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(name(float(value)) for value in values)


def _pair(control: PaperRow, treated: PaperRow, metric: str) -> str:
    """'64.3 to 64.8, β 0.01, k 64'."""
    values = f"{printed(control.values[metric])} to {printed(treated.values[metric])}"
    return f"{values} with β {name(treated.beta)}, k {name(treated.k)}"


def _trend(claim: Claim, reported: dict[float, PaperRow]) -> str:
    """'64.8, 65.0, 64.25 at beta 0.01, 0.05, 0.1, in part read off the figure'."""
    if not reported:
        return ""
    values = ", ".join(printed(row.values[claim.metric]) for row in reported.values())
    drawn = any(claim.metric in row.approximate for row in reported.values())
    return f"{values} at {claim.axis} {_listed(reported)}{', in part read off the figure' if drawn else ''}"
