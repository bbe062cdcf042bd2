"""Several settings at once: supported by all plain intervals, contradicted by one adjusted interval."""

import pandas as pd
import pytest

from ldreg.exhibits.claims.verdicts import ALL_EQUAL, ONE_SEED, above, negative, verdict, within
from ldreg.exhibits.stats.intervals import Estimate

UP, DOWN = pd.Series([4.0, 5.0, 6.0]), pd.Series([-4.0, -5.0, -6.0])
WIDE = pd.Series([1.0, 2.0, 3.0])  # 2 +- 2.48
# 3 +- 2.48 at the usual level, 3 +- 3.58 at that of two settings (t 6.205 with 2 degrees of freedom).
NARROW = pd.Series([2.0, 3.0, 4.0])


def settings(*values: pd.Series) -> dict[str, pd.Series]:
    return {f"setting {place}": each for place, each in enumerate(values)}


@pytest.mark.parametrize(
    ("values", "expected", "at"),
    [
        ((UP, UP + 1), "supported", 0),
        ((UP, NARROW), "supported", 1),  # each for itself, with no adjustment
        ((UP, WIDE), "inconclusive", 1),
        ((UP, DOWN), "contradicted", 1),
        ((UP, -NARROW), "inconclusive", 1),  # its own interval is below 0, the adjusted one is not
        ((-NARROW,), "contradicted", 0),  # alone it needs no adjustment
        ((UP, WIDE[:1]), ONE_SEED, 1),
        ((DOWN, WIDE[:1]), "contradicted", 0),  # by the setting that has seeds enough
        ((UP, pd.Series([1.0, 1.0, 1.0])), ALL_EQUAL, 1),
        ((WIDE, pd.Series([1.0, 1.0, 1.0])), "inconclusive", 1),
        ((DOWN, pd.Series([-9.0])), "contradicted", 0),  # the worst of those that decide
    ],
)
def test_above(values, expected, at) -> None:
    found = above(settings(*values))
    assert (found.verdict, found.at) == (expected, f"setting {at}")
    assert found.estimate.mean == pytest.approx(values[at].mean())


def test_the_adjusted_level_is_that_of_the_number_of_settings() -> None:
    """Differences a, b, c of spread 1 around m: contradicted if m + t / sqrt(3) < 0."""
    for several, t in ((1, 4.302653), (2, 6.205347), (3, 7.648883)):
        for shift, expected in ((-0.001, "contradicted"), (0.001, "inconclusive")):
            values = pd.Series([-1.0, 0.0, 1.0]) - t / 3**0.5 + shift
            found = above(settings(values, *[UP] * (several - 1)))
            assert (several, found.verdict) == (several, expected)


@pytest.mark.parametrize(
    ("values", "expected", "at"),
    [
        ((UP / 10, DOWN / 10), "supported", 0),  # 0.5 +- 0.25
        ((UP / 10, WIDE), "inconclusive", 1),
        ((UP / 10, UP), "contradicted", 1),
        ((UP / 10, DOWN), "contradicted", 1),
        ((UP / 10, NARROW + 1), "inconclusive", 1),  # 4 +- 2.48, adjusted 4 +- 3.58
        ((UP / 10, UP[:1]), ONE_SEED, 1),
        ((UP / 10, pd.Series([0.0, 0.0])), ALL_EQUAL, 0),
    ],
)
def test_within(values, expected, at) -> None:
    found = within(settings(*values), 1.0)
    assert (found.verdict, found.at) == (expected, f"setting {at}")


def test_nothing_is_said_without_values() -> None:
    empty = pd.Series([], dtype=float)
    assert above({}) is None and above(settings(UP, empty)) is None and within(settings(empty), 1.0) is None


def test_a_bound_that_is_only_touched_decides_nothing() -> None:
    assert verdict(Estimate(0.5, 0.0, 1.0, 3), 0.0) == "inconclusive"
    assert verdict(Estimate(-0.5, -1.0, 0.0, 3), 0.0) == "inconclusive"


def test_the_negative_turns_the_interval_around() -> None:
    assert negative(Estimate(1.0, 0.5, 1.5, 3)) == Estimate(-1.0, -1.5, -0.5, 3)
    assert negative(Estimate(1.0, None, None, 1)) == Estimate(-1.0, None, None, 1)
