"""Claims about the course of mLID over the epochs, which `history.csv` of a run holds.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

from ldreg.exhibits.claims.evidence import Evidence, gains, seeds, usual_contexts
from ldreg.exhibits.claims.run_facts import MONITOR
from ldreg.exhibits.claims.verdicts import PAIRED, Results, one_above, one_below
from ldreg.exhibits.output.estimates import effect
from ldreg.exhibits.stats.intervals import t_interval

# Of which methods the paper says that mLID falls late in training.
CONTRASTIVE = ("simclr", "simclr_tuned", "byol")
COURSE = f"{MONITOR} of training batches (history.csv) by a line through its logarithm, for each seed"
LATE_COURSE = f"{COURSE}, over the last half of the epochs"


def rises_in_training(evidence: Evidence) -> Results:
    """Without a regulariser mLID rises from the first epochs to the last."""
    for context in usual_contexts(evidence.contexts):
        found = t_interval(seeds(context.control, "course_change")) if context.control else None
        if found:
            quantity = "change of mLID over all epochs, unregularised"
            result = one_above(found, unit="%").result(
                quantity, "%", f"{COURSE}, then the t-interval over seeds"
            )
            yield context.label, result


def declines_late(evidence: Evidence) -> Results:
    """Without a regulariser mLID of contrastive methods falls late in training, by more than the margin."""
    for context in usual_contexts(evidence.contexts):
        if context.method not in CONTRASTIVE or context.control is None:
            continue
        if found := t_interval(seeds(context.control, "late_change")):
            decision = one_below(found, -evidence.settings.decline_margin, "%")
            quantity = "late change of mLID, unregularised"
            yield (
                context.label,
                decision.result(quantity, "%", f"{LATE_COURSE}, then the t-interval over seeds"),
            )


def decline_alleviated(evidence: Evidence) -> Results:
    """The late change of mLID with LDReg is above that without."""
    for context, arm in evidence.pairs:
        changes = gains(arm, context.control, "late_change")
        if found := t_interval(changes):
            shared = changes.index
            levels = [t_interval(seeds(each, "late_change").loc[shared]) for each in (arm, context.control)]
            with_ldreg, without = (effect(level, "%") for level in levels)
            quantity = f"late change of mLID, {arm.label} minus none ({with_ldreg} against {without})"
            yield context.label, one_above(found).result(quantity, "points", f"{LATE_COURSE}; {PAIRED}")
