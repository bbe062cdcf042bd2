"""Claims that compare LDReg with the same method without it: metrics, cost, transfer.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

from pathlib import Path
from statistics import fmean

from ldreg.errors import LdregError
from ldreg.exhibits.claims.evidence import Evidence, gains
from ldreg.exhibits.claims.verdicts import (
    NO_QUOTE,
    PAIRED,
    Quote,
    Results,
    above,
    one_above,
    one_below,
)
from ldreg.exhibits.output.labels import METRICS, listed, name, printed
from ldreg.exhibits.paper.reported import (
    HOURS,
    DetectionReported,
    PaperRow,
    Reported,
    TransferReported,
    difference,
)
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.runs.execution import change, percent
from ldreg.exhibits.runs.step_costs import FILE, read_step_cost
from ldreg.exhibits.stats.intervals import Estimate, t_interval

# How the cost in time is tested: by single steps, or by the wall-clock time of whole runs.
BY_STEPS = (
    "both kinds of step are timed by turns in one process: the median change in per cent for each seed, then "
    "the t-interval over seeds"
)
BY_WALL_CLOCK = f"{PAIRED} of the change in per cent, from pairs that were executed alike"
SHARED_MACHINE = (
    "runs that share a machine with other jobs slow each other down, and their files do not record this"
)


def raises(evidence: Evidence, metric: str, keeps: bool = False) -> Results:
    """LDReg raises a metric or, with `keeps`, lowers it by less than the accuracy margin, if at all."""
    about = METRICS[metric]
    margin = evidence.settings.accuracy_margin if keeps else 0.0
    unit, paper = about.difference_unit, evidence.reported_pairs
    for context, arm in evidence.pairs:
        if estimate := t_interval(gains(arm, context.control, metric)):
            quote = _gain_quote(*_paper_pair(paper, context, arm), metric)
            decision = one_above(estimate, -margin, unit)
            quantity = f"{about.label} with {arm.label} minus that without"
            yield context.label, decision.result(quantity, unit, PAIRED, quote)


def costs_no_time(evidence: Evidence) -> Results:
    """Pretraining with LDReg takes hardly longer: the interval's upper end is below the margin.

    The test uses the time of a step where steps with and without LDReg were timed in one process, and
    otherwise the wall-clock time of whole runs.
    """
    paper = evidence.reported("table4")
    for context, arm in evidence.pairs:
        if estimate := _step_changes(arm, evidence.settings.timed):
            timed, test, remark = "time of a training step", BY_STEPS, "the paper compares wall-clock times"
        elif estimate := change(arm, context.control, "wall_seconds"):
            timed, test, remark = "wall-clock time of pretraining", BY_WALL_CLOCK, SHARED_MACHINE
        else:
            continue
        decision = one_below(estimate, evidence.settings.time_margin, "%")
        quote = _hours_quote(*_paper_pair(paper, context, arm))
        quantity = f"change in the {timed} with {arm.label}"
        yield context.label, decision.result(quantity, "%", test, quote, remark=remark)


def _step_changes(arm: Arm, timed: tuple[str, ...]) -> Estimate | None:
    """The change of a step's time in per cent over the arm's runs; None where no run was timed so."""
    folders = [Path(folder) for folder in arm.runs["folder"] if folder in timed]
    costs = [read_step_cost(folder) for folder in folders if (folder / FILE).is_file()]
    return t_interval([percent(cost["ratio"], 1.0) for cost in costs])


def transfers_better(evidence: Evidence) -> Results:
    """Accuracy on other data sets rises, on average over those that were available."""
    arms = [arm.runs for context in evidence.contexts for arm in context.arms]
    available = {sets for runs in arms for sets in runs["transfer_sets"][runs["transfer"].notna()]}
    if len(available) > 1:
        found = " and ".join(listed(sets) or "none" for sets in sorted(available))
        raise LdregError(
            f"claims: transfer: runs were tested on different data sets ({found}); run all again"
        )
    paper = evidence.reported("table2", kind=TransferReported)
    for context, arm in evidence.pairs:
        if estimate := t_interval(gains(arm, context.control, "transfer")):
            where = f"accuracy on other data sets ({listed(*available)}), their mean"
            quantity = f"{where}, with {arm.label} minus that without"
            quote = _outcome_quote(evidence, paper, context)
            yield context.label, one_above(estimate).result(quantity, "points", PAIRED, quote)


def detects_better(evidence: Evidence) -> Results:
    """Average precision of boxes and of masks rises."""
    paper, metrics = evidence.reported("table3", kind=DetectionReported), ("box_ap", "mask_ap")
    for context, arm in evidence.pairs:
        changes = {metric: gains(arm, context.control, metric) for metric in metrics}
        if found := above(changes, "both intervals lie"):
            kind = found.at.removesuffix("_ap")
            yield (
                context.label,
                found.result(
                    quantity=f"average precision of {kind} in detection with {arm.label} minus that without",
                    unit="points",
                    test=PAIRED,
                    paper=_outcome_quote(evidence, paper, context, metrics),
                    extreme="the smaller gain",
                ),
            )


def _outcome_quote(
    evidence: Evidence, paper: Reported, context: Context, metrics: tuple[str, ...] = ()
) -> Quote:
    """The paper's smallest gain in `metrics` or, where none are named, its mean gain over its data sets.

    At scales other than the paper's, our runs are compared with its usual, shorter training.
    """
    rows = paper.rows(method=context.method, backbone=context.backbone)
    trained = sorted({row.epochs for row in rows})
    if evidence.settings.scale_of_paper:
        trained = [epochs for epochs in trained if epochs == context.epochs]
    rows = [row for row in rows if row.epochs in trained[:1]]
    control = next((row for row in rows if row.regularizer == "none"), None)
    treated = next((row for row in rows if row.regularizer != "none"), None)
    if control is None or treated is None:
        return NO_QUOTE
    theirs = {key: difference(treated, control, key) for key in metrics or control.values}
    value = min(theirs.values()) if metrics else round(fmean(theirs.values()), 2)
    each = (f"{name(key.removesuffix('_ap'))} {printed(gain, signed=True)}" for key, gain in theirs.items())
    return Quote(value, f"{', '.join(each)}; {name(control.epochs)} epochs")


def _paper_pair(paper: Reported, context: Context, arm: Arm) -> tuple[PaperRow | None, PaperRow | None]:
    """The paper's rows for an arm's unregularised runs and for the arm."""
    return paper.row(context.setting()), paper.row(context.setting(arm))


def _gain_quote(control: PaperRow | None, treated: PaperRow | None, metric: str) -> Quote:
    """The paper's gain and the levels behind it: +0.5, '64.3 to 64.8 with β 0.01, k 64'."""
    gain = difference(treated, control, metric)
    if gain is None:
        return NO_QUOTE
    values = f"{printed(control.values[metric])} to {printed(treated.values[metric])}"
    return Quote(gain, f"{values} with β {name(treated.beta)}, k {name(treated.k)}")


def _hours_quote(control: PaperRow | None, treated: PaperRow | None) -> Quote:
    """The change of the paper's hours in per cent, and the hours: -2.5, '27.8 h to 27.1 h'."""
    if control is None or treated is None:
        return NO_QUOTE
    before, after = control.values[HOURS], treated.values[HOURS]
    return Quote(round(percent(after, before), 1), f"{printed(before)} h to {printed(after)} h")
