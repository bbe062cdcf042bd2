"""Claims about points in the plane, on the numbers of Figures 1 and 3.

Each function tests one kind of claim. It yields the label and the result of each context that has the runs.
"""

from collections.abc import Mapping
from itertools import pairwise
from statistics import fmean
from typing import Any

import pandas as pd

from ldreg.exhibits.claims.evidence import Evidence
from ldreg.exhibits.claims.verdicts import NO_QUOTE, Quote, Results, below, one_above, one_below, within
from ldreg.exhibits.output.labels import printed
from ldreg.exhibits.stats.intervals import differences, t_interval

PLANE = "Points in the plane"
TOLERANCE = 0.05  # how far mLID may be from its target and still count as having reached it
CLOUD = "cloud_"  # prefix of the panels of Figure 1 (c), before the mLID that their points were made for


def plane_collapses_locally(evidence: Evidence) -> Results:
    """Points fill the plane globally (GID 2 by DANCo) while their neighbourhoods are nearly curves."""
    if "figure1" not in evidence.plane:
        return
    content = evidence.plane["figure1"]
    lowest = _clouds(content)[0]
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


def distance_tracks_collapse(evidence: Evidence) -> Results:
    """The Fisher-Rao distance falls from each cloud of Figure 1 (c) to the next one of higher mLID."""
    if "figure1" not in evidence.plane:
        return
    content, theirs = evidence.plane["figure1"], evidence.plane_numbers
    clouds = _clouds(content)
    distance = {
        cloud: pd.Series(content["panels"][f"{CLOUD}{cloud}"]["fr_distance"], content["seeds"])
        for cloud in clouds
    }
    steps = {
        f"from mLID {low} to {high}": differences(distance[high], distance[low])
        for low, high in pairwise(clouds)
    }
    if found := below(steps):
        printed_there = [theirs.get(f"fr_distance_at_mlid_{cloud}") for cloud in clouds]
        quote = NO_QUOTE
        if None not in printed_there:
            smallest = max(after - before for before, after in pairwise(printed_there))
            listed = ", ".join(f"{value:.2f}" for value in printed_there)
            quote = Quote(round(smallest, 2), f"{listed} at mLID {', '.join(clouds)}")
        yield (
            PLANE,
            found.result(
                quantity=f"change of the mean Fisher-Rao distance from a LID of 2, {found.at}",
                unit=found.at,
                test=f"t-interval over seeds of the points {'; '.join(steps)}",
                paper=quote,
                extreme="the smallest fall",
            ),
        )


def arithmetic_mean_lifts_few(evidence: Evidence) -> Results:
    """By the arithmetic mean as objective fewer points hold half the rise of LIDs than by the geometric."""
    panels = evidence.plane.get("figure1", {}).get("panels", {})
    if not {"arithmetic", "geometric"} <= set(panels):
        return
    known = evidence.plane["figure1"]["seeds"]
    few, many = (pd.Series(panels[kind]["half_of_rise"], known) for kind in ("arithmetic", "geometric"))
    risen = [100 * fmean(panels[kind]["risen"]) for kind in ("arithmetic", "geometric")]
    yield (
        PLANE,
        one_below(t_interval(100 * differences(few, many))).result(
            quantity="share of the points that hold half of the rise of all LIDs, by the arithmetic mean as "
            f"objective minus by the geometric ({100 * few.mean():.0f} % and {100 * many.mean():.0f} %; LID "
            f"rises for {risen[0]:.0f} % and {risen[1]:.0f} % of the points)",
            unit="points of per cent",
            test="points that move freely from the first cloud of Figure 1 (c); paired t-interval over seeds",
        ),
    )


def _clouds(content: Mapping[str, Any]) -> list[str]:
    """The mLIDs that the clouds of Figure 1 (c) were made for, ascending."""
    return sorted(
        (panel.removeprefix(CLOUD) for panel in content["panels"] if panel.startswith(CLOUD)), key=float
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
