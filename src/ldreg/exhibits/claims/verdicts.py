"""From per-seed differences to a verdict: when a claim is supported, contradicted, or cannot be decided.

A claim about several settings at once (every batch size, each rival) is supported when the interval of every
setting says so. This needs no adjustment, since several tests are all wrong no more often than one is. A
single setting can contradict it, so the intervals are then adjusted for the number of settings (Bonferroni).
For a claim about at least one of several settings it is the other way round.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd

from ldreg.exhibits.output.labels import name
from ldreg.exhibits.stats.intervals import LEVEL, Estimate, t_interval

ONE_SEED = "inconclusive (1 seed)"
ALL_EQUAL = "inconclusive (equal in all seeds)"
PAIRED = "paired t-interval over seeds"
SEVERAL = "(at a level adjusted for the number of intervals)"


class Quote(NamedTuple):
    """The paper's number for a quantity, and in words the printed numbers that it is computed from."""

    value: float | None = None
    words: str = ""


NO_QUOTE = Quote()


@dataclass(frozen=True)
class Result:
    """The result of a test: the estimated quantity, the verdict, and the paper's own number."""

    quantity: str
    unit: str
    test: str
    estimate: Estimate
    verdict: str
    paper: Quote = NO_QUOTE


Results = Iterator[tuple[str, Result]]  # each result with the label of its context


@dataclass(frozen=True)
class Decision:
    """A verdict, the rule that gave it, and the estimate that decided it.

    tried: all settings of a claim about several. at: the setting of the estimate, which is the one that
    speaks most against the claim.
    """

    verdict: str
    rule: str
    estimate: Estimate
    at: str = ""
    tried: tuple[str, ...] = ()

    def result(
        self,
        quantity: str,
        unit: str,
        test: str,
        paper: Quote = NO_QUOTE,
        extreme: str = "",
        remark: str = "",
    ) -> Result:
        """The result of the test that led to this decision.

        Args:
            quantity: what is estimated, with the setting `at` where there are several.
            unit: the unit of the estimate, which names the setting `at` too.
            test: how the interval was found; the rule of the decision is added, and then the `remark`.
            paper: what the paper has for the quantity.
            extreme: what distinguishes the setting `at` from the others, such as "the smallest gain". A
                setting that contradicts the claim is described as such instead.
        """
        if extreme:
            quantity += f" ({'which contradicts' if self.verdict == 'contradicted' else extreme})"
        words = "; ".join(filter(None, (test, self.rule, remark)))
        return Result(quantity, unit.strip(), words, self.estimate, self.verdict, paper)

    def result_at(self, where: str, quantity: str, unit: str, paper: Quote, extreme: str) -> Result:
        """The result of a claim that is tested, paired by seed, at each of several values of one setting.

        where: the words before a value, such as "at beta ".
        """
        at = f"{where}{self.at}"
        values = ("; " if any("," in value for value in self.tried) else ", ").join(self.tried)
        return self.result(f"{quantity}, {at}", f"{unit} {at}", f"{PAIRED} {where}{values}", paper, extreme)


def verdict(estimate: Estimate, bound: float, equal_decides: bool = False) -> str:
    """Decide by the interval whether a quantity is above `bound`. Without an interval nothing is decided.

    equal_decides: whether an interval without width decides too, as where a quantity is the same in every
    seed because the claim is true.

    >>> [verdict(Estimate(0.0, low, high, 3), 0.0) for low, high in ((0.1, 0.9), (-0.9, -0.1), (-0.1, 0.9))]
    ['supported', 'contradicted', 'inconclusive']
    >>> verdict(Estimate(0.4, None, None, 1), 0.0), verdict(Estimate(0.4, 0.4, 0.4, 3), 0.0)
    ('inconclusive (1 seed)', 'inconclusive (equal in all seeds)')
    """
    reason = _undecided(estimate)
    if reason and not (reason == ALL_EQUAL and equal_decides):
        return reason
    if estimate.low > bound:
        return "supported"
    return "contradicted" if estimate.high < bound else "inconclusive"


def _undecided(estimate: Estimate) -> str:
    """Why an estimate cannot decide anything; '' where it can.

    Differences of accuracies are multiples of one test image, so those of a few seeds are sometimes all
    equal. Their interval has no width and would claim certainty.
    """
    if estimate.low is None:
        return ONE_SEED
    alike = math.isclose(estimate.low, estimate.high, rel_tol=1e-9, abs_tol=1e-12)
    return ALL_EQUAL if alike else ""


def negative(estimate: Estimate) -> Estimate:
    """The estimate of the quantity with its sign changed."""
    if estimate.low is None:
        return Estimate(-estimate.mean, None, None, estimate.n)
    return Estimate(-estimate.mean, -estimate.high, -estimate.low, estimate.n)


def one_above(estimate: Estimate, bound: float = 0.0, unit: str = "") -> Decision:
    """Decide whether one quantity is above `bound`, a number in `unit`."""
    return Decision(verdict(estimate, bound), _one_sided("above", "below", bound, unit), estimate)


def one_below(
    estimate: Estimate, bound: float = 0.0, unit: str = "", equal_decides: bool = False
) -> Decision:
    """Decide whether one quantity is below `bound`, a number in `unit`; `equal_decides` as in `verdict`."""
    found = verdict(negative(estimate), -bound, equal_decides)
    return Decision(found, _one_sided("below", "above", bound, unit), estimate)


def _one_sided(side: str, other: str, bound: float, unit: str) -> str:
    words = f"{name(bound)} {unit}".strip() if bound else "0"
    return f"supported if the interval lies {side} {words}, contradicted if {other}"


def above(
    values: Mapping[str, pd.Series],
    each: str = "every interval lies",
    bound: float = 0.0,
    unit: str = "",
) -> Decision | None:
    """Decide whether the quantity of every setting is above `bound`; None if one has no value.

    values: a Series over seeds for each setting. each: the words of the rule for all intervals. bound: a
    number in `unit`.
    """
    found = _intervals(values)
    if found is None:
        return None
    plain, wide = found
    against = [at for at in plain if verdict(wide[at], bound) == "contradicted"]
    worst = min(against or plain, key=lambda at: plain[at].mean)
    words = f"{name(bound)} {unit}".strip() if bound else "0"
    rule = f"supported if {each} above {words}, contradicted if one lies below {SEVERAL}"
    joint = _joint(plain, bool(against), lambda one: one.low > bound)
    return Decision(joint, rule, plain[worst], worst, tuple(plain))


def below(values: Mapping[str, pd.Series]) -> Decision | None:
    """Decide whether the quantity of every setting is below 0; None if one has no value."""
    found = above({at: -series for at, series in values.items()})
    if found is None:
        return None
    rule = f"supported if every interval lies below 0, contradicted if one lies above {SEVERAL}"
    return replace(found, rule=rule, estimate=negative(found.estimate))


def some_above(values: Mapping[str, pd.Series]) -> Decision | None:
    """Decide whether the quantity of at least one setting is above 0; None if one has no value.

    The opposite is that the quantity of every setting is below 0. The setting of the estimate is the best for
    the claim.
    """
    found = below(values)
    if found is None:
        return None
    opposite = {"supported": "contradicted", "contradicted": "supported"}
    rule = f"supported if one interval lies above 0 {SEVERAL}, contradicted if every interval lies below"
    return replace(found, verdict=opposite.get(found.verdict, found.verdict), rule=rule)


def within(values: Mapping[str, pd.Series], margin: float, unit: str = "") -> Decision | None:
    """Decide whether the quantity of every setting is within +-`margin`; None if one has no value."""
    found = _intervals(values)
    if found is None:
        return None
    plain, wide = found
    against = [at for at in plain if _outside(wide[at], margin)]
    worst = max(against or plain, key=lambda at: abs(plain[at].mean))
    inside = _joint(plain, bool(against), lambda each: -margin < each.low and each.high < margin)
    words = f"±{name(margin)} {unit}".strip()
    rule = f"supported if every interval lies within {words}, contradicted if one lies outside {SEVERAL}"
    return Decision(inside, rule, plain[worst], worst, tuple(plain))


def _outside(estimate: Estimate, margin: float) -> bool:
    return not _undecided(estimate) and (estimate.low > margin or estimate.high < -margin)


def _intervals(values: Mapping[str, pd.Series]) -> tuple[dict[str, Estimate], dict[str, Estimate]] | None:
    """Each setting's interval, at the usual level and at the level adjusted for the number of settings."""
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
