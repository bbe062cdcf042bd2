"""Metrics over the wall-clock of runs, from fabricated summaries."""

import io
import json

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from ldreg.errors import LdregError
from ldreg.exhibits import style
from ldreg.exhibits.beyond_settings import CostSettings
from ldreg.exhibits.data import read_exhibit, settings_of
from ldreg.exhibits.equal_cost import draw, equal_cost, read_costs, table

LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
COV = {"regularizer": "cov", "beta": 0.1}
COV_2 = {"regularizer": "cov", "beta": 1.0}


def add(runs, seed: int, seconds: float, *, how=None, **spec):
    """A run of 256 images a step and 100 steps, that took so long."""
    folder = runs.add(seed, **{"method": "byol", "epochs": 40} | spec)
    summary = {"device": "cpu", "world_size": 1, "threads": 1, "precision": "float32", "micro_batch": None}
    summary |= {"accumulation": None, "wall_seconds": seconds, "images_per_second": 25600 / seconds}
    (folder / "summary.json").write_text(json.dumps(summary | (how or {})))
    return folder


@pytest.fixture
def costs(runs):
    """Three seeds of unregularised training for 40 and 60 epochs, LDReg and two Cov for 40."""
    for seed in range(3):
        noise = 5.0 * seed
        add(runs, seed, 100.0 + seed, **LDREG, top1=95 + noise + 0.1 * seed, mlid=9.0, rank=20.0)
        add(runs, seed, 80.0 + seed, top1=90 + noise, mlid=6.0, rank=10.0)
        add(runs, seed, 120.0 + seed, top1=92 + noise, mlid=7.0, rank=12.0, epochs=60)
        add(runs, seed, 84.0 + seed, **COV, top1=91 + noise, mlid=6.1, rank=30.0)
        add(runs, seed, 200.0 + seed, **COV_2, top1=91 + noise, mlid=6.1, rank=30.0)
    return runs


def shown(made, **settings):
    exhibit = read_exhibit(made.spec("equal_cost", **settings))
    checked = settings_of(exhibit, CostSettings)
    found = read_costs(exhibit, checked)
    return draw(found, checked), table(found, checked)


def test_effects_are_against_unregularised_training_of_the_same_length(costs) -> None:
    lines = shown(costs)[1].set_index(["regularizer", "beta", "metric"])
    ldreg = lines.loc[("ldreg_l1", 0.1, "linear_top1")]
    # Half way between the unregularised runs: 91, 96 and 101; the seeds differ by 0.1.
    assert ldreg["effect_at_equal_cost"] == pytest.approx(4.1) and ldreg["effect_n"] == 3
    assert ldreg["effect_at_equal_cost_high"] == pytest.approx(4.1 + 4.302653 * 0.1 / 3**0.5, abs=1e-6)
    assert lines.loc[("ldreg_l1", 0.1, "mlid"), "effect_at_equal_cost"] == pytest.approx(2.5)
    assert lines.loc[("cov", 0.1, "linear_top1"), "effect_at_equal_cost"] == pytest.approx(1 - 0.2)
    longer = lines.loc[("cov", 1.0, "linear_top1")]  # than any unregularised run
    assert longer["effect_n"] == 0 and pd.isna(longer["effect_at_equal_cost"])


def test_the_overhead_of_a_step_is_paired_by_seed_and_stands_in_the_legend(costs) -> None:
    figure, lines = shown(costs)
    overhead = lines[lines["regularizer"] == "ldreg_l1"].iloc[0]
    expected = sum(100 * ((100 + seed) / (80 + seed) - 1) for seed in range(3)) / 3
    assert overhead["step_overhead_percent"] == pytest.approx(expected)
    assert overhead["step_overhead_percent_low"] < expected < overhead["step_overhead_percent_high"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "unregularised",
        f"LDReg β 0.1, k 16 (+{expected:.0f} % a step)",
        "Cov β 0.1 (+5 % a step)",
        f"Cov β 1 (+{sum(100 * ((200 + s) / (80 + s) - 1) for s in range(3)) / 3:.0f} % a step)",
    ]
    assert lines[lines["regularizer"] == "none"]["step_overhead_percent"].isna().all()


def test_points_and_intervals_are_those_of_the_csv(costs) -> None:
    figure, lines = shown(costs)
    assert [axes.get_title("right") for axes in figure.axes] == [
        "linear accuracy (%)",
        "mLID",
        "effective rank",
    ]
    assert figure.axes[0].get_xlabel() == "wall-clock of a run (min)"
    accuracy = lines[lines["metric"] == "linear_top1"]
    plain, ldreg, *covs = figure.axes[0].containers
    assert plain.lines[0].get_linestyle() == "--"
    assert list(plain.lines[0].get_xdata()) == pytest.approx([81 / 60, 121 / 60])
    assert list(plain.lines[0].get_ydata()) == pytest.approx([95, 97])
    row = accuracy[accuracy["regularizer"] == "ldreg_l1"].iloc[0]
    across, up = (bars.get_segments()[0] for bars in ldreg.lines[2])
    assert list(across[:, 0]) == pytest.approx([row["seconds_low"] / 60, row["seconds_high"] / 60])
    assert list(up[:, 1]) == pytest.approx([row["level_low"], row["level_high"]])
    assert to_hex(ldreg.lines[0].get_color()).upper() == style.COLOURS[0]
    assert len({bars.lines[0].get_color() for bars in covs}) == 1
    assert len({bars.lines[0].get_marker() for bars in covs}) == 2


def test_one_seed_has_no_bars_and_says_so(runs) -> None:
    add(runs, 0, 10.0)
    add(runs, 0, 11.0, **LDREG)
    figure, lines = shown(runs)
    assert "1 seed, no interval" in figure.legends[0].get_title().get_text()
    assert not any(bars.has_xerr or bars.has_yerr for axes in figure.axes for bars in axes.containers)
    assert lines["level_low"].isna().all() and figure.axes[0].get_xlabel() == "wall-clock of a run (s)"
    assert (lines["effect_n"] == 0).all()  # one length of unregularised training says nothing of another


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"how": {"device": "NVIDIA A100"}},
            r"not comparable in time: their device differs \(cpu, NVIDIA A100\)",
        ),
        (
            {"method": "simclr", "epochs": 10},
            r"may differ in regulariser and epochs alone; there are BYOL.*SimCLR",
        ),
        ({"batch_size": 64}, r"may differ in regulariser and epochs alone"),
        ({"how": {"wall_seconds": None}}, r"summary\.json: wall_seconds: no time was taken \(None\)"),
        (
            {"how": {"images_per_second": 0.0}},
            r"summary\.json: images_per_second: no time was taken \(0\.0\)",
        ),
    ],
)
def test_times_that_cannot_be_compared_are_refused(costs, extra, message) -> None:
    add(costs, 5, 50.0, **extra)
    with pytest.raises(LdregError, match=message) as error:
        shown(costs)
    assert "\n" not in str(error.value)


def test_without_unregularised_runs_there_is_nothing_to_compare(runs) -> None:
    add(runs, 0, 10.0, **LDREG)
    with pytest.raises(LdregError, match="none is unregularised"):
        shown(runs)


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(costs) -> None:
    exhibit = read_exhibit(costs.spec("equal_cost"))
    figure, lines = shown(costs)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert figure.get_size_inches()[0] == style.WIDTH and min(text.get_fontsize() for text in texts) >= 8
    style.png(figure)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height
    first = equal_cost(exhibit)
    assert first == equal_cost(exhibit) and first["pdf"].startswith(b"%PDF")
    assert len(pd.read_csv(io.StringIO(first["csv"]))) == len(lines) == 5 * 3
