"""The table of significance: its tests against scipy's, Holm's correction by hand, and its words."""

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.significance import holm, p_value, significance

LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
METRICS = ("linear_top1", "effective_rank", "mlid")


def add(runs, differences: dict[str, list[float]], order=None, **spec) -> None:
    """A pair with these differences by seed, on levels that vary far more from seed to seed."""
    count = len(differences["top1"])
    for seed in order or range(count):
        runs.add(seed, top1=50.0 + 10 * seed, rank=100.0 - 20 * seed, mlid=5.0 + 3 * seed, **spec)
    for seed in range(count):
        results = {"top1": 50.0 + 10 * seed, "rank": 100.0 - 20 * seed, "mlid": 5.0 + 3 * seed}
        runs.add(seed, **{key: results[key] + differences[key][seed] for key in results}, **LDREG, **spec)


def files(runs, **settings) -> dict[str, str]:
    return significance(read_exhibit(runs.spec("significance", **settings)))


def cells(runs, **settings) -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(files(runs, **settings)["csv"]))
    return table.set_index(["method", "metric"])


@pytest.fixture
def three(runs):
    """p of 0.07, 0.03 and 0.0004: no difference, one lost to the correction, one that stays."""
    add(runs, {"top1": [1.0, 2.0, 3.0], "rank": [-1.0, -1.5, -1.9], "mlid": [1.0, 1.04, 0.96]}, (2, 0, 1))
    add(runs, {"top1": [0.2, 0.4, 1.1], "rank": [0.3, 0.1, 2.0], "mlid": [1.0, -0.5, 0.1]}, method="byol")
    return runs


def test_tests_are_scipys_on_pairs_of_seeds(three) -> None:
    table = cells(three, not_run=False).loc["simclr"]
    for metric, after in zip(METRICS, ([51, 62, 73], [99, 78.5, 58.1], [6, 9.04, 11.96]), strict=True):
        before = {"linear_top1": [50, 60, 70], "effective_rank": [100, 80, 60], "mlid": [5, 8, 11]}[metric]
        assert table.loc[metric, "p"] == pytest.approx(stats.ttest_rel(after, before).pvalue, rel=1e-6)
        outside = table.loc[metric, "low"] > 0 or table.loc[metric, "high"] < 0
        assert outside == (table.loc[metric, "p"] < 0.05)


def test_the_correction_is_over_the_whole_table(three) -> None:
    table = cells(three, not_run=False)
    assert list(table["p_holm"]) == pytest.approx(holm(list(table["p"])), abs=1e-9)
    smallest = table.loc[("simclr", "mlid")]
    assert smallest["p_holm"] == pytest.approx(6 * smallest["p"], rel=1e-6)
    assert "all 6 tests of this table" in files(three, not_run=False)["md"]


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.9: times 4, 3, 2, 1 gives 0.04, 0.06, 0.06, 0.9.
    assert holm([0.03, 0.9, 0.01, 0.02]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    assert holm([0.02, 0.9]) == pytest.approx([0.04, 0.9]) and holm([]) == []
    # A smaller product never follows a larger one, and none is above 1.
    assert holm([0.2, 0.21, 0.6]) == pytest.approx([0.6, 0.6, 0.6]) and holm([0.8, 0.9]) == [1.0, 1.0]


def test_verdicts_say_what_may_be_said(three) -> None:
    table = cells(three, not_run=False)["verdict"]
    assert table["simclr", "linear_top1"] == "no difference shown"
    assert table["simclr", "effective_rank"] == "lower, not after correction"
    assert table["simclr", "mlid"] == "significantly higher"
    text = files(three, not_run=False)["md"]
    assert text.count("**") == 2 and "**significantly higher**" in text
    assert "does not mean that there is none" in text and "a p below 0.25" in text


def test_one_seed_decides_nothing(runs) -> None:
    add(runs, {"top1": [5.0], "rank": [50.0], "mlid": [5.0]})
    files_ = files(runs, not_run=False)
    table = cells(runs, not_run=False)
    assert set(table["verdict"]) == {"cannot be told from one seed"} and table["p"].isna().all()
    assert "signific" not in "".join(row for row in files_["md"].splitlines() if row.startswith("|"))
    assert "One seed gives no interval and no test" in files_["md"]


def test_equal_differences_are_not_tested(runs) -> None:
    add(runs, {"top1": [0.5, 0.5, 0.5], "rank": [1.0, 1.1, 0.9], "mlid": [1.0, 2.0, 3.0]})
    line = cells(runs, not_run=False).loc[("simclr", "linear_top1")]
    assert line["verdict"] == "all differences are equal: no test" and np.isnan(line["p"])
    assert "all 2 tests" in files(runs, not_run=False)["md"]
    assert p_value([0.1 + 0.2, 0.3, 0.3]) is None  # equal but for rounding


def test_what_was_not_run_says_so_beside_the_papers_difference(three) -> None:
    table = cells(three)
    mae = table.loc[("mae", "linear_top1")]
    assert (mae["verdict"], mae["n"], mae["paper"]) == ("not run", 0, pytest.approx(0.6))
    assert np.isnan(mae["p"]) and np.isnan(mae["p_holm"])
    rows = [row for row in files(three)["md"].splitlines() if "not run" in row]
    assert rows and all("**" not in row and row.count("none") == 2 for row in rows)
    tested = cells(three, not_run=False)  # what was not run is no test, and corrects nothing
    assert list(table["p_holm"].dropna()) == list(tested["p_holm"])


def test_a_pair_without_common_seeds_is_not_run(runs) -> None:
    runs.add(0)
    runs.add(1, top1=99.0, **LDREG)
    assert set(cells(runs, not_run=False)["verdict"]) == {"not run"}


def test_seeds_are_resampled_from_five_on(runs) -> None:
    values = {"top1": [0.4, 0.9, 0.7, 1.2, 0.1], "rank": [1.0] * 5, "mlid": [0.1, 0.2, 0.3, 0.2, 0.9]}
    add(runs, values)
    first, again = cells(runs, not_run=False), cells(runs, not_run=False)
    pd.testing.assert_frame_equal(first, again)
    line = first.loc[("simclr", "linear_top1")]
    assert min(values["top1"]) < line["bootstrap_low"] < line["mean"] < line["bootstrap_high"] < 1.2
    assert line["bootstrap_high"] - line["bootstrap_low"] < line["high"] - line["low"]
    assert np.isnan(first.loc[("simclr", "effective_rank"), "bootstrap_low"])  # all equal
    assert "BCa" in files(runs, not_run=False)["md"]


def test_fewer_seeds_have_no_bootstrap_column(three) -> None:
    text = files(three, not_run=False)["md"]
    assert "bootstrap interval |" not in text and "There is no bootstrap over seeds" in text


def test_method_and_regulariser_share_the_first_column(three) -> None:
    def first(**settings) -> list[str]:
        rows = [row for row in files(three, not_run=False, **settings)["md"].splitlines() if row[:1] == "|"]
        return [row.split("|")[1].strip() for row in rows[2:]]

    assert first() == [
        *("SimCLR, small CNN", "LDReg β 0.1, k 16", ""),
        *("BYOL, small CNN", "LDReg β 0.1, k 16", ""),
    ]
    alone = ["SimCLR, small CNN, LDReg β 0.1, k 16", "BYOL, small CNN, LDReg β 0.1, k 16"]
    assert first(metrics=["mlid"]) == alone
    for seed in range(3):
        three.add(seed, regularizer="min_lid", beta=1.0, k=16)
    assert first()[2:6] == ["", "Min LID β 1, k 16", "", ""]
