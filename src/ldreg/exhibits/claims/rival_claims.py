"""Claims that compare several settings: forms of LDReg, other regularisers, batch sizes, methods.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from ldreg.exhibits.claims.evidence import Evidence, gains, seeds
from ldreg.exhibits.claims.verdicts import NO_QUOTE, PAIRED, Quote, Results, above, below, within
from ldreg.exhibits.output.labels import METRICS, name, present, printed
from ldreg.exhibits.paper.reported import PaperRow, difference
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.stats.intervals import differences

# The methods of Figure 2 (a), over which the paper says that BYOL gains most.
FIGURE2 = ("simclr", "simclr_tuned", "byol", "mae")
ACROSS = "Across methods"


def forms_alike(evidence: Evidence, metric: str = "linear_top1") -> Results:
    """The L1 and the L2 form give the same accuracy, up to the margin, wherever both were run."""
    about, margin = METRICS[metric], evidence.settings.stability_margin
    paper = _rows(evidence, "table12")
    for context in evidence.contexts:
        pairs = _twins(evidence, context)
        changes = {label: gains(l2, l1, metric) for label, (l1, l2) in pairs.items()}
        if found := within(changes, margin, about.difference_unit):
            theirs = _gaps(paper(context, "ldreg_l2"), paper(context, "ldreg_l1"), metric, "k")
            quote = _quote(theirs, "at k ", farthest)
            quantity = f"{about.label} with the L2 form minus that with the L1 form"
            result = found.result_at("at ", quantity, about.difference_unit, quote, "the largest difference")
            yield context.label, result


def _twins(evidence: Evidence, context: Context) -> dict[str, tuple[Arm, Arm]]:
    """The L1 and L2 arms of equal beta and k."""
    return {
        f"β {name(l1.beta)}, k {name(l1.k)}": (l1, l2)
        for l1 in evidence.arms(context, "ldreg_l1")
        for l2 in evidence.arms(context, "ldreg_l2")
        if (l1.beta, l1.k, l1.extra) == (l2.beta, l2.k, l2.extra)
    }


def min_lid_lowers(evidence: Evidence, metric: str = "mlid") -> Results:
    """Min LID lowers a metric at every weight."""
    about, paper = METRICS[metric], _rows(evidence, "table13")
    for context in evidence.contexts:
        control, swept = context.control, evidence.swept(context, "min_lid", "beta")
        changes = {name(beta): gains(arm, control, metric) for beta, arm in swept.items()} if control else {}
        if found := below(changes):
            rows = [row for row in paper(context, "min_lid") if metric in row.values]
            (without,) = paper(context, "none") if rows else [None]
            theirs = {name(row.beta): difference(row, without, metric) for row in rows}
            where, quantity = "at beta ", f"{about.label} with Min LID minus that without"
            quote = _quote(theirs, where, max)
            result = found.result_at(where, quantity, about.difference_unit, quote, "the smallest fall")
            yield context.label, result


def helps_at_every_batch_size(evidence: Evidence, metric: str = "linear_top1") -> Results:
    """LDReg raises a metric at every batch size; k may grow with the batch size, as in the paper."""
    about, paper = METRICS[metric], _rows(evidence, "table14")
    for group in evidence.series("batch_size"):
        pairs = [(context, evidence.ldreg(context)) for context in group if context.control]
        by_size = {each.batch_size: gains(arm, each.control, metric) for each, arm in pairs if arm}
        ascending = {name(size): by_size[size] for size in sorted(by_size)}
        found = above(ascending) if len(ascending) > 1 else None
        if found:
            treated, without = (paper(group[0], kind) for kind in (evidence.settings.regularizer, "none"))
            where, quantity = "at batch size ", f"{about.label} with LDReg minus that without"
            quote = _quote(_gaps(treated, without, metric, "batch_size"), where, min)
            result = found.result_at(where, quantity, about.difference_unit, quote, "the smallest gain")
            yield group[0].label, result


def beats_global_terms(evidence: Evidence, metric: str) -> Results:
    """LDReg reaches more of a metric than no regulariser, and than Cov and Cov + Var at every weight."""
    about, paper = METRICS[metric], _rows(evidence, "table16")
    for context in evidence.contexts:
        terms = [arm for arm in context.treated if arm.regularizer in ("cov", "cov_var")]
        arm, control = evidence.ldreg(context), context.control
        if not terms or arm is None or control is None:
            continue
        leads = {rival.label: gains(arm, rival, metric) for rival in (control, *terms)}
        if found := above(leads):
            theirs = {
                _short(row): difference(ours, row, metric)
                for ours in paper(context, evidence.settings.regularizer)
                for kind in ("none", "cov", "cov_var")
                for row in paper(context, kind)
            }
            yield (
                context.label,
                found.result(
                    quantity=f"{about.label} with {arm.label} minus that with {found.at}",
                    unit=f"{about.difference_unit} over {found.at}",
                    test=f"{PAIRED} against {'; '.join(leads)}",
                    paper=_quote(theirs, "over ", min),
                    extreme="the smallest lead",
                ),
            )


def byol_gains_most(evidence: Evidence, metric: str = "mlid") -> Results:
    """LDReg raises BYOL's mLID by a larger factor than that of each other method of Figure 2."""
    usual = [pair for pair in evidence.pairs if not pair[0].extra]
    pairs = [(context, arm) for context, arm in usual if context.method in FIGURE2]
    risen = {context.label: _log_gains(arm, context.control, metric) for context, arm in pairs}
    byol = [context for context, _ in pairs if context.method == "byol"]
    others = [context for context, _ in pairs if context.method != "byol"]
    if len(byol) != 1 or not others:
        return
    leads = {other.label: differences(risen[byol[0].label], risen[other.label]) for other in others}
    if found := above(leads):
        yield (
            ACROSS,
            found.result(
                quantity=f"gain in ln(mLID) through LDReg for BYOL minus that for {found.at}",
                unit=f"in ln(mLID) over {found.at}",
                test=f"{PAIRED} against {'; '.join(leads)}, whose methods are those of Figure 2 (a)",
                paper=_factors_quote(_paper_factors(evidence, pairs, metric), byol[0].label),
                extreme="the smallest lead",
            ),
        )


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


def _rows(evidence: Evidence, table: str) -> Callable[[Context, str], list[PaperRow]]:
    """The paper's rows of one of its tables for a context's method and encoder, by regulariser."""
    paper = evidence.reported(table)

    def rows(context: Context, regularizer: str) -> list[PaperRow]:
        where = {"method": context.method, "backbone": context.backbone, "regularizer": regularizer}
        return paper.rows(**where)

    return rows


def _short(row: PaperRow) -> str:
    """A short name of a row's regulariser, such as 'Cov β 0.01'."""
    return f"{name(row.regularizer)} β {name(row.beta)}" if present(row.beta) else name(row.regularizer)


def farthest(gaps: Iterable[float]) -> float:
    """The gap that is farthest from 0."""
    return max(gaps, key=abs)


def _gaps(
    treated: Iterable[PaperRow], without: Iterable[PaperRow], metric: str, key: str
) -> dict[str, float | None]:
    """The paper's differences between rows that share a setting, by that setting."""
    return {
        name(getattr(row, key)): difference(row, other, metric)
        for row in treated
        for other in without
        if getattr(row, key) == getattr(other, key)
    }


def _quote(gaps: dict[str, float], where: str, worst: Callable[[Iterable[float]], float]) -> Quote:
    """The worst of the paper's gaps, and all of them: '+0.5 at batch size 512, +0.5 at batch size 1024'."""
    if not gaps:
        return NO_QUOTE
    words = ", ".join(f"{printed(gap, signed=True)} {where}{label}" for label, gap in gaps.items())
    return Quote(worst(gaps.values()), words)
