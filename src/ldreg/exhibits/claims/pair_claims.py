"""Claims about LDReg against the same method without it, context by context: results, course, cost, transfer.

Each function tests one kind of claim and returns what it found where it could: (context label, result) pairs.
"""

from pathlib import Path
from statistics import fmean

from ldreg.errors import LdregError
from ldreg.exhibits.claims.evidence import MONITOR, Evidence, gains, seeds
from ldreg.exhibits.claims.verdicts import ONE_SEED, SEVERAL, Result, above, negative, verdict
from ldreg.exhibits.output.estimates import effect
from ldreg.exhibits.output.labels import METRICS, Metric, listed, name, printed
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

Results = list[tuple[str, Result]]
PAIRED = "paired t over seeds"


def raises(evidence: Evidence, metric: str, keeps: bool = False) -> Results:
    """LDReg raises a metric; or `keeps` accuracy, that is, lowers it by less than the margin."""
    about = METRICS[metric]
    margin = evidence.settings.accuracy_margin if keeps else 0.0
    bound = f"-{name(margin)} {about.difference_unit}" if margin else "0"
    paper, results = evidence.reported_pairs, []
    for context, arm in evidence.pairs:
        estimate = t_interval(gains(arm, context.control, metric))
        if estimate is None:
            continue
        control, treated = paper.row(context.setting()), paper.row(context.setting(arm))
        theirs = difference(treated, control, metric)
        result = Result(
            quantity=f"{about.label}, {arm.label} minus none",
            unit=about.difference_unit,
            test=f"{PAIRED}; supported if the interval lies above {bound}, contradicted if below",
            estimate=estimate,
            verdict=verdict(estimate, -margin),
            paper=theirs,
            paper_values="" if theirs is None else _from_to(control, treated, metric),
        )
        results.append((context.label, result))
    return results


def costs_no_time(evidence: Evidence) -> Results:
    """Pretraining with LDReg takes hardly longer: by less than the margin, at the interval's upper end.

    By the time of a step, where both kinds were timed in one process; else by the wall-clock of whole runs.
    """
    margin, paper, results = evidence.settings.time_margin, evidence.reported("table4"), []
    for context, arm in evidence.pairs:
        estimate = _step_changes(arm, evidence.settings.timed)
        by_steps = estimate is not None
        estimate = estimate or change(arm, context.control, "wall_seconds")
        if estimate is None:
            continue
        bounds = f"supported if the interval lies below {name(margin)} %, contradicted if above"
        control, treated = paper.row(context.setting()), paper.row(context.setting(arm))
        hours = [row.values[HOURS] for row in (control, treated) if row]
        result = Result(
            quantity=f"{'time of a training step' if by_steps else 'wall-clock of pretraining'}, {arm.label} "
            "against none",
            unit="%",
            test="both kinds of step timed by turns in one process, for each seed the median change in per "
            f"cent, then t over seeds; {bounds}; the paper's is of wall-clocks"
            if by_steps
            else f"{PAIRED} of the change in per cent, of pairs executed alike; {bounds}; runs that shared a "
            "machine with other jobs slowed each other down, which their files do not tell",
            estimate=estimate,
            verdict=verdict(negative(estimate), -margin),
            paper=round(percent(hours[1], hours[0]), 1) if len(hours) == 2 else None,
            paper_values=f"{printed(hours[0])} h to {printed(hours[1])} h" if len(hours) == 2 else "",
        )
        results.append((context.label, result))
    return results


def _step_changes(arm: Arm, timed: tuple[str, ...]) -> Estimate | None:
    """The change of a step's time in per cent over the arm's runs of which it was measured; None without."""
    folders = [Path(folder) for folder in arm.runs["folder"] if folder in timed]
    costs = [read_step_cost(folder) for folder in folders if (folder / FILE).is_file()]
    return t_interval([percent(cost["ratio"], 1.0) for cost in costs])


def decline_goes_away(evidence: Evidence) -> Results:
    """mLID falls late in training without LDReg, and does not with it."""
    margin, results = evidence.settings.decline_margin, []
    for context, arm in evidence.pairs:
        shared = sorted(
            set(seeds(arm, "late_change").index) & set(seeds(context.control, "late_change").index)
        )
        if not shared:
            continue
        ours, without = (
            t_interval(seeds(each, "late_change").loc[shared]) for each in (arm, context.control)
        )
        result = Result(
            quantity=f"late change of mLID with {arm.label}; without: {effect(without, '%')}",
            unit="%",
            test=f"{MONITOR} of training batches (history.csv) over the last half of the epochs, by a line "
            "through its logarithm for each seed, then t over seeds; supported if the interval without LDReg "
            f"lies below -{name(margin)} % and that with it above, contradicted if that with it lies below; "
            "not tested where that without lies above",
            estimate=ours,
            verdict=_decline_verdict(ours, without, margin),
        )
        results.append((context.label, result))
    return results


def _decline_verdict(ours: Estimate, without: Estimate, margin: float) -> str:
    goes, falls = verdict(ours, -margin), verdict(negative(without), margin)
    if goes == ONE_SEED or goes == "contradicted":
        return goes
    if falls == "contradicted":
        return "not tested (no decline without)"
    return goes if falls == "supported" else falls


def transfers_better(evidence: Evidence) -> Results:
    """Accuracy on other data sets rises, on average over those that could be had."""
    about = Metric("accuracy", "%", "points")
    arms = [arm.runs for context in evidence.contexts for arm in context.arms]
    had = {sets for runs in arms for sets in runs["transfer_sets"][runs["transfer"].notna()]}
    if len(had) > 1:
        found = " and ".join(listed(sets) or "none" for sets in sorted(had))
        raise LdregError(
            f"claims: transfer: runs were tested on different data sets ({found}); run all again"
        )
    what = f"accuracy on other data sets ({listed(*had)}), their mean" if had else ""
    return _outcome(evidence, ["transfer"], about, what, evidence.reported("table2", kind=TransferReported))


def detects_better(evidence: Evidence) -> Results:
    """Average precision of boxes and of masks rises."""
    about = Metric("AP", "%", "points")
    paper = evidence.reported("table3", kind=DetectionReported)
    return _outcome(evidence, ["box_ap", "mask_ap"], about, "average precision in detection", paper)


def _outcome(evidence: Evidence, metrics: list[str], about: Metric, what: str, paper: Reported) -> Results:
    results = []
    for context, arm in evidence.pairs:
        found = above({metric: gains(arm, context.control, metric) for metric in metrics})
        if found is None:
            continue
        one = len(metrics) == 1  # the mean over data sets: the paper's is over all of its own
        rows = [] if one else metrics
        theirs, values = _paper_gains(paper, context, rows, evidence.settings.scale_of_paper)
        which = "" if one else f", of {found.at.replace('_ap', '')} ({found.named('the smaller gain')})"
        result = Result(
            quantity=f"{what}, {arm.label} minus none{which}",
            unit=about.difference_unit,
            test=f"{PAIRED}; supported if {'the interval lies' if one else 'both intervals lie'} above 0, "
            f"contradicted if {'below' if one else f'one lies below {SEVERAL}'}",
            estimate=found.estimate,
            verdict=found.verdict,
            paper=(round(fmean(theirs.values()), 2) if one else min(theirs.values())) if theirs else None,
            paper_values=values,
        )
        results.append((context.label, result))
    return results


def _paper_gains(
    paper: Reported, context: Context, metrics: list[str], scale_of_paper: bool
) -> tuple[dict[str, float], str]:
    """The paper's gains for a context's method and encoder, of `metrics` or (if empty) of all; and as words.

    At other scales than the paper's its usual, shorter training stands for ours.
    """
    rows = paper.rows(method=context.method, backbone=context.backbone)
    trained = sorted({row.epochs for row in rows})
    trained = [epochs for epochs in trained if epochs == context.epochs] if scale_of_paper else trained[:1]
    of_none = [row for row in rows if row.epochs in trained and row.regularizer == "none"]
    with_one = [row for row in rows if row.epochs in trained and row.regularizer != "none"]
    if not of_none or not with_one:
        return {}, ""
    control, treated = of_none[0], with_one[0]
    gains_of = {key: difference(treated, control, key) for key in metrics or control.values}
    each = ", ".join(
        f"{name(key.replace('_ap', ''))} {printed(gain, signed=True)}" for key, gain in gains_of.items()
    )
    return gains_of, f"{each}; {name(control.epochs)} epochs"


def _from_to(control: PaperRow, treated: PaperRow, metric: str) -> str:
    """'64.3 to 64.8 with β 0.01, k 64'."""
    values = f"{printed(control.values[metric])} to {printed(treated.values[metric])}"
    return f"{values} with β {name(treated.beta)}, k {name(treated.k)}"
