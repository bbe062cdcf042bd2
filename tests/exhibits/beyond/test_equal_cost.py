"""Metrics and gains over the cost of runs, from fabricated measurements of a step's cost."""

import json

import pandas as pd
import pytest
from drawings import check_figure, check_files, drawn
from matplotlib.colors import to_hex

from ldreg.errors import LdregError
from ldreg.exhibits.beyond.declared import EQUAL_COST, CostSettings
from ldreg.exhibits.output import style

LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
COV = {"regularizer": "cov", "beta": 0.1}
COV_2 = {"regularizer": "cov", "beta": 1.0}
COV_VAR = {"regularizer": "cov_var", "beta": 0.1}
HOW = {"device": "cpu", "world_size": 1, "threads": 1, "precision": "float32", "micro_batch": None}


def add(runs, seed: int, ratio: float = 1.0, *, how=None, **spec):
    """A run whose step takes `ratio` of an unregularised one's, within 0.02 over its blocks."""
    folder = runs.add(seed, **{"method": "byol", "epochs": 40} | spec)
    treated = spec.get("regularizer", "none") != "none"
    known = {"seconds_with": 0.1 * ratio if treated else None, "seconds_without": 0.1, "ratio": ratio}
    known |= {"ratio_low": ratio - 0.02 if treated else None, "ratio_high": ratio + 0.02 if treated else None}
    known |= {"level": 0.96 if treated else None, "pairs": 30, "accumulation": None}
    (folder / "step_cost.json").write_text(json.dumps({**HOW, **known} | (how or {})))
    return folder


@pytest.fixture
def costs(runs):
    """Three seeds of unregularised training for 40 and 60 epochs, LDReg and three others for 40."""
    for seed in range(3):
        noise, more = 5.0 * seed, 0.01 * (seed - 1)
        add(runs, seed, 1.25 + more, **LDREG, top1=95 + noise + 0.1 * seed, mlid=9.0, rank=20.0)
        add(runs, seed, top1=90 + noise, mlid=6.0, rank=10.0)
        add(runs, seed, top1=92 + noise, mlid=7.0, rank=12.0, epochs=60)
        add(runs, seed, 1.05 + more, **COV, top1=91 + noise, mlid=6.1, rank=30.0)
        add(runs, seed, 2.0, **COV_2, top1=91 + noise, mlid=6.1, rank=30.0)
        add(runs, seed, 1.05, **COV_VAR, top1=91 + noise - 0.1 * seed, mlid=6.1, rank=30.0)
    return runs


def shown(made, **settings):
    return drawn(made.spec("equal_cost", **settings))


def lines_of(lines: pd.DataFrame, kind: str, *keys: str) -> pd.DataFrame:
    return lines[lines["kind"] == kind].set_index(list(keys))


def test_a_run_costs_its_epochs_times_what_its_step_takes(costs) -> None:
    levels = lines_of(shown(costs)[1], "level", "regularizer", "beta", "metric", "epochs")
    ldreg = levels.loc[("ldreg_l1", 0.1, "mlid", 40)]
    assert ldreg["cost_epochs"] == pytest.approx(40 * 1.25) and ldreg["step_ratio"] == pytest.approx(1.25)
    half = 4.302653 * 0.01 / 3**0.5
    assert ldreg["step_ratio_high"] == pytest.approx(1.25 + half, abs=1e-6)
    assert ldreg["cost_epochs_low"] == pytest.approx(40 * (1.25 - half), abs=1e-5)
    assert ldreg["step_interval"] == "95 % t-interval over seeds"
    plain = lines_of(shown(costs)[1], "level", "regularizer", "metric", "epochs").loc[("none", "mlid", 60)]
    assert (plain["cost_epochs"], plain["step_ratio"]) == (60, 1) and pd.isna(plain["cost_epochs_low"])


def test_gains_are_over_unregularised_training_of_the_same_cost(costs) -> None:
    lines = lines_of(shown(costs)[1], "gain", "regularizer", "beta", "metric")
    ldreg = lines.loc[("ldreg_l1", 0.1, "linear_top1")]
    # 49.6, 50 and 50.4 epochs, near half way between the unregularised: 90.96, 91 and 91.04, less the seed's
    # noise; against 95, 95.1 and 95.2.
    assert ldreg["mean"] == pytest.approx(4.1) and ldreg["n"] == 3 and ldreg["minus"] == "none"
    assert ldreg["high"] == pytest.approx(4.1 + 4.302653 * 0.06 / 3**0.5, abs=1e-6)
    assert lines.loc[("ldreg_l1", 0.1, "mlid"), "mean"] == pytest.approx(2.5)
    assert lines.loc[("cov", 0.1, "linear_top1"), "mean"] == pytest.approx(1 - 0.2)
    longer = lines.loc[("cov", 1.0, "linear_top1")]  # than any unregularised run
    assert longer["n"] == 0 and pd.isna(longer["mean"])
    assert "none" not in lines.index.get_level_values("regularizer")


def test_ldreg_is_compared_with_each_other_setting_paired_by_seed(costs) -> None:
    lines = lines_of(shown(costs)[1], "difference", "minus", "metric")
    assert set(lines["regularizer"]) == {"ldreg_l1"}
    cov = lines.loc[("Cov β 0.1", "linear_top1")]
    # Gains of 4.04, 4.1, 4.16 and 0.84, 0.8, 0.76: their differences are 3.2, 3.3 and 3.4.
    assert (cov["mean"], cov["n"]) == (pytest.approx(3.3), 3)
    assert cov["high"] == pytest.approx(3.3 + 4.302653 * 0.1 / 3**0.5, abs=1e-6)
    both = lines.loc[("Cov + Var β 0.1", "linear_top1")]  # 0.8, 0.7, 0.6: 3.24, 3.4, 3.56
    assert both["mean"] == pytest.approx(3.4)
    assert both["low"] == pytest.approx(3.4 - 4.302653 * 0.16 / 3**0.5, abs=1e-6)
    assert lines.loc[("Cov β 1", "mlid"), "n"] == 0


def test_the_cost_of_a_step_stands_in_the_legend(costs) -> None:
    figure, _ = shown(costs)
    half = 100 * 4.302653 * 0.01 / 3**0.5
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "unregularised",
        f"LDReg β 0.1, k 16: +25 % [+{25 - half:.0f}, +{25 + half:.0f}]",
        f"Cov β 0.1: +5 % [+{5 - half:.0f}, +{5 + half:.0f}]",
        "Cov β 1: +100 % [+100, +100]",
        "Cov + Var β 0.1: +5 % [+5, +5]",
    ]
    title = figure.legends[0].get_title().get_text()
    assert "95 % t-interval over seeds" in title and "no gain where" in title


def test_points_and_intervals_are_those_of_the_csv(costs) -> None:
    figure, lines = shown(costs)
    names = [axes.get_title("right") for axes in figure.axes]
    assert names[:3] == ["linear accuracy (%)", "mLID", "effective rank"]
    assert names[3:] == ["linear accuracy", "mLID", "effective rank"]
    assert figure.axes[1].get_xlabel() == "cost of a run (epochs of unregularised training)"
    assert figure.axes[3].get_ylabel() == "gain (points)"
    levels = lines_of(lines[lines["metric"] == "linear_top1"], "level", "regularizer")
    plain, ldreg, *_ = figure.axes[0].containers
    assert plain.lines[0].get_linestyle() == "--"
    assert list(plain.lines[0].get_xdata()) == [40, 60]
    assert list(plain.lines[0].get_ydata()) == pytest.approx([95, 97])
    row = levels.loc["ldreg_l1"]
    across, up = (bars.get_segments()[0] for bars in ldreg.lines[2])
    assert list(across[:, 0]) == pytest.approx([row["cost_epochs_low"], row["cost_epochs_high"]])
    assert list(up[:, 1]) == pytest.approx([row["low"], row["high"]])
    gains = lines_of(lines[lines["metric"] == "linear_top1"], "gain", "regularizer", "beta")
    marks = figure.axes[3].containers
    assert len(marks) == 3  # Cov at β 1 has none
    for mark, key in zip(marks, [("ldreg_l1", 0.1), ("cov", 0.1), ("cov_var", 0.1)], strict=True):
        assert mark.lines[0].get_ydata()[0] == pytest.approx(gains.loc[key, "mean"])
        bounds = mark.lines[2][0].get_segments()[0][:, 1]
        assert list(bounds) == pytest.approx([gains.loc[key, "low"], gains.loc[key, "high"]])
    assert [list(line.get_ydata()) for line in figure.axes[3].lines].count([0.0, 0.0]) == 1  # no gain


def test_every_setting_has_a_marker_and_every_regulariser_a_colour_of_its_own(costs) -> None:
    (plain, ldreg, *others) = (bars.lines[0] for bars in shown(costs)[0].axes[0].containers)
    assert to_hex(ldreg.get_color()).upper() == style.COLOURS[0]
    assert len({line.get_marker() for line in (plain, ldreg, *others)}) == 5
    cov, cov_2, cov_var = (line.get_color() for line in others)
    assert cov == cov_2 != cov_var and cov_var != ldreg.get_color()


def test_one_seed_has_the_interval_of_its_blocks_and_no_other(runs) -> None:
    add(runs, 0)
    add(runs, 0, epochs=60)
    add(runs, 0, 1.1, **LDREG)
    figure, lines = shown(runs)
    title = figure.legends[0].get_title().get_text()
    assert "1 seed, no interval" in title and "interval over blocks (at least 95 %)" in title
    assert "no gain where" not in title
    assert figure.legends[0].get_texts()[1].get_text() == "LDReg β 0.1, k 16: +10 % [+8, +12]"
    assert not any(bars.has_yerr for axes in figure.axes for bars in axes.containers)
    assert [bars.has_xerr for bars in figure.axes[0].containers] == [False, True]
    assert lines["low"].isna().all()
    ldreg = lines[lines["regularizer"] == "ldreg_l1"].iloc[0]
    assert (ldreg["cost_epochs_low"], ldreg["cost_epochs_high"]) == pytest.approx((43.2, 44.8))


def test_one_length_of_unregularised_training_says_nothing_of_another(runs) -> None:
    add(runs, 0)
    add(runs, 0, 1.1, **LDREG)
    _, lines = shown(runs)
    assert (lines_of(lines, "gain", "metric")["n"] == 0).all()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"how": {"device": "NVIDIA A100"}},
            r"not comparable in cost: their device differs \(cpu, NVIDIA A100\)",
        ),
        (
            {"method": "simclr", "epochs": 10},
            r"may differ in regulariser and epochs alone; there are BYOL.*SimCLR",
        ),
        ({"batch_size": 64}, r"may differ in regulariser and epochs alone"),
    ],
)
def test_costs_that_cannot_be_compared_are_refused(costs, extra, message) -> None:
    add(costs, 5, **extra)
    with pytest.raises(LdregError, match=message) as error:
        shown(costs)
    assert "\n" not in str(error.value)


def test_a_cost_that_was_not_measured_is_named(costs) -> None:
    path = costs.root / "runs/run0/seed0/step_cost.json"
    path.write_text("{}")
    with pytest.raises(LdregError, match=r"run0/seed0/step_cost\.json: key seconds_with is missing"):
        shown(costs)
    path.unlink()
    with pytest.raises(LdregError, match=r"run0/seed0/step_cost\.json: no such file") as error:
        shown(costs)
    assert "\n" not in str(error.value)
    assert EQUAL_COST.run_files(CostSettings()) == ("step_cost.json",)


def test_without_unregularised_runs_there_is_nothing_to_compare(runs) -> None:
    add(runs, 0, 1.1, **LDREG)
    with pytest.raises(LdregError, match="none is unregularised"):
        shown(runs)


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(costs) -> None:
    figure, lines = shown(costs)
    check_figure(figure)
    check_files(costs.spec("equal_cost"))
    # Levels of six, gains of four, and LDReg's against three, each of three metrics.
    assert len(lines) == (6 + 4 + 3) * 3
