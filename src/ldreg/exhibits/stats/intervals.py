"""Means, paired differences and slopes over seeds, each with Student's t-interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds with the bounds of its interval; one seed has no interval (bounds None)."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the interval's width, None for one seed."""
        return None if self.high is None else self.high - self.mean


def estimate_columns(estimate: Estimate | None, prefix: str = "") -> dict[str, float]:
    """An estimate as columns of a CSV; where there is none, `n` is 0 and the other cells are empty (NaN).

    >>> estimate_columns(Estimate(1.5, 1.0, 2.0, 3), prefix="effect_")
    {'effect_n': 3, 'effect_mean': 1.5, 'effect_low': 1.0, 'effect_high': 2.0}
    """
    found = estimate or Estimate(math.nan, None, None, 0)
    bounds = {"low": found.low, "high": found.high}
    values = {"n": found.n, "mean": found.mean} | {k: math.nan if v is None else v for k, v in bounds.items()}
    return {f"{prefix}{key}": value for key, value in values.items()}


def t_interval(values: Sequence[float] | pd.Series, level: float = LEVEL) -> Estimate | None:
    """mean +- t_{(1+level)/2, n-1} * s / sqrt(n), with s the sample standard deviation (n - 1).

    Returns None without values; with one value an Estimate without bounds.

    >>> estimate = t_interval([1.0, 2.0, 3.0])
    >>> round(estimate.mean, 3), round(estimate.half_width, 3)  # 4.303 * 1 / sqrt(3)
    (2.0, 2.484)
    """
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        return None
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(mean, None, None, 1)
    half = float(stats.t.ppf((1 + level) / 2, sample.size - 1) * sample.std(ddof=1) / math.sqrt(sample.size))
    return Estimate(mean, mean - half, mean + half, int(sample.size))


def differences(treated: pd.Series, control: pd.Series) -> pd.Series:
    """treated - control for the seeds that both have; both are indexed by seed, each seed once."""
    shared = sorted(set(treated.index) & set(control.index))
    return treated.loc[shared] - control.loc[shared]


def paired(treated: pd.Series, control: pd.Series, level: float = LEVEL) -> Estimate | None:
    """Mean of treated - control over shared seeds with the paired t-interval; None without shared seeds."""
    return t_interval(differences(treated, control), level)


def slopes(x: Sequence[float], table: pd.DataFrame) -> pd.Series:
    """Least-squares slope on `x` for each seed.

    x: (points,) places on the axis, not all equal. table: one row per seed, one column per point; seeds
    that lack a point are left out, since a slope over other points is another quantity.
    """
    complete = table.dropna()
    centred = np.asarray(x, dtype=float) - np.mean(x)
    values = complete.to_numpy(dtype=float) @ centred / (centred @ centred)
    return pd.Series(values, index=complete.index)
