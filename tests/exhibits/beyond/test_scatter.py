"""Accuracy against mLID: correlations that are known, intervals that hold, and the figure."""

import math

import numpy as np
import pandas as pd
import pytest
from drawings import check_figure, check_files, drawn
from matplotlib.figure import Figure
from scipy import stats

from ldreg.exhibits.stats.correlation import correlate, residuals


def points(rows: int, seeds: int = 1, groups: int = 1, seed: int = 0, link: float = 0.0) -> pd.DataFrame:
    """x and y driven by a common z, and y by x's own part as much as `link`; groups far apart."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "group": np.repeat([f"g{group}" for group in range(groups)], rows * seeds),
            "setting": np.repeat([f"s{place}" for place in range(rows * groups)], seeds),
            "seed": np.tile(np.arange(seeds), rows * groups),
        }
    )
    z, own, noise = random.normal(size=(3, rows * groups)).repeat(seeds, axis=1)
    far = 100 * frame["group"].str[1:].astype(float)
    return frame.assign(z=z + far, x=z + own - far, y=2 * z + link * own + noise + 3 * far)


def test_the_partial_correlation_is_that_of_least_squares_with_dummies() -> None:
    frame = points(30, groups=3, link=0.7)
    design = np.column_stack([frame["z"], pd.get_dummies(frame["group"]).to_numpy(dtype=float)])
    left = [frame[c] - design @ np.linalg.lstsq(design, frame[c], rcond=None)[0] for c in ("x", "y")]
    found = correlate(frame, "x", "y", "z", draws=10)
    assert found.r == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-9)
    assert residuals(frame, "x", "z") == pytest.approx(left[0].to_numpy(), abs=1e-9)
    within = frame[["x", "y"]] - frame.groupby("group")[["x", "y"]].transform("mean")
    assert correlate(frame, "x", "y", draws=10).r == pytest.approx(within.corr().iloc[0, 1], abs=1e-9)


def test_a_common_cause_is_removed_and_a_link_of_its_own_is_not() -> None:
    common, linked = points(200, groups=2), points(200, groups=2, link=1.0)
    assert correlate(common, "x", "y").low > 0.4
    removed = correlate(common, "x", "y", "z")
    assert removed.low < 0 < removed.high and abs(removed.r) < 0.15
    assert correlate(linked, "x", "y", "z").low > 0.5


def test_the_interval_covers_as_often_as_it_says() -> None:
    """For r = 0 over 40 settings of one seed: in some 95 % of samples."""
    covers = []
    for seed in range(150):
        found = correlate(points(40, seed=seed), "x", "y", "z", draws=400)
        covers.append(found.low <= 0 <= found.high)
    assert 0.88 <= np.mean(covers) <= 0.99


def test_copies_of_a_setting_with_other_seeds_do_not_narrow_the_interval() -> None:
    one, four = points(25), points(25, seeds=4)
    alone, copied = correlate(one, "x", "y", "z"), correlate(four, "x", "y", "z")
    assert copied.r == pytest.approx(alone.r)
    assert copied.high - copied.low > 0.9 * (alone.high - alone.low)


def test_a_seed_that_alone_makes_the_correlation_widens_it() -> None:
    frame = points(20, seeds=3)
    odd = frame["seed"] == 0
    random = np.random.default_rng(1)
    frame["y"] = np.where(odd, 5 * frame["x"], random.normal(size=len(frame)))
    even = frame.assign(seed=0, setting=[f"t{place}" for place in range(len(frame))])
    wide, narrow = correlate(frame, "x", "y"), correlate(even, "x", "y")
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_too_little_has_no_interval_and_what_does_not_vary_no_correlation() -> None:
    assert correlate(points(5), "x", "y").low is None
    assert correlate(points(6), "x", "y").low is not None
    assert math.isnan(correlate(points(8).assign(x=0.1), "x", "y").r)
    assert math.isnan(correlate(points(8).assign(x=lambda f: 3 * f["z"] + 1), "x", "y", "z").r)
    assert math.isnan(correlate(points(1, groups=8), "x", "y").r)  # one run a group: nothing within


@pytest.fixture
def many(runs):
    """Two methods, 6 settings each, two seeds; accuracy follows ln mLID, and rank is something else."""
    random = np.random.default_rng(0)
    for method, offset in (("simclr", 0.0), ("byol", -5.0)):
        for beta in (None, 0.01, 0.02, 0.05, 0.1, 0.2):
            lid, rank = random.uniform(4, 9), random.uniform(10, 20)
            kind = (
                {"regularizer": "none"}
                if beta is None
                else {"regularizer": "ldreg_l1", "beta": beta, "k": 16}
            )
            for seed in (0, 1):
                top1 = 80 + offset + 6 * math.log(lid) + 0.3 * rank + random.normal(scale=0.05)
                runs.add(seed, top1=top1, mlid=lid + 0.01 * seed, rank=rank, method=method, **kind)
    return runs


def shown(made) -> tuple[Figure, pd.DataFrame, pd.DataFrame]:
    """The figure, and of its CSV the runs and the correlations by what is within and what is removed."""
    figure, cells = drawn(made.spec("scatter"))
    correlations = cells[cells["kind"] == "correlation"].set_index(["within", "removed"])
    return figure, cells[cells["kind"] == "run"], correlations


def words(correlation: pd.Series) -> str:
    return f"r = {correlation['r']:.2f} [{correlation['low']:.2f}, {correlation['high']:.2f}]"


def test_points_are_the_runs_coloured_by_rank_and_marked_by_method(many) -> None:
    figure, cells, _ = shown(many)
    left, right, bar = figure.axes
    assert len(cells) == 24 and bar.get_ylabel() == "effective rank"
    assert left.get_xscale() == "log" and left.get_xlabel() == "mLID (MoM, k 16)"
    places = np.concatenate([dots.get_offsets().data for dots in left.collections])
    expected = cells[["mlid", "linear_top1"]].sort_values("mlid").to_numpy()
    assert places[places[:, 0].argsort()] == pytest.approx(expected)
    ranks = np.concatenate([dots.get_array() for dots in left.collections])
    assert sorted(ranks) == pytest.approx(sorted(cells["effective_rank"]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["SimCLR", "BYOL"]
    assert len({dots.get_paths()[0].vertices.shape for dots in left.collections}) == 2
    edged = [dots for dots in left.collections if tuple(dots.get_edgecolor()[0][:3]) == (0, 0, 0)]
    assert sum(len(dots.get_offsets()) for dots in edged) == 4  # the unregularised
    (line,) = right.lines
    assert np.ptp(line.get_ydata()) > 0


def test_the_numbers_in_the_figure_are_those_of_the_csv(many) -> None:
    figure, cells, correlations = shown(many)
    raw, given_rank = (
        correlations.loc[("methods", "nothing")],
        correlations.loc[("methods", "effective_rank")],
    )
    assert given_rank["r"] > 0.99 > raw["r"]
    overall = correlations.loc[("all runs", "nothing")]
    logarithms = pd.DataFrame({"x": np.log(cells["mlid"]), "y": cells["linear_top1"]})
    assert overall["r"] == pytest.approx(logarithms.corr().iloc[0, 1])
    assert overall["r"] != pytest.approx(raw["r"], abs=0.01)
    assert [axes.get_title("right") for axes in figure.axes[:2]] == [words(raw), words(given_rank)]
    note = figure.legends[0].get_title().get_text()
    assert "24 runs of 12 settings" in note and "and 2 seeds" in note
    assert words(correlations.loc[("methods", "ln_effective_rank")]) in note
    assert f"{100 * given_rank['variance_left']:.0f} % of the variance" in note
    assert ("SimCLR", "effective_rank") in correlations.index


def test_one_seed_is_named_and_few_settings_have_no_interval(runs) -> None:
    for place, beta in enumerate((0.01, 0.1, 1.0)):
        runs.add(0, top1=90 + place, mlid=5 + place, regularizer="ldreg_l1", beta=beta, k=16)
    figure, _, correlations = shown(runs)
    assert correlations["low"].isna().all() and "[" not in figure.axes[0].get_title("right")
    note = figure.legends[0].get_title().get_text()
    assert "no interval: too few settings" in note and len(correlations) == 5


def test_encoders_are_named_where_a_method_has_several(many) -> None:
    many.add(0, backbone="vit_mini")
    (legend,) = shown(many)[0].legends
    names = {text.get_text() for text in legend.get_texts()}
    assert names == {"SimCLR, small CNN", "SimCLR, small ViT", "BYOL"}


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(many) -> None:
    check_figure(shown(many)[0])
    check_files(many.spec("scatter"))
