"""Accuracy against mLID: correlations that are known, intervals that hold, and the figure."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy import stats

from ldreg.exhibits.figures.scatter import draw, left_of_variance, read_points, scatter, statistics
from ldreg.exhibits.output import style
from ldreg.exhibits.runs.run_table import read_exhibit, settings_of
from ldreg.exhibits.settings import Settings
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


def shown(made):
    exhibit = read_exhibit(made.spec("scatter"))
    settings = settings_of(exhibit, Settings)
    frame = read_points(exhibit, settings)
    found = statistics(frame)
    return draw(frame, found, settings), frame, found


def test_points_are_the_runs_coloured_by_rank_and_marked_by_method(many) -> None:
    figure, frame, _ = shown(many)
    left, right, bar = figure.axes
    assert len(frame) == 24 and bar.get_ylabel() == "effective rank"
    assert left.get_xscale() == "log" and left.get_xlabel() == "mLID (MoM, k 16)"
    places = np.concatenate([dots.get_offsets().data for dots in left.collections])
    expected = frame[["mlid", "linear_top1"]].sort_values("mlid").to_numpy()
    assert places[places[:, 0].argsort()] == pytest.approx(expected)
    ranks = np.concatenate([dots.get_array() for dots in left.collections])
    assert sorted(ranks) == pytest.approx(sorted(frame["effective_rank"]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["SimCLR", "BYOL"]
    assert len({dots.get_paths()[0].vertices.shape for dots in left.collections}) == 2
    edged = [dots for dots in left.collections if tuple(dots.get_edgecolor()[0][:3]) == (0, 0, 0)]
    assert sum(len(dots.get_offsets()) for dots in edged) == 4  # the unregularised
    (line,) = right.lines
    assert np.ptp(line.get_ydata()) > 0


def test_the_numbers_in_the_figure_are_those_of_the_csv(many) -> None:
    figure, frame, found = shown(many)
    raw, partial, by_logarithm, overall, *_ = found
    assert partial.found.r > 0.99 > raw.found.r and raw.groups == 2 and overall.groups == 1
    logarithms = pd.DataFrame({"x": np.log(frame["mlid"]), "y": frame["linear_top1"]})
    assert overall.found.r == pytest.approx(logarithms.corr().iloc[0, 1])
    assert overall.found.r != pytest.approx(raw.found.r, abs=0.01)
    titles = [axes.get_title("right") for axes in figure.axes[:2]]
    assert titles == [raw.words, partial.words] and "[" in titles[0]
    note = figure.legends[0].get_title().get_text()
    assert "24 runs of 12 settings" in note and by_logarithm.words in note
    assert f"{100 * left_of_variance(frame):.0f} % of the variance" in note and "and 2 seeds" in note
    cells = pd.read_csv(io.StringIO(scatter(read_exhibit(many.spec("scatter")))["csv"]))
    lines = cells[cells["kind"] == "correlation"].set_index(["within", "removed"])
    assert lines.loc[("methods", "effective_rank"), "r"] == pytest.approx(partial.found.r, abs=1e-9)
    assert lines.loc[("methods", "effective_rank"), "low"] == pytest.approx(partial.found.low, abs=1e-9)
    assert ("SimCLR", "effective_rank") in lines.index
    assert (cells["kind"] == "run").sum() == 24


def test_one_seed_is_told_and_few_settings_have_no_interval(runs) -> None:
    for place, beta in enumerate((0.01, 0.1, 1.0)):
        runs.add(0, top1=90 + place, mlid=5 + place, regularizer="ldreg_l1", beta=beta, k=16)
    figure, _, found = shown(runs)
    assert found[0].found.low is None and "[" not in figure.axes[0].get_title("right")
    note = figure.legends[0].get_title().get_text()
    assert "no interval: too few settings" in note and len(found) == 5


def test_encoders_are_named_where_a_method_has_several(many) -> None:
    many.add(0, backbone="vit_mini")
    assert set(shown(many)[1]["group"]) == {"SimCLR, small CNN", "SimCLR, small ViT", "BYOL"}


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(many) -> None:
    exhibit = read_exhibit(many.spec("scatter"))
    figure, *_ = shown(many)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert figure.get_size_inches()[0] == style.WIDTH and min(text.get_fontsize() for text in texts) >= 8
    style.png(figure)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height
    assert scatter(exhibit) == scatter(exhibit)
