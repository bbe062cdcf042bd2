"""Errors of the mini-batch LID as curves, from fabricated lid_error.json files."""

import json
import math

import pytest
from drawings import check_figure, check_files, drawn

from ldreg.errors import LdregError
from ldreg.exhibits.beyond.declared import LID_ERROR, LidErrorSettings

KS, SIZES = (4, 8, 16, 32), (64, 128, 256, 512)
LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}


def bias(estimator: str, k: int, size: int, seed: int = 0, arm: int = 0) -> float:
    return (0.7 + k / 200 + size / 5000 + 0.01 * arm) * (1.05 if estimator == "mle" else 1.0) * 4.0**seed


def content(seed: int, arm: int) -> dict:
    entries = []
    for estimator in ("mom", "mle"):
        for k in KS:
            for size in SIZES:
                mean = bias(estimator, k, size, seed, arm)
                rms = 1 - size / 1000 + k / 1000 + seed
                entries.append(
                    {
                        "estimator": estimator,
                        "k": k,
                        "batch_rows": size,
                        "mlid": 8.0 * mean,
                        "full_mlid": 8.0,
                        "bias": mean,
                        "rms": rms,
                        "batch_bias": [mean * 0.9, mean, mean * 1.2],
                        "batch_rms": [rms - 0.05, rms, rms + 0.1],
                    }
                )
    return {"split": "train", "rows": 1347, "dim": 128, "batches": 3, "entries": entries}


@pytest.fixture
def two(runs):
    """Two settings, two seeds each."""
    for arm, settings in enumerate(({"regularizer": "none"}, LDREG)):
        for seed in (0, 1):
            folder = runs.add(seed, **settings)
            (folder / "lid_error.json").write_text(json.dumps(content(seed, arm)))
    return runs


def shown(made, **settings):
    return drawn(made.spec("lid_error", **settings))


def test_biases_are_averaged_as_logarithms_and_ranges_are_of_all_batches(two) -> None:
    _, lines = shown(two)
    point = lines.set_index(["regularizer", "estimator", "k", "batch_rows"]).loc[("none", "mom", 8, 256)]
    one = bias("mom", 8, 256)
    assert point["bias"] == pytest.approx(2 * one)  # of one and 4 times it
    assert (point["bias_lowest"], point["bias_highest"]) == pytest.approx((0.9 * one, 4.8 * one))
    low = 1 - 0.256 + 0.008
    assert point["rms"] == pytest.approx(math.sqrt((low**2 + (low + 1) ** 2) / 2))
    assert (point["rms_lowest"], point["rms_highest"]) == pytest.approx((low - 0.05, low + 1.1))
    assert point["mlid"] / point["full_mlid"] == pytest.approx(point["bias"])
    assert (point["runs"], point["batches"], point["full_rows"]) == (2, 6, 1347)
    assert (
        set(lines["k"]) == {8, 16, 32} and len(lines) == 2 * 2 * 3 * 4
    )  # those of the default that there are


def test_a_row_of_panels_for_each_setting_and_estimator_a_line_for_each_k(two) -> None:
    figure, lines = shown(two)
    assert [axes.get_title("left") for axes in figure.axes[::2]] == [
        f"{arm}; {estimator}"
        for arm in ("unregularised", "LDReg β 0.1, k 16")
        for estimator in ("MoM", "MLE")
    ]
    for row, (_, group) in enumerate(lines.groupby(["regularizer", "estimator"], sort=False)):
        for axes, key in zip(figure.axes[2 * row : 2 * row + 2], ("bias", "rms"), strict=True):
            assert axes.get_xscale() == "log"
            solid = [line for line in axes.lines if line.get_marker() == "o"]
            for line, (_, members) in zip(solid, group.groupby("k"), strict=True):
                assert list(line.get_xdata()) == list(SIZES)
                assert list(line.get_ydata()) == pytest.approx(list(members[key]))
            assert len({tuple(line.get_color()) for line in solid}) == 3
            assert len(axes.collections) == 3  # bands
    assert figure.axes[0].lines[-1].get_ydata()[0] == 1.0  # no bias


def test_points_with_k_growing_as_the_batch_are_marked(two) -> None:
    figure, lines = shown(two)
    fixed = lines[lines["fixed_ratio"] & (lines["regularizer"] == "none") & (lines["estimator"] == "mom")]
    assert list(zip(fixed["batch_rows"], fixed["k"], strict=True)) == [(256, 8), (512, 16)]
    (marked,) = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert list(marked.get_xdata()) == [256, 512] and list(marked.get_ydata()) == list(fixed["bias"])
    figure, lines = shown(two, rows_per_neighbour=16)
    assert set(lines[lines["fixed_ratio"]]["k"]) == {8, 16, 32}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["k 8", "k 16", "k 32", "k = N / 16"]
    note = figure.legends[0].get_title().get_text()
    assert "all 1347 rows" in note and "means over 2 runs" in note and "of 6 random" in note


def test_mistakes_are_named_in_one_line(two) -> None:
    with pytest.raises(LdregError, match=r"seed0/lid_error\.json: no MoM with k 128; k: 4, 8, 16, 32$"):
        shown(two, ks=[128])
    path = two.root / "runs/run1/seed1/lid_error.json"
    path.write_text(json.dumps({"rows": 3}))
    with pytest.raises(LdregError, match=r"lid_error\.json: key entries is missing"):
        shown(two)
    path.unlink()
    with pytest.raises(LdregError, match=r"run1/seed1/lid_error\.json: no such file") as error:
        shown(two)
    assert "\n" not in str(error.value)


def test_the_workflow_is_told_which_file_is_read() -> None:
    assert LID_ERROR.run_files(LidErrorSettings()) == ("lid_error.json",)


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(two) -> None:
    figure, _ = shown(two)
    check_figure(figure)
    check_files(two.spec("lid_error"))
