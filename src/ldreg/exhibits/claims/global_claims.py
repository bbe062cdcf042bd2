"""Claims about local against global dimension: of representations, and of points in the plane.

Each function tests one kind of claim and returns what it found where it could: (context label, result) pairs.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ldreg.exhibits.claims.evidence import Evidence, seeds
from ldreg.exhibits.claims.pair_claims import PAIRED, Results
from ldreg.exhibits.claims.verdicts import SEVERAL, Result, verdict, within
from ldreg.exhibits.output.labels import METRICS, name, printed
from ldreg.exhibits.stats.intervals import differences, t_interval

PLANE = "Points in the plane"
TOLERANCE = 0.05  # within which mLID is called on target
CLOUD = "cloud_"  # how the panels of Figure 1 (c) begin; the mLID that their points were made for follows
GLOBAL, LOCAL = "effective_rank", "mlid"


def collapses_locally(evidence: Evidence) -> Results:
    """Unregularised representations have more dimensions globally, by effective rank, than locally."""
    paper, results = evidence.reported_pairs, []
    for context in evidence.contexts:
        if context.control is None or (context.method, context.backbone) in [found for found, _ in results]:
            continue  # what varies views or batches alone is no further test
        control = context.control
        estimate = t_interval(differences(seeds(control, GLOBAL), seeds(control, LOCAL)))
        row = paper.row(context.setting())
        given = row is not None and {GLOBAL, LOCAL} <= set(row.values)
        result = Result(
            quantity=f"{METRICS[GLOBAL].label} minus {METRICS[LOCAL].label}, unregularised",
            unit="dimensions",
            test=f"{PAIRED}; supported if the interval lies above 0, contradicted if below",
            estimate=estimate,
            verdict=verdict(estimate, 0.0),
            paper=round(row.values[GLOBAL] - row.values[LOCAL], 1) if given else None,
            paper_values=f"{printed(row.values[GLOBAL])} and {printed(row.values[LOCAL])}" if given else "",
        )
        results.append(((context.method, context.backbone), (context.label, result)))
    return [result for _, result in results]


def plane_collapses_locally(evidence: Evidence) -> Results:
    """Points fill the plane globally (GID 2 by DANCo) while their neighbourhoods are nearly curves."""
    if "figure1" not in evidence.plane:
        return []
    content = evidence.plane["figure1"]
    clouds = [panel.removeprefix(CLOUD) for panel in content["panels"] if panel.startswith(CLOUD)]
    lowest = min(clouds, key=float)
    cloud = content["panels"][f"{CLOUD}{lowest}"]
    theirs = evidence.plane_numbers.get(f"gid_at_mlid_{lowest}")
    gap = differences(*(pd.Series(cloud[key], content["seeds"]) for key in ("gid", "mlid")))
    estimate = t_interval(gap)
    result = Result(
        quantity=f"GID by DANCo minus mLID by the method of moments (k = {content['k']}), of the points made "
        f"for an mLID of {lowest}",
        unit="dimensions",
        test="t over seeds of the points; supported if the interval lies above 0, contradicted if below",
        estimate=estimate,
        verdict=verdict(estimate, 0.0),
        paper=None if theirs is None else round(theirs - float(lowest), 1),
        paper_values="" if theirs is None else f"GID {printed(theirs)}, mLID {lowest}",
    )
    return [(PLANE, result)]


def targets_are_reached(evidence: Evidence) -> Results:
    """A layer trained on the target-LID loss brings mLID to each target."""
    if "figure3" not in evidence.plane:
        return []
    content = evidence.plane["figure3"]
    found = within(_offsets(content), TOLERANCE)
    result = Result(
        quantity=f"mLID by the method of moments (k = {content['k']}) minus target, at target {found.at} "
        f"({found.named('the largest mean offset')})",
        unit=f"at target {found.at}",
        test=f"t over seeds at targets {', '.join(_offsets(content))}; supported if every interval lies "
        f"within ±{name(TOLERANCE)}, contradicted if one lies outside {SEVERAL}",
        estimate=found.estimate,
        verdict=found.verdict,
    )
    return [(PLANE, result)]


def _offsets(content: Mapping[str, Any]) -> dict[str, pd.Series]:
    """mLID minus target by seed, for each target; panels that are named otherwise are for comparison."""
    targets = {panel: values for panel, values in content["panels"].items() if panel[0].isdigit()}
    return {
        target: pd.Series(values["mlid"], content["seeds"]) - float(target)
        for target, values in targets.items()
    }
