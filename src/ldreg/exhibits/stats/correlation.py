"""Correlation of two measurements within groups, without and with the linear effect of a third removed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ldreg.exhibits.stats.intervals import LEVEL

Array = NDArray[np.float64]

DRAWS = 4999
DRAW_SEED = 0
FEWEST_SETTINGS = 6  # with fewer settings, bootstrap intervals are meaningless


@dataclass(frozen=True)
class Correlation:
    """A correlation with its bootstrap interval; bounds None where the runs are too few for one."""

    r: float
    low: float | None
    high: float | None


def correlate(
    frame: pd.DataFrame, x: str, y: str, covariate: str | None = None, draws: int = DRAWS
) -> Correlation:
    """Pearson's r within groups: of two columns without their groups' means and the effect of a covariate.

    The covariate's effect (least squares) is common to all groups. The interval is a percentile bootstrap
    for crossed clusters (Owen 2007): seeds are drawn with replacement, and so are the settings of each
    group; the weight of a run is the number of draws of its seed times that of its setting. Runs of one seed
    share their initial weights and the order of their data, and runs of one setting are nearly copies.
    Drawing single runs would therefore make the interval too narrow.

    Args:
        frame: one row per run with the columns, "group", "setting" (not shared by groups) and "seed".
        covariate: the column whose effect is removed, None for none.
        draws: the number of bootstrap draws; they are the same each time.

    Returns:
        NaN without an interval where nothing varies.
    """
    columns = [x, y, *([covariate] if covariate else [])]
    values = frame[columns].to_numpy(dtype=float).T
    groups = pd.get_dummies(frame["group"]).to_numpy(dtype=float)
    r = float(weighted(values, groups, np.ones((1, len(frame))))[0])
    if not np.isfinite(r) or frame["setting"].nunique() < FEWEST_SETTINGS:
        return Correlation(r, None, None)
    found = weighted(values, groups, _counts(frame, draws))
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Correlation(r, float(low), float(high))


def residuals(frame: pd.DataFrame, column: str, covariate: str) -> Array:
    """A column (runs,) less its group's mean and less the linear effect of `covariate` within groups."""
    values = frame[[column, covariate]].to_numpy(dtype=float).T
    groups = pd.get_dummies(frame["group"]).to_numpy(dtype=float)
    ones = np.ones((1, len(frame)))
    return _without(*(_centred(value, groups, ones) for value in values), ones)[0]


def weighted(values: Array, groups: Array, weights: Array) -> Array:
    """The correlation for each row of weights.

    Args:
        values: (2 or 3, runs): what is correlated, and what is removed from both.
        groups: (runs, groups), one 1 in each row.
        weights: (draws, runs), at least 0.

    Returns:
        (draws,), NaN where nothing varies.
    """
    x, y, *rest = (_centred(value, groups, weights) for value in values)
    if rest:
        x, y = (_without(column, rest[0], weights) for column in (x, y))
    squares = [(weights * column**2).sum(axis=1) for column in (x, y)]
    # Where nothing varies, rounding leaves a remainder that is negligible next to the values themselves.
    least = [weights.sum(axis=1) * (1e-10 * np.abs(value).max()) ** 2 for value in values[:2]]
    varies = (squares[0] > least[0]) & (squares[1] > least[1])
    return np.where(
        varies,
        (weights * x * y).sum(axis=1) / np.sqrt(np.where(varies, squares[0] * squares[1], 1.0)),
        np.nan,
    )


def _centred(value: Array, groups: Array, weights: Array) -> Array:
    """`value` (runs,) less the weighted mean of its group: (draws, runs)."""
    counts = weights @ groups
    means = (weights * value) @ groups / np.where(counts > 0, counts, 1)
    return value - means @ groups.T


def _without(column: Array, covariate: Array, weights: Array) -> Array:
    """A centred column less its weighted least-squares slope on a centred `covariate`: all (draws, runs)."""
    square = (weights * covariate**2).sum(axis=1, keepdims=True)
    slope = (weights * column * covariate).sum(axis=1, keepdims=True) / np.where(square > 0, square, 1)
    return column - slope * covariate


def _counts(frame: pd.DataFrame, draws: int) -> Array:
    """How often each run counts in each draw: (draws, runs)."""
    random = np.random.default_rng(DRAW_SEED)
    seeds, seed = np.unique(frame["seed"], return_inverse=True)
    counts = random.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=draws)[:, seed]
    for _, members in frame.reset_index(drop=True).groupby("group", sort=False):
        settings, setting = np.unique(members["setting"], return_inverse=True)
        drawn = random.multinomial(len(settings), np.full(len(settings), 1 / len(settings)), size=draws)
        counts[:, members.index] *= drawn[:, setting]
    return counts.astype(float)
