"""Claims that set one thing against several: forms of LDReg, other regularisers, batch sizes, methods.

Each function tests one kind of claim and returns what it found where it could: (context label, result) pairs.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from ldreg.exhibits.claims.evidence import Evidence, gains, seeds
from ldreg.exhibits.claims.pair_claims import PAIRED, Results
from ldreg.exhibits.claims.verdicts import SEVERAL, Result, above, negative, within
from ldreg.exhibits.output.labels import METRICS, name, present, printed
from ldreg.exhibits.paper.reported import PaperRow, difference
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.stats.intervals import differences

# The methods of Figure 2 (a), over which the paper says that BYOL gains most.
FIGURE2 = ("simclr", "simclr_tuned", "byol", "mae")
ACROSS = "Across methods"
EACH_ABOVE = f"supported if every interval lies above 0, contradicted if one lies below {SEVERAL}"


def forms_alike(evidence: Evidence, metric: str = "linear_top1") -> Results:
    """The L1 and the L2 form give the same accuracy, up to the margin, wherever both were run."""
    about, margin, results = METRICS[metric], evidence.settings.stability_margin, []
    paper = _rows(evidence, "table12")
    for context in evidence.contexts:
        pairs = _twins(evidence, context)
        found = within({label: gains(l2, l1, metric) for label, (l1, l2) in pairs.items()}, margin)
        if found is None:
            continue
        theirs = {
            row.k: difference(row, other, metric)
            for row in paper(context, "ldreg_l2")
            for other in paper(context, "ldreg_l1")
            if row.k == other.k
        }
        result = Result(
            quantity=f"{about.label}, L2 minus L1, at {found.at} ({found.named('the largest difference')})",
            unit=f"{about.difference_unit} at {found.at}",
            test=f"{PAIRED} at {'; '.join(pairs)}; supported if every interval lies within ±{name(margin)} "
            f"{about.difference_unit}, contradicted if one lies outside {SEVERAL}",
            estimate=found.estimate,
            verdict=found.verdict,
            paper=max(theirs.values(), key=abs) if theirs else None,
            paper_values=", ".join(
                f"{printed(gap, signed=True)} at k {name(k)}" for k, gap in theirs.items()
            ),
        )
        results.append((context.label, result))
    return results


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
    results, paper = [], _rows(evidence, "table13")
    for context in evidence.contexts:
        control, swept = context.control, evidence.swept(context, "min_lid", "beta")
        drops = {name(beta): gains(control, arm, metric) for beta, arm in swept.items()} if control else {}
        found = above(drops)
        if found is None:
            continue
        rows = [row for row in paper(context, "min_lid") if metric in row.values]
        theirs = {name(row.beta): difference(row, *paper(context, "none"), metric) for row in rows}
        result = Result(
            quantity=f"{METRICS[metric].label}, Min LID minus none, at beta {found.at} "
            f"({found.named('the smallest fall')})",
            unit=f"{METRICS[metric].difference_unit} at beta {found.at}".strip(),
            test=f"{PAIRED} at beta {', '.join(drops)}; supported if every interval lies below 0, "
            f"contradicted if one lies above {SEVERAL}",
            estimate=negative(found.estimate),
            verdict=found.verdict,
            paper=max(theirs.values(), default=None),
            paper_values=_list(theirs, "at beta "),
        )
        results.append((context.label, result))
    return results


def helps_at_every_batch_size(evidence: Evidence, metric: str = "linear_top1") -> Results:
    """LDReg raises a metric at every batch size, with the k that each has."""
    about, results, paper = METRICS[metric], [], _rows(evidence, "table14")
    for group in evidence.series("batch_size"):
        pairs = [(context, evidence.ldreg(context)) for context in group if context.control]
        found = {
            context.batch_size: gains(arm, context.control, metric)
            for context, arm in pairs
            if arm is not None
        }
        ascending = {name(size): found[size] for size in sorted(found)}
        decided = above(ascending) if len(ascending) > 1 else None
        if decided is None:
            continue
        theirs = {
            name(row.batch_size): difference(row, other, metric)
            for row in paper(group[0], evidence.settings.regularizer)
            for other in paper(group[0], "none")
            if row.batch_size == other.batch_size
        }
        result = Result(
            quantity=f"{about.label}, LDReg minus none, at batch size {decided.at} "
            f"({decided.named('the smallest gain')})",
            unit=f"{about.difference_unit} at batch size {decided.at}",
            test=f"{PAIRED} at batch size {', '.join(ascending)}; {EACH_ABOVE}",
            estimate=decided.estimate,
            verdict=decided.verdict,
            paper=min(theirs.values(), default=None),
            paper_values=_list(theirs, "at batch size "),
        )
        results.append((group[0].label, result))
    return results


def beats_global_terms(evidence: Evidence, metric: str) -> Results:
    """LDReg has more of a metric than no regulariser, and than Cov and Cov + Var at every weight."""
    about, results, paper = METRICS[metric], [], _rows(evidence, "table16")
    for context in evidence.contexts:
        terms = [arm for arm in context.treated if arm.regularizer in ("cov", "cov_var")]
        arm, control = evidence.ldreg(context), context.control
        if not terms or arm is None or control is None:
            continue
        leads = {rival.label: gains(arm, rival, metric) for rival in (control, *terms)}
        found = above(leads)
        if found is None:
            continue
        rows = [row for kind in ("none", "cov", "cov_var") for row in paper(context, kind)]
        theirs = {
            _short(row): difference(ours, row, metric)
            for ours in paper(context, evidence.settings.regularizer)
            for row in rows
        }
        result = Result(
            quantity=f"{about.label}, {arm.label} minus {found.at} ({found.named('the smallest lead')})",
            unit=f"{about.difference_unit} over {found.at}".strip(),
            test=f"{PAIRED} against {'; '.join(leads)}; {EACH_ABOVE}",
            estimate=found.estimate,
            verdict=found.verdict,
            paper=min(theirs.values(), default=None),
            paper_values=_list(theirs, "over "),
        )
        results.append((context.label, result))
    return results


def byol_gains_most(evidence: Evidence, metric: str = "mlid") -> Results:
    """LDReg raises BYOL's mLID by a larger factor than that of each other method of Figure 2."""
    usual = [pair for pair in evidence.pairs if not pair[0].extra]
    pairs = [(context, arm) for context, arm in usual if context.method in FIGURE2]
    risen = {context.label: _log_gains(arm, context.control, metric) for context, arm in pairs}
    byol = [context for context, _ in pairs if context.method == "byol"]
    others = [context for context, _ in pairs if context.method != "byol"]
    if len(byol) != 1 or not others:
        return []
    leads = {other.label: differences(risen[byol[0].label], risen[other.label]) for other in others}
    found = above(leads)
    if found is None:
        return []
    factors = _paper_factors(evidence, pairs, metric)
    own = factors.pop(byol[0].label, None)
    theirs = {label: math.log(own / factor) for label, factor in factors.items()} if own else {}
    result = Result(
        quantity=f"gain in the logarithm of mLID by LDReg, of BYOL minus that of {found.at} "
        f"({found.named('the closest')})",
        unit=f"in ln(mLID) over {found.at}",
        test=f"{PAIRED} against {'; '.join(leads)}, whose methods are those of Figure 2 (a); {EACH_ABOVE}",
        estimate=found.estimate,
        verdict=found.verdict,
        paper=round(min(theirs.values()), 2) if theirs else None,
        paper_values=_factors({"BYOL": own} | factors) if theirs else "",
    )
    return [(ACROSS, result)]


def _log_gains(arm: Arm, control: Arm, metric: str) -> pd.Series:
    """LIDs are compared on a log scale, as the paper's distance does."""
    return differences(np.log(seeds(arm, metric)), np.log(seeds(control, metric)))


def _paper_factors(evidence: Evidence, pairs: list[tuple[Context, Arm]], metric: str) -> dict[str, float]:
    """By what factor the paper's metric is higher with LDReg."""
    paper, factors = evidence.reported_pairs, {}
    for context, arm in pairs:
        control, treated = paper.row(context.setting()), paper.row(context.setting(arm))
        if difference(treated, control, metric) is not None:
            factors[context.label] = treated.values[metric] / control.values[metric]
    return factors


def _factors(factors: dict[str, float]) -> str:
    """'mLID is 1.40 times as high for BYOL, 1.06 times for SimCLR, small CNN'."""
    (first, *others) = (f"{factor:.2f} times {{}}for {label}" for label, factor in factors.items())
    return "; ".join([f"mLID is {first.format('as high ')}", *(each.format("") for each in others)])


def _rows(evidence: Evidence, table: str) -> Callable[[Context, str], list[PaperRow]]:
    """The paper's rows of one of its tables for a context's method and encoder, by regulariser."""
    paper = evidence.reported(table)

    def rows(context: Context, regularizer: str) -> list[PaperRow]:
        where = {"method": context.method, "backbone": context.backbone, "regularizer": regularizer}
        return paper.rows(**where)

    return rows


def _short(row: PaperRow) -> str:
    """'Cov β 0.01'."""
    return f"{name(row.regularizer)} β {name(row.beta)}" if present(row.beta) else name(row.regularizer)


def _list(gaps: dict[str, float], where: str) -> str:
    """'+0.5 at batch size 512, +0.5 at batch size 1024'."""
    return ", ".join(f"{printed(gap, signed=True)} {where}{label}" for label, gap in gaps.items())
