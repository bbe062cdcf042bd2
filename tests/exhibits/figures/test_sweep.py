"""The sweep figure: what is on it, read from the matplotlib figure itself, and the CSV beside it."""

import math

import pandas as pd
import pytest
from drawings import check_figure, check_files, drawn
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ldreg.errors import LdregError
from ldreg.exhibits.output import style
from ldreg.exhibits.output.axis import AxisScale

FIGURE_5 = {
    "axes": ["beta", "k"],
    "metrics": ["linear_top1", "effective_rank"],
    "base": {"beta": 0.1, "k": 16},
    "paper_base": {"beta": 0.01, "k": 64},
    "paper_says": {"effective_rank": {"beta": "falls", "k": "falls"}},
}


def sweep(made, **settings) -> tuple[Figure, pd.DataFrame]:
    return drawn(made.spec("sweep", **settings))


def test_figure_5_has_four_lettered_panels_with_units(demo) -> None:
    figure, _ = sweep(demo, **FIGURE_5)
    panels = figure.axes
    assert [axes.get_title("left") for axes in panels] == ["(a)", "(b)", "(c)", "(d)"]
    assert [axes.get_xlabel() for axes in panels] == [
        *("weight β of the regulariser", "neighbourhood size k") * 2,
    ]
    assert [panels[0].get_ylabel(), panels[2].get_ylabel()] == ["linear accuracy (%)", "effective rank"]
    assert [axes.get_title("right") for axes in panels] == ["", "", "paper: falls", "paper: falls"]


def test_ticks_are_the_swept_values_on_logarithmic_axes(demo) -> None:
    beta, k, *_ = sweep(demo, **FIGURE_5)[0].axes
    assert beta.get_xscale() == k.get_xscale() == "log"
    assert [label.get_text() for label in beta.get_xticklabels()] == ["0.01", "0.1", "1"]
    assert [label.get_text() for label in k.get_xticklabels()] == ["8", "16", "32", "64"]
    assert list(k.get_xticks()) == pytest.approx([8, 16, 32, 64])


def test_means_error_bars_and_seeds_are_those_of_the_csv(demo) -> None:
    figure, lines = sweep(demo, **FIGURE_5)
    for letter, axes in zip("abcd", figure.axes, strict=True):
        swept = lines[(lines["panel"] == letter) & lines["value"].notna()]
        (bars,) = axes.containers
        assert list(bars.lines[0].get_ydata()) == pytest.approx(list(swept["mean"]))
        ends = [segment[:, 1] for segment in bars.lines[2][0].get_segments()]
        assert [low for low, _ in ends] == pytest.approx(list(swept["low"]))
        assert [high for _, high in ends] == pytest.approx(list(swept["high"]))
        seeds = [line for line in axes.lines if line.get_marker() == "."]
        for seed, line in enumerate(seeds):  # one line through each seed's own values
            own = [dict(part.split(":") for part in cell.split())[str(seed)] for cell in swept["seeds"]]
            assert list(line.get_ydata()) == pytest.approx([float(value) for value in own])
        assert len(seeds) == 3


def test_the_unregularised_line_its_band_and_its_name(demo) -> None:
    figure, lines = sweep(demo, **FIGURE_5)
    for letter, axes in zip("abcd", figure.axes, strict=True):
        none = lines[(lines["panel"] == letter) & lines["value"].isna()].iloc[0]
        (line,) = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert list(line.get_ydata()) == pytest.approx([none["mean"]] * 2)
        (band,) = axes.patches
        assert band.get_y() == pytest.approx(none["low"])
        assert band.get_y() + band.get_height() == pytest.approx(none["high"])
        (label,) = [text for text in axes.texts if text.get_text() == "without\nLDReg"]
        assert label.xy[1] == pytest.approx(none["mean"])
        low, high = axes.get_ylim()
        assert low < none["low"] and none["high"] < high


def test_only_runs_at_the_base_of_the_other_axis_are_shown(demo) -> None:
    demo.add(0, regularizer="ldreg_l1", beta=1.0, k=64, top1=1.0)
    figure, lines = sweep(demo, **FIGURE_5)
    beta = lines[(lines["panel"] == "a")].sort_values("value")
    assert list(beta["value"].dropna()) == [0.01, 0.1, 1.0]
    assert lines["mean"].min() > 5 and figure.axes[0].get_ylim()[0] > 90


def test_effects_in_the_csv_are_paired_and_the_papers_are_beside_them(runs) -> None:
    for seed, noise in enumerate((0.0, 40.0, -40.0)):
        runs.add(seed, rank=10 + noise)
        runs.add(seed, rank=[12, 53, -26][seed], regularizer="ldreg_l1", beta=0.1, k=16)
    figure_5 = {**FIGURE_5, "metrics": ["effective_rank"]}
    lines = sweep(runs, **figure_5)[1]
    swept = lines[(lines["axis"] == "beta") & (lines["series"] == "ldreg_l1")].iloc[0]
    assert swept["effect_mean"] == pytest.approx(3.0)  # 2, 3 and 4
    assert swept["effect_high"] == pytest.approx(3 + 4.302653 / math.sqrt(3), abs=1e-5)
    assert swept["effect_n"] == 3
    assert (swept["paper"], swept["paper_effect"]) == (320, pytest.approx(320 - 470.2))
    assert swept["paper_read_off"]
    none = lines[lines["series"] == "none"].iloc[0]
    assert none["paper"] == 470.2 and pd.isna(none["effect_mean"]) and not none["paper_read_off"]


def test_one_seed_has_no_bars_no_band_and_says_so(fabricated) -> None:
    figure, lines = sweep(fabricated([0]), **FIGURE_5)
    for axes in figure.axes:
        assert not axes.patches and not axes.containers[0].has_yerr
    assert figure.legends[0].get_title().get_text() == "1 seed, no interval"
    assert lines["low"].isna().all()


def test_the_papers_curve_is_drawn_at_its_own_scale_only(runs) -> None:
    for beta in (0.01, 0.05, 0.1):
        paper = {"backbone": "resnet50", "epochs": 100, "batch_size": 2048}
        runs.add(0, **paper, regularizer="ldreg_l1", beta=beta, k=64)
    base = {**FIGURE_5, "axes": ["beta"], "metrics": ["effective_rank"], "base": {"k": 64}}

    def curves(**settings) -> list[list[float]]:
        axes = sweep(runs, **base, **settings)[0].axes[0]
        return [list(line.get_ydata()) for line in axes.lines if line.get_marker() == "D"]

    assert curves() == []
    assert curves(scale_of_paper=True) == [[529.6, 430, 320]]


def test_another_setting_is_swept_with_and_without(runs) -> None:
    for seed in range(2):
        for temperature in (0.1, 0.2, 0.5):
            runs.add(seed, mlid=6 + temperature + 0.1 * seed, temperature=temperature)
            runs.add(
                seed,
                mlid=7 + temperature + 0.1 * seed,
                temperature=temperature,
                regularizer="ldreg_l1",
                beta=0.1,
                k=16,
            )
    figure, lines = sweep(runs, axes=["temperature"], metrics=["mlid"])
    (axes,) = figure.axes
    assert axes.get_xscale() == "linear" and axes.get_xlabel() == "temperature"
    assert len(axes.containers) == 2 and not axes.patches
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["unregularised", "LDReg", "one seed"]
    treated = lines[lines["series"] == "ldreg_l1"]
    assert list(treated["effect_mean"]) == pytest.approx([1.0] * 3)
    assert list(treated["value"]) == [0.1, 0.2, 0.5]


def test_words_stand_side_by_side_unjoined(runs) -> None:
    for method in ("simclr", "byol"):
        runs.add(0, method=method)
        runs.add(0, method=method, regularizer="ldreg_l1", beta=0.1, k=16)
    figure, lines = sweep(runs, axes=["method"], metrics=["mlid"])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["SimCLR", "BYOL"]
    assert all(bars.lines[0].get_linestyle() == "None" for bars in axes.containers)
    paper = lines.set_index(["series", "value"])["paper_effect"]
    assert paper["ldreg_l1", "byol"] == pytest.approx(22.3 - 15.9)


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_runs_that_differ_elsewhere_make_curves_of_their_own(demo) -> None:
    for seed in range(2):
        demo.add(seed + 3, epochs=80, regularizer="ldreg_l1", beta=0.1, k=16)
    figure, lines = sweep(demo, **FIGURE_5)
    assert labels(figure) == ["epochs 40, LDReg", "epochs 80, LDReg", "one seed"]
    assert set(lines["curve"]) == {"epochs 40, unregularised", "epochs 40, LDReg", "epochs 80, LDReg"}
    figure, lines = sweep(demo, **{**FIGURE_5, "base": {"beta": "1e-1", "k": 16, "epochs": 40}})
    assert labels(figure) == ["LDReg", "one seed"] and "curve" not in lines


def test_methods_make_curves_that_are_each_compared_with_their_own_control(runs) -> None:
    for place, method in enumerate(("simclr", "byol", "vicreg")):
        usual = 1.0 if method == "vicreg" else 0.1
        settings = {"method": method, "augmentation": method}  # which follows from the method
        for seed in range(2):
            runs.add(seed, mlid=5 + place, **settings)
            for beta in (0.1, 1.0):
                lift = {"mlid": 5 + place + beta * (place + 1)}
                runs.add(seed, **lift, **settings, regularizer="ldreg_l1", beta=beta, k=16)
            runs.add(seed, mlid=9 + place, **settings, regularizer="ldreg_l1", beta=usual, k=32)
    at = {"beta": 0.1, "k": 16}
    base_of = {"simclr small_cnn": at, "byol small_cnn": at, "vicreg small_cnn": {"beta": 1.0, "k": 16}}
    figure, lines = sweep(runs, axes=["beta", "k"], metrics=["mlid"], base_of=base_of)
    names = ["SimCLR", "BYOL", "VICReg"]
    both = [f"{name}, {what}" for what in ("unregularised", "LDReg") for name in names]
    assert labels(figure) == [*both, "one seed"]
    assert lines["n"].sum() == 2 * (3 + 6 + 3 + 6)  # every run: controls and curves, in both panels
    effects = lines[lines["axis"] == "beta"].set_index(["curve", "value"])["effect_mean"]
    for place, name in enumerate(names):
        assert effects[f"{name}, LDReg", 1.0] == pytest.approx(place + 1)
    (axes, _) = figure.axes
    colours = [to_hex(bars.lines[0].get_color()) for bars in axes.containers]
    dashed = [to_hex(line.get_color()) for line in axes.lines if line.get_linestyle() == "--"]
    assert len(set(colours)) == 3 and colours == dashed and not axes.texts


def test_values_beside_the_axis_make_curves(runs) -> None:
    runs.add(0, mlid=5)
    for beta in (0.01, 0.1):
        for k in (8, 16):
            runs.add(0, mlid=5 + beta * k, regularizer="ldreg_l1", beta=beta, k=k)
    figure, lines = sweep(runs, axes=["k"], metrics=["mlid"])
    assert labels(figure) == ["LDReg β 0.01", "LDReg β 0.1"]
    assert list(lines["value"].dropna()) == [8, 16] * 2
    (text,) = figure.axes[0].texts
    assert text.get_text() == "without\nLDReg"


def test_runs_without_the_swept_setting_are_lines(runs) -> None:
    runs.add(0, mlid=5)
    runs.add(0, mlid=6, regularizer="cov", beta=0.1)
    for k in (8, 16):
        runs.add(0, mlid=7, regularizer="ldreg_l1", beta=0.1, k=k)
    figure, lines = sweep(runs, axes=["k"], metrics=["mlid"], base={"k": 16})
    assert labels(figure) == ["unregularised", "LDReg", "Cov"]
    assert list(lines[lines["value"].isna()]["mean"]) == [5, 6]


def test_a_base_in_k_leaves_out_no_regulariser_without_k(runs) -> None:
    runs.add(0, mlid=5)
    for beta in (0.01, 0.1):
        runs.add(0, mlid=6, regularizer="cov", beta=beta)
        runs.add(0, mlid=7, regularizer="ldreg_l1", beta=beta, k=16)
    lines = sweep(runs, axes=["beta"], metrics=["mlid"], base={"beta": 0.1, "k": 16})[1]
    assert list(lines[lines["series"] == "cov"]["value"]) == [0.01, 0.1]


def test_the_papers_curve_is_of_the_curves_own_method_and_beta(runs) -> None:
    paper = {"backbone": "resnet50", "epochs": 100, "batch_size": 2048, "regularizer": "ldreg_l1"}
    for method in ("simclr", "byol"):
        for beta in (0.005, 0.01):
            for k in (64, 128):
                runs.add(0, **paper, method=method, beta=beta, k=k)
    settings = {"axes": ["k"], "metrics": ["linear_top1"], "scale_of_paper": True}
    there = sweep(runs, **settings)[1].set_index(["curve", "value"])["paper"].dropna()
    assert there["BYOL, LDReg β 0.005", 64] == 68.5 and there["SimCLR, LDReg β 0.01", 64] == 64.8
    assert not [label for label, _ in there.index if label in ("BYOL, LDReg β 0.01", "SimCLR, LDReg β 0.005")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"axes": ["betta"]}, r"settings.axes: 'betta' is unknown; did you mean 'beta'"),
        ({"base": {"kk": 16}}, r"settings.base: 'kk' is unknown.*regularizer_start"),
        ({"base": {"epochs": 7}}, r"base: no run is at \{'epochs': 7\}"),
        ({"axes": []}, r"settings\.axes"),
        ({"metrics": ["accuracy"]}, r"settings\.metrics\[0\]: 'accuracy' is not allowed.*'linear_top1'"),
    ],
)
def test_wrong_sweeps_are_named(demo, settings, message) -> None:
    with pytest.raises(LdregError, match=message):
        sweep(demo, **{**FIGURE_5, **settings})


def test_scales() -> None:
    assert AxisScale.of([0.01, 1, 0.1]).base == 10
    assert AxisScale.of([64, 8]).base == 2
    assert AxisScale.of([0.2, 0.4, 1.0]).base is None
    assert AxisScale.of([0, 1, 100]).base is None
    assert not AxisScale.of(["a", "b"]).numeric
    assert AxisScale.of(["b", "a"]).at("a") == 1
    assert AxisScale.of([8, 16]).at(8, 0.5) == pytest.approx(8 * math.sqrt(2))


def test_text_is_legible_and_nothing_is_cut(demo) -> None:
    figure, _ = sweep(demo, **FIGURE_5)
    check_figure(figure)
    assert to_hex(figure.axes[0].containers[0].lines[0].get_color()).upper() == style.COLOURS[0]


def test_files_are_what_they_say_and_the_same_each_time(demo) -> None:
    check_files(demo.spec("sweep", **FIGURE_5))
