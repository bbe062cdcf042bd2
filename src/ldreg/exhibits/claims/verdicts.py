"""From per-seed differences to a verdict: when a claim is supported, contradicted, or cannot be decided.

A claim about several settings at once (every batch size, each rival) is supported when every plain interval
says so: that needs no adjustment, since all of several tests are wrong no more often than one is. It is
contradicted by any one setting, whose interval is adjusted for how many there are (Bonferroni).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from ldreg.exhibits.stats.intervals import LEVEL, Estimate, t_interval

ONE_SEED = "inconclusive (1 seed)"
ALL_EQUAL = "inconclusive (equal in all seeds)"
SEVERAL = "(at a level adjusted for their number)"


@dataclass(frozen=True)
class Result:
    """What a test gave: the estimated quantity, the verdict, and the paper's own number for it."""

    quantity: str
    unit: str
    test: str
    estimate: Estimate
    verdict: str
    paper: float | None = None
    paper_values: str = ""  # the numbers behind `paper`


@dataclass(frozen=True)
class Decision:
    """A verdict, the setting that it hangs on (the worst for the claim), and the estimate there."""

    verdict: str
    at: str
    estimate: Estimate

    def named(self, extreme: str) -> str:
        """What the setting is: the `extreme` of all, unless another one is that which contradicts."""
        return "which contradicts" if self.verdict == "contradicted" else extreme


def verdict(estimate: Estimate, bound: float) -> str:
    """Whether a quantity is above `bound`, by its interval; without an interval nothing is decided.

    >>> [verdict(Estimate(0.0, low, high, 3), 0.0) for low, high in ((0.1, 0.9), (-0.9, -0.1), (-0.1, 0.9))]
    ['supported', 'contradicted', 'inconclusive']
    >>> verdict(Estimate(0.4, None, None, 1), 0.0), verdict(Estimate(0.4, 0.4, 0.4, 3), 0.0)
    ('inconclusive (1 seed)', 'inconclusive (equal in all seeds)')
    """
    if reason := _undecided(estimate):
        return reason
    if estimate.low > bound:
        return "supported"
    return "contradicted" if estimate.high < bound else "inconclusive"


def _undecided(estimate: Estimate) -> str:
    """Why an estimate decides nothing, '' if it may.

    Differences of accuracies are multiples of one test image, so those of a few seeds are at times all equal;
    an interval without width would then claim to be certain.
    """
    if estimate.low is None:
        return ONE_SEED
    alike = math.isclose(estimate.low, estimate.high, rel_tol=1e-9, abs_tol=1e-12)
    return ALL_EQUAL if alike else ""


def negative(estimate: Estimate) -> Estimate:
    """The same of the quantity with its sign changed."""
    if estimate.low is None:
        return Estimate(-estimate.mean, None, None, estimate.n)
    return Estimate(-estimate.mean, -estimate.high, -estimate.low, estimate.n)


def above(values: Mapping[str, pd.Series], bound: float = 0.0) -> Decision | None:
    """Whether every setting's quantity, a value for each seed, is above `bound`; None if one has no value."""
    found = _intervals(values)
    if found is None:
        return None
    plain, wide = found
    against = [at for at in plain if verdict(wide[at], bound) == "contradicted"]
    worst = min(against or plain, key=lambda at: plain[at].mean)
    return Decision(_joint(plain, bool(against), lambda each: each.low > bound), worst, plain[worst])


def within(values: Mapping[str, pd.Series], margin: float) -> Decision | None:
    """Whether every setting's quantity is within +-`margin`; None if one has no value."""
    found = _intervals(values)
    if found is None:
        return None
    plain, wide = found
    against = [at for at in plain if _outside(wide[at], margin)]
    worst = max(against or plain, key=lambda at: abs(plain[at].mean))
    inside = _joint(plain, bool(against), lambda each: -margin < each.low and each.high < margin)
    return Decision(inside, worst, plain[worst])


def _outside(estimate: Estimate, margin: float) -> bool:
    return not _undecided(estimate) and (estimate.low > margin or estimate.high < -margin)


def _intervals(values: Mapping[str, pd.Series]) -> tuple[dict[str, Estimate], dict[str, Estimate]] | None:
    """Each setting's interval at the usual level and at that adjusted for their number."""
    if not values or any(series.empty for series in values.values()):
        return None
    levels = (LEVEL, 1 - (1 - LEVEL) / len(values))
    plain, wide = ({at: t_interval(series, level) for at, series in values.items()} for level in levels)
    return plain, wide


def _joint(plain: Mapping[str, Estimate], contradicted: bool, agrees: Callable[[Estimate], bool]) -> str:
    """The verdict on all settings together."""
    if contradicted:
        return "contradicted"
    reasons = {at: _undecided(estimate) for at, estimate in plain.items()}
    if ONE_SEED in reasons.values():
        return ONE_SEED
    if not all(agrees(estimate) for at, estimate in plain.items() if not reasons[at]):
        return "inconclusive"
    return ALL_EQUAL if ALL_EQUAL in reasons.values() else "supported"
