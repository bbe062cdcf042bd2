"""Claims about how LIDs are estimated: from mini-batches, and in reduced precision.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

from ldreg.exhibits.claims.evidence import Evidence, seeds
from ldreg.exhibits.claims.verdicts import Results, one_above, one_below
from ldreg.exhibits.output.labels import name
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.stats.intervals import Estimate, t_interval


def batches_degrade(evidence: Evidence) -> Results:
    """The fewer rows a mini-batch has, the larger is the error of its LIDs against those among all rows."""
    for context in evidence.contexts:
        for arm, found in _first(context, "batch_error_slope"):
            quantity = (
                f"slope on log2(rows of the mini-batch) of the RMS error of ln LID (k = {_k(evidence)}) "
                f"against that among all rows, {arm.series}"
            )
            test = "least-squares slope for each seed (lid_error.json), then the t-interval over seeds"
            yield context.label, one_below(found).result(quantity, "per doubling of the batch", test)


def tf32_matters(evidence: Evidence) -> Results:
    """TF32 in the product behind the distances changes LID by more than the margin."""
    for context in evidence.contexts:
        for arm, found in _first(context, "tf32_error"):
            decision = one_above(found, evidence.settings.tf32_margin, "%")
            quantity = f"RMS change of LID (k = {_k(evidence)}) by TF32 in the distances, {arm.series}"
            yield (
                context.label,
                decision.result(quantity, "%", "t-interval over seeds (tf32 of lid_error.json)"),
            )


def _first(context: Context, fact: str) -> list[tuple[Arm, Estimate]]:
    """The first arm of the context that has the fact, unregularised if it can be, with its estimate."""
    found = ((arm, t_interval(seeds(arm, fact))) for arm in context.arms)
    return [(arm, estimate) for arm, estimate in found if estimate][:1]


def _k(evidence: Evidence) -> str:
    return name(evidence.settings.base["k"])
