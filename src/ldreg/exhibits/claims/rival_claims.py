"""Claims that compare several settings: forms of LDReg, other regularisers, batch sizes, lengths of training.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

from collections.abc import Callable, Iterable

from ldreg.exhibits.claims.evidence import Evidence, differing, gains, usual_contexts
from ldreg.exhibits.claims.verdicts import (
    NO_QUOTE,
    PAIRED,
    Quote,
    Results,
    above,
    below,
    one_above,
    some_above,
    within,
)
from ldreg.exhibits.output.labels import METRICS, name, present, printed
from ldreg.exhibits.paper.reported import PaperRow, difference
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.stats.intervals import differences, t_interval

GLOBAL_TERMS = ("cov", "cov_var")


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
        terms = [arm for arm in context.treated if arm.regularizer in GLOBAL_TERMS]
        arm, control = evidence.ldreg(context), context.control
        if not terms or arm is None or control is None:
            continue
        leads = {rival.label: gains(arm, rival, metric) for rival in (control, *terms)}
        if found := above(leads):
            theirs = {
                _short(row): difference(ours, row, metric)
                for ours in paper(context, evidence.settings.regularizer)
                for kind in ("none", *GLOBAL_TERMS)
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


def global_terms_raise_rank(evidence: Evidence, metric: str = "effective_rank") -> Results:
    """Cov or Cov + Var raises a metric at one of its weights at least."""
    about, paper = METRICS[metric], _rows(evidence, "table16")
    for context in evidence.contexts:
        terms = [arm for arm in context.treated if arm.regularizer in GLOBAL_TERMS]
        changes = {arm.label: gains(arm, context.control, metric) for arm in terms} if context.control else {}
        if found := some_above(changes):
            rows = [row for kind in GLOBAL_TERMS for row in paper(context, kind)]
            (without,) = paper(context, "none") if rows else [None]
            theirs = {_short(row): difference(row, without, metric) for row in rows}
            yield (
                context.label,
                found.result(
                    quantity=f"{about.label} with {found.at} minus that without",
                    unit=f"{about.difference_unit} by {found.at}",
                    test=f"{PAIRED} of {'; '.join(changes)} against none",
                    paper=_quote(theirs, "by ", max),
                    extreme="the largest gain",
                ),
            )


def longer_gains_more(evidence: Evidence, metric: str = "linear_top1") -> Results:
    """LDReg raises a metric more in the longest training than in the shortest."""
    about = METRICS[metric]
    for usual in usual_contexts(evidence.contexts):
        group = [usual, *(each for each in evidence.contexts if _longer(usual, each))]
        pairs = [(each, evidence.ldreg(each)) for each in group if each.control]
        by_epochs = {each.epochs: gains(arm, each.control, metric) for each, arm in pairs if arm}
        if len(by_epochs) < 2:
            continue
        shortest, longest = min(by_epochs), max(by_epochs)
        if more := t_interval(differences(by_epochs[longest], by_epochs[shortest])):
            places = f"in {name(longest)} epochs minus that in {name(shortest)}"
            quantity, quote = f"{about.label}, gain by LDReg {places}", _longer_quote(evidence, usual, metric)
            yield usual.label, one_above(more).result(quantity, about.difference_unit, PAIRED, quote)


def _longer_quote(evidence: Evidence, usual: Context, metric: str) -> Quote:
    """The paper's gain in its longest training minus that in its shortest, and both gains."""
    paper = _rows(evidence, "table2")
    theirs = _gaps(paper(usual, evidence.settings.regularizer), paper(usual, "none"), metric, "epochs")
    if len(theirs) < 2:
        return NO_QUOTE
    shortest, *_, longest = sorted(theirs, key=float)
    words = ", ".join(f"{printed(gap, signed=True)} at {epochs} epochs" for epochs, gap in theirs.items())
    return Quote(round(theirs[longest] - theirs[shortest], 2), words)


def _longer(usual: Context, other: Context) -> bool:
    """Whether two contexts differ in how long they trained, and else at most in their batches."""
    keys = set(differing(usual, other))
    return "epochs" in keys and keys <= {"epochs", "warmup_epochs", "batch_size"}


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
