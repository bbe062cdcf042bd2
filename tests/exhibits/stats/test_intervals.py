"""Intervals against numbers worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from ldreg.exhibits.stats.intervals import differences, paired, slopes, t_interval

T_2 = 4.302653  # 97.5 % quantile of Student's t with 2 degrees of freedom, from a printed table


def test_interval_of_three_values_by_hand() -> None:
    estimate = t_interval([1.0, 2.0, 3.0])
    half = T_2 * 1.0 / math.sqrt(3)
    assert (estimate.mean, estimate.n) == (2.0, 3)
    assert estimate.low == pytest.approx(2 - half, abs=1e-5)
    assert estimate.high == pytest.approx(2 + half, abs=1e-5)
    assert estimate.half_width == pytest.approx(half, abs=1e-5)


def test_interval_of_two_values_by_hand() -> None:
    estimate = t_interval([10.0, 12.0])
    assert estimate.half_width == pytest.approx(12.7062 * math.sqrt(2) / math.sqrt(2), abs=1e-3)


def test_one_value_has_no_interval_and_none_has_no_estimate() -> None:
    estimate = t_interval([5.0])
    assert (estimate.mean, estimate.low, estimate.high, estimate.half_width, estimate.n) == (
        5,
        None,
        None,
        None,
        1,
    )
    assert t_interval([]) is None


def test_a_higher_level_is_wider() -> None:
    assert t_interval([1, 2, 4], 0.99).half_width > t_interval([1, 2, 4]).half_width


def test_pairs_are_made_by_seed_whatever_the_order() -> None:
    treated = pd.Series({2: 15.0, 0: 3.0, 1: 24.0})
    control = pd.Series({1: 21.0, 2: 11.0, 0: 1.0})
    assert differences(treated, control).to_dict() == {0: 2.0, 1: 3.0, 2: 4.0}
    estimate = paired(treated, control)
    assert estimate.mean == pytest.approx(3.0)
    assert estimate.half_width == pytest.approx(T_2 / math.sqrt(3), abs=1e-5)


def test_a_seed_missing_in_one_arm_is_left_out() -> None:
    estimate = paired(pd.Series({0: 2.0, 1: 5.0, 7: 99.0}), pd.Series({0: 1.0, 1: 2.0, 3: -99.0}))
    assert (estimate.mean, estimate.n) == (2.0, 2)
    assert paired(pd.Series({0: 2.0}), pd.Series({1: 2.0})) is None


def test_pairing_removes_what_seeds_share() -> None:
    shared = np.array([0.0, 50.0, -50.0])
    control = pd.Series(shared, index=[0, 1, 2])
    treated = pd.Series(shared + np.array([1.0, 1.1, 0.9]), index=[0, 1, 2])
    assert paired(treated, control).low > 0
    assert t_interval(treated).low < 0


def test_slopes_per_seed_by_hand() -> None:
    table = pd.DataFrame({8: [1.0, 0.0], 16: [2.0, 0.0], 32: [3.0, 3.0]}, index=[0, 1])
    assert slopes([3, 4, 5], table).to_dict() == pytest.approx({0: 1.0, 1: 1.5})


def test_a_seed_that_lacks_a_point_has_no_slope() -> None:
    table = pd.DataFrame({8: [1.0, 0.0], 16: [2.0, np.nan]}, index=[0, 1])
    assert list(slopes([3, 4], table).index) == [0]
