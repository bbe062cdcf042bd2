"""Claims that compare the methods of Figure 2 with each other.

Each function tests one kind of claim. It yields the label `ACROSS` and the result, if the runs are there.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from ldreg.exhibits.claims.evidence import Evidence, seeds, usual_contexts, value_of
from ldreg.exhibits.claims.verdicts import NO_QUOTE, PAIRED, Quote, Results, above
from ldreg.exhibits.output.labels import METRICS, name, printed, same
from ldreg.exhibits.paper.reported import difference
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.stats.intervals import differences

# The methods of Figure 2.
FIGURE2 = ("simclr", "simclr_tuned", "byol", "mae")
ACROSS = "Across methods"
LEAD = "{0} of {1} minus that of {2}"  # of a metric, between two methods
VIEWS = ("augmentation", "jitter", "views")  # the settings by which two methods see the same views
Gap = Callable[[pd.Series, pd.Series], pd.Series]  # of one method's numbers against another's, by seed


def byol_rank_highest(evidence: Evidence) -> Results:
    """Unregularised BYOL has the highest effective rank of Figure 2's methods."""
    yield from _stands_out(evidence, "byol", "effective_rank", differences, LEAD)


def byol_mlid_much_lower(evidence: Evidence) -> Results:
    """Unregularised BYOL's mLID is below that of each other method of Figure 2, by more than the margin."""
    words, margin = "by how much {0} of {1} is below that of {2}", evidence.settings.lower_margin
    yield from _stands_out(evidence, "byol", "mlid", _shortfall, words, "%", margin)


def mae_rank_lowest(evidence: Evidence) -> Results:
    """Unregularised MAE has the lowest effective rank of Figure 2's methods."""
    yield from _stands_out(evidence, "mae", "effective_rank", _lag, "{0} of {2} minus that of {1}")


def tuned_rank_below_byol(evidence: Evidence) -> Results:
    """Unregularised SimCLR-Tuned has a lower effective rank than BYOL, which sees the same views."""
    found = _of_figure2(evidence)
    tuned, byol = found.get("simclr_tuned"), found.get("byol")
    if tuned is None or byol is None or not _same_views(tuned, byol):
        return
    pair = {"byol": byol, "simclr_tuned": tuned}
    yield from _compared(evidence, "byol", pair, "effective_rank", differences, LEAD)


def byol_gains_most(evidence: Evidence, metric: str = "mlid") -> Results:
    """LDReg raises BYOL's mLID by a larger factor than that of each other method of Figure 2."""
    arms = {id(context): arm for context, arm in evidence.pairs}
    found = {key: each for key, each in _of_figure2(evidence).items() if id(each) in arms}
    byol = found.pop("byol", None)
    if byol is None or not found:
        return
    risen = {key: _log_gains(arms[id(each)], each.control, metric) for key, each in found.items()}
    own = _log_gains(arms[id(byol)], byol.control, metric)
    leads = {found[key].label: differences(own, each) for key, each in risen.items()}
    if decided := above(leads):
        pairs = [(each, arms[id(each)]) for each in (byol, *found.values())]
        yield (
            ACROSS,
            decided.result(
                quantity=f"gain in ln(mLID) through LDReg for BYOL minus that for {decided.at}",
                unit=f"in ln(mLID) over {decided.at}",
                test=f"{PAIRED} against {'; '.join(leads)}, whose methods are those of Figure 2",
                paper=_factors_quote(_paper_factors(evidence, pairs, metric), byol.label),
                extreme="the smallest lead",
            ),
        )


def _of_figure2(evidence: Evidence) -> dict[str, Context]:
    """The usual context of each method of Figure 2 that has unregularised runs.

    A method that was run on several encoders is taken on one that is not MAE's, as in the paper.
    """
    usual = [each for each in usual_contexts(evidence.contexts) if each.control]
    masked = {each.backbone for each in usual if each.method == "mae"}
    found = {}
    for method in FIGURE2:
        own = [each for each in usual if each.method == method]
        if own:
            found[method] = min(own, key=lambda each: each.backbone in masked)
    return found


def _same_views(one: Context, other: Context) -> bool:
    columns = [key for key in VIEWS if key in one.arms[0].runs]
    return all(same(value_of(one.arms[0], key), value_of(other.arms[0], key)) for key in columns)


def _stands_out(
    evidence: Evidence, method: str, metric: str, gap: Gap, words: str, unit: str = "", margin: float = 0.0
) -> Results:
    """One method of Figure 2 against each of the others, where it and another were run."""
    found = _of_figure2(evidence)
    if method in found and len(found) > 1:
        yield from _compared(evidence, method, found, metric, gap, words, unit, margin)


def _compared(
    evidence: Evidence,
    method: str,
    found: Mapping[str, Context],
    metric: str,
    gap: Gap,
    words: str,
    unit: str = "",
    margin: float = 0.0,
) -> Results:
    """The gap between one method and each other is above the margin.

    words: of the quantity, from the metric, the method and the other one.
    """
    levels = {key: seeds(each.control, metric) for key, each in found.items()}
    others = {each.label: key for key, each in found.items() if key != method}
    leads = {label: gap(levels[method], levels[key]) for label, key in others.items()}
    if decided := above(leads, bound=margin, unit=unit):
        quantity = words.format(METRICS[metric].label, name(method), decided.at)
        yield (
            ACROSS,
            decided.result(
                quantity=f"{quantity}, both unregularised",
                unit=f"{unit} against {decided.at}",
                test=f"{PAIRED} against {'; '.join(leads)}",
                paper=_gap_quote(evidence, method, found, metric, gap),
                extreme="the smallest lead",
            ),
        )


def _lag(own: pd.Series, other: pd.Series) -> pd.Series:
    """By how much one is below the other, for the seeds that both have."""
    return differences(other, own)


def _shortfall(own: pd.Series, other: pd.Series) -> pd.Series:
    """By how many per cent one is below the other, for the seeds that both have."""
    lower = differences(other, own)
    return 100 * lower / other.loc[lower.index]


def _gap_quote(evidence: Evidence, method: str, found: Mapping[str, Context], metric: str, gap: Gap) -> Quote:
    """The paper's smallest gap between one method and the others, and the numbers behind it."""
    rows = {key: evidence.reported_pairs.row(each.setting()) for key, each in found.items()}
    theirs = {key: row.values[metric] for key, row in rows.items() if row and metric in row.values}
    if method not in theirs or len(theirs) < 2:
        return NO_QUOTE
    own = pd.Series([theirs[method]])
    others = [pd.Series([value]) for key, value in theirs.items() if key != method]
    smallest = min(float(gap(own, other).iloc[0]) for other in others)
    words = ", ".join(f"{printed(value)} for {name(key)}" for key, value in theirs.items())
    return Quote(round(smallest, 1), words)


def _log_gains(arm: Arm, control: Arm, metric: str) -> pd.Series:
    """Gains in the logarithm of a metric, because the paper's distance also compares LIDs on a log scale."""
    return differences(np.log(seeds(arm, metric)), np.log(seeds(control, metric)))


def _paper_factors(evidence: Evidence, pairs: list[tuple[Context, Arm]], metric: str) -> dict[str, float]:
    """The factor by which LDReg raises the metric in the paper, for each context."""
    paper, factors = evidence.reported_pairs, {}
    for context, arm in pairs:
        control, treated = paper.row(context.setting()), paper.row(context.setting(arm))
        if difference(treated, control, metric) is not None:
            factors[context.label] = treated.values[metric] / control.values[metric]
    return factors


def _factors_quote(factors: dict[str, float], byol: str) -> Quote:
    """How much more BYOL gains in the paper than the next method, and by what factor mLID rises for each."""
    own = factors.get(byol)
    others = {label: factor for label, factor in factors.items() if label != byol}
    if not own or not others:
        return NO_QUOTE
    words = [f"mLID is {own:.2f} times as high for BYOL"]
    words += [f"{factor:.2f} times for {label}" for label, factor in others.items()]
    return Quote(round(min(math.log(own / factor) for factor in others.values()), 2), "; ".join(words))
