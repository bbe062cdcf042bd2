"""Curves over epochs: what is drawn is what the CSV says, and that is what the histories hold."""

import math

import pandas as pd
import pytest
from drawings import check_figure, check_files, drawn
from matplotlib.collections import PolyCollection

from ldreg.errors import LdregError
from ldreg.exhibits.output import style
from ldreg.exhibits.runs.csv_columns import read_columns
from ldreg.training.monitors import empty_row

LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
T_2 = 4.302653  # 97.5 % quantile of Student's t with 2 degrees of freedom


def add(runs, seed, values, monitor="mlid_mle_32", **run) -> None:
    """A run whose history has these values by epoch; None is an epoch in which nothing was measured."""
    history = pd.DataFrame({"epoch": range(1, len(values) + 1), "loss": 1.0, **empty_row()})
    history[monitor] = values
    history.to_csv(runs.add(seed, **run) / "history.csv", index=False)


@pytest.fixture
def pair(runs):
    """Three seeds, an epoch without measurement; LDReg is higher by 1."""
    for seed in (2, 0, 1):
        values = [5.0 + seed, None, 7.0 + seed]
        add(runs, seed, values)
        add(runs, seed, [None if value is None else value + 1 for value in values], **LDREG)
    return runs


def made(runs, **settings):
    return drawn(runs.spec("curves", **settings))


def test_means_and_bands_are_those_of_the_histories_and_of_the_csv(pair) -> None:
    figure, lines = made(pair)
    half = T_2 / math.sqrt(3)  # seeds are 1 apart
    (axes,) = figure.axes
    for kind, line, band, expected in zip(
        ("none", "ldreg_l1"), axes.lines, axes.collections, ([6.0, 8.0], [7.0, 9.0]), strict=True
    ):
        rows = lines[lines["regularizer"] == kind]
        assert list(rows["epoch"]) == list(line.get_xdata()) == [1, 3]
        assert list(rows["mean"]) == list(line.get_ydata()) == pytest.approx(expected)
        assert list(rows["low"]) == pytest.approx([value - half for value in expected], abs=1e-5)
        assert isinstance(band, PolyCollection)
        corners = {(round(x), round(y, 6)) for x, y in band.get_paths()[0].vertices}
        ends = zip([*rows["epoch"]] * 2, [*rows["low"], *rows["high"]], strict=True)
        assert corners == {(x, round(y, 6)) for x, y in ends}
    assert lines["seeds"].iloc[0] == "0:5 1:6 2:7"


def test_with_is_solid_and_without_dashed_in_the_methods_colour(pair) -> None:
    for seed in range(3):
        add(pair, seed, [3.0, 3.0], method="byol")
        add(pair, seed, [4.0, 4.0], method="byol", **{**LDREG, "beta": 0.5})
    figure, _ = made(pair)
    assert [axes.get_title("left") for axes in figure.axes] == ["SimCLR, small CNN", "BYOL, small CNN"]
    for place, axes in enumerate(figure.axes):
        assert [line.get_linestyle() for line in axes.lines] == ["--", "-"]
        assert {line.get_color() for line in axes.lines} == {style.COLOURS[place]}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["unregularised", "LDReg"]
    assert "over 3 seeds" in legend.get_title().get_text()


def test_strengths_share_a_panel_in_ascending_order_with_the_accuracy_after_training(runs) -> None:
    for strength in (1.0, 0.2, 0.6):
        for seed in range(3):
            add(runs, seed, [strength, 5 * strength], top1=90 + strength + seed, jitter=strength)
    figure, lines = made(runs, over="jitter", in_legend="linear_top1")
    (axes,) = figure.axes
    assert [line.get_ydata()[-1] for line in axes.lines] == pytest.approx([1.0, 3.0, 5.0])
    assert len({line.get_color() for line in axes.lines}) == 3
    assert {line.get_linestyle() for line in axes.lines} == {"-"}
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert [text.split(" ±")[0] for text in texts] == ["0.2: 91.20", "0.6: 91.60", "1: 92.00"]
    assert legend.get_title().get_text() == "colour jitter strength s:\nlinear accuracy (%)"
    assert list(lines["linear_top1_mean"].unique()) == pytest.approx([91.2, 91.6, 92.0])


def test_a_swept_regulariser_has_a_grey_line_without_it(runs) -> None:
    add(runs, 0, [1.0])
    for batch, beta in enumerate((1.0, 0.1)):
        add(runs, 0, [2.0 + batch], **{**LDREG, "beta": beta})
    axes = made(runs, over="beta")[0].axes[0]
    assert [line.get_ydata()[0] for line in axes.lines] == [1.0, 3.0, 2.0]
    assert axes.lines[0].get_color() == style.REFERENCE and axes.lines[0].get_linestyle() == "--"


def test_whole_numbers_are_ordered_as_numbers(runs) -> None:
    for size in (256, 64, 1024):
        add(runs, 0, [float(size)], batch_size=size)
    axes = made(runs, over="batch_size")[0].axes[0]
    assert [line.get_ydata()[0] for line in axes.lines] == [64, 256, 1024]
    assert len({line.get_color() for line in axes.lines}) == 3


def test_one_seed_has_no_band_and_says_so(runs) -> None:
    add(runs, 0, [5.0, 6.0])
    figure, lines = made(runs)
    assert not figure.axes[0].collections and lines["low"].isna().all()
    assert figure.legends[0].get_title().get_text().endswith("1 seed, no interval")


def test_mlid_at_each_runs_own_k_names_it_and_is_not_compared_across_k(pair) -> None:
    for folder in pair.folders:
        path = f"{folder}/history.csv"
        pd.read_csv(path).assign(mlid=4.0).to_csv(path, index=False)
    figure, _ = made(pair, monitor="mlid")
    assert "MoM, k 16;" in figure.legends[0].get_title().get_text()
    add(pair, 0, [5.0], "mlid", **{**LDREG, "k": 64})
    with pytest.raises(LdregError, match=r"at each run's own k, here 16, 64, .*mlid_mle_32 has one k"):
        made(pair, monitor="mlid")


@pytest.mark.parametrize("monitor", list(empty_row()))
def test_every_monitor_of_the_histories_can_be_shown(runs, monitor: str) -> None:
    add(runs, 0, [5.0, 6.0], monitor)
    figure, lines = made(runs, monitor=monitor)
    assert figure.axes[0].get_ylabel() and set(lines["monitor"]) == {monitor}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"history\.csv: not made yet; the folder holds dimensionality\.json"),
        ("", r"history\.csv: cannot be read as CSV: No columns"),
        ("loss\n1\n", r"history\.csv: epoch: no such column; there are loss"),
        ("epoch,mlid\n1,2\n", r"mlid_mle_32: not measured in any epoch; there is mlid$"),
        ("epoch,mlid_mle_32\n1,\n", r"mlid_mle_32: not measured in any epoch; there is nothing$"),
        ("epoch,mlid_mle_32\n", r"mlid_mle_32: not measured in any epoch; there is nothing$"),
        ("epoch,mlid_mle_32\n1,high\n", r"mlid_mle_32: not all cells are numbers"),
    ],
)
def test_a_history_that_will_not_do_is_named_in_one_line(runs, content, message) -> None:
    folder = runs.add(0)
    if content is not None:
        (folder / "history.csv").write_text(content)
    with pytest.raises(LdregError, match=message) as error:
        made(runs)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_other_wrong_exhibits_are_named(pair) -> None:
    with pytest.raises(LdregError, match=r"settings\.monitor: 'loss' is not allowed"):
        made(pair, monitor="loss")
    for seed in range(3):
        add(pair, seed, [1.0], jitter=2.0)
    with pytest.raises(LdregError, match=r"settings.over: 'jiter' is unknown; did you mean 'jitter'"):
        made(pair, over="jiter")
    with pytest.raises(LdregError, match=r"method does not tell the curves at SimCLR apart: .*small CNN"):
        made(pair, over="method")


def test_more_regularised_settings_than_line_styles_are_refused(runs) -> None:
    for beta in (0.1, 0.2, 0.3, 0.4, 0.5):
        add(runs, 0, [1.0], **{**LDREG, "beta": beta})
    with pytest.raises(LdregError, match="5 regularised settings are too many for 4 line styles"):
        made(runs)


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(pair) -> None:
    for method in ("simclr_tuned", "byol", "moco", "vicreg"):
        add(pair, 0, [3.0, 3.0], method=method)
    figure, lines = made(pair)
    check_figure(figure)
    check_files(pair.spec("curves"))
    assert len(lines) == 4 + 4 * 2


def test_read_columns_keeps_the_others(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,x\n,y\n")
    assert list(read_columns(path, ["a"])["b"]) == ["x", "y"]
    with pytest.raises(LdregError, match="the folder holds nothing"):
        read_columns(tmp_path / "none/a.csv", ["a"])
