"""Claims about local against global dimension: of representations, and of points in the plane.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ldreg.exhibits.claims.evidence import Evidence, seeds
from ldreg.exhibits.claims.verdicts import NO_QUOTE, PAIRED, Quote, Results, one_above, within
from ldreg.exhibits.output.labels import METRICS, printed
from ldreg.exhibits.paper.reported import PaperRow
from ldreg.exhibits.stats.intervals import differences, t_interval

PLANE = "Points in the plane"
TOLERANCE = 0.05  # how far mLID may be from its target and still count as having reached it
CLOUD = "cloud_"  # prefix of the panels of Figure 1 (c), before the mLID that their points were made for
GLOBAL, LOCAL = "effective_rank", "mlid"


def collapses_locally(evidence: Evidence) -> Results:
    """Unregularised representations have more dimensions globally, by effective rank, than locally."""
    tested = set()
    for context in evidence.contexts:
        control, networks = context.control, (context.method, context.backbone)
        if control is None or networks in tested:
            continue  # a context that differs in views or batches alone is not another test
        tested.add(networks)
        estimate = t_interval(differences(seeds(control, GLOBAL), seeds(control, LOCAL)))
        quantity = f"{METRICS[GLOBAL].label} minus {METRICS[LOCAL].label}, unregularised"
        quote = _quote(evidence.reported_pairs.row(context.setting()))
        yield context.label, one_above(estimate).result(quantity, "dimensions", PAIRED, quote)


def _quote(row: PaperRow | None) -> Quote:
    if row is None or not {GLOBAL, LOCAL} <= set(row.values):
        return NO_QUOTE
    globally, locally = row.values[GLOBAL], row.values[LOCAL]
    return Quote(round(globally - locally, 1), f"{printed(globally)} and {printed(locally)}")


def plane_collapses_locally(evidence: Evidence) -> Results:
    """Points fill the plane globally (GID 2 by DANCo) while their neighbourhoods are nearly curves."""
    if "figure1" not in evidence.plane:
        return
    content = evidence.plane["figure1"]
    clouds = [panel.removeprefix(CLOUD) for panel in content["panels"] if panel.startswith(CLOUD)]
    lowest = min(clouds, key=float)
    cloud = content["panels"][f"{CLOUD}{lowest}"]
    theirs = evidence.plane_numbers.get(f"gid_at_mlid_{lowest}")
    gap = differences(*(pd.Series(cloud[key], content["seeds"]) for key in ("gid", "mlid")))
    quote = NO_QUOTE
    if theirs is not None:
        quote = Quote(round(theirs - float(lowest), 1), f"GID {printed(theirs)}, mLID {lowest}")
    yield (
        PLANE,
        one_above(t_interval(gap)).result(
            quantity=f"GID by DANCo minus mLID by the method of moments (k = {content['k']}), of the points "
            f"made for an mLID of {lowest}",
            unit="dimensions",
            test="t-interval over seeds of the points",
            paper=quote,
        ),
    )


def targets_are_reached(evidence: Evidence) -> Results:
    """A layer trained on the target-LID loss brings mLID to each target."""
    if "figure3" not in evidence.plane:
        return
    content = evidence.plane["figure3"]
    offsets = _offsets(content)
    found = within(offsets, TOLERANCE)
    yield (
        PLANE,
        found.result(
            quantity=f"mLID by the method of moments (k = {content['k']}) minus target, at target {found.at}",
            unit=f"at target {found.at}",
            test=f"t-interval over seeds at targets {', '.join(offsets)}",
            extreme="the largest mean offset",
        ),
    )


def _offsets(content: Mapping[str, Any]) -> dict[str, pd.Series]:
    """mLID minus target by seed, for each target. Panels whose names are not numbers are for comparison."""
    targets = {panel: values for panel, values in content["panels"].items() if panel[0].isdigit()}
    return {
        target: pd.Series(values["mlid"], content["seeds"]) - float(target)
        for target, values in targets.items()
    }
