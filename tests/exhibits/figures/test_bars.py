"""Bars with and without a regulariser: read from the figure itself, and the CSV beside it."""

import io
import math

import pandas as pd
import pytest
from matplotlib.text import Text

from ldreg.errors import LdregError
from ldreg.exhibits.figures.bars import bars, draw
from ldreg.exhibits.figures.declared import BarSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.paper import comparison
from ldreg.exhibits.paper.reported import Reported
from ldreg.exhibits.runs.arms import contexts
from ldreg.exhibits.runs.run_table import load_runs, read_exhibit, settings_of

LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
OWN = {"backbone": "resnet50", "epochs": 100, "batch_size": 2048}  # as in the paper
T_2 = 4.302653


@pytest.fixture
def methods(runs):
    """Two methods, three seeds each; effects of 2, 3 and 4 on the rank, of half of mLID."""
    for method, rank in (("simclr", 10.0), ("byol", 30.0)):
        for seed in range(3):
            runs.add(seed, rank=rank + 10 * seed, mlid=6 + seed, method=method)
            runs.add(seed, rank=rank + 11 * seed + 2, mlid=6.5 + seed, method=method, **LDREG)
    return runs


def drawn(made, **settings):
    exhibit = read_exhibit(made.spec("bars", **settings))
    checked = settings_of(exhibit, BarSettings)
    found = contexts(load_runs(exhibit, checked.metrics, checked))
    paper = Reported(exhibit.paper, checked)
    groups = (make(found, paper, checked.metrics, False) for make in (comparison.levels, comparison.effects))
    return draw(*groups, checked), pd.read_csv(io.StringIO(bars(exhibit)["csv"]))


def test_bars_and_whiskers_are_the_levels_of_the_csv_and_of_the_runs(methods) -> None:
    figure, cells = drawn(methods)
    levels = cells[cells["kind"] == "level"]
    assert list(levels[levels["metric"] == "effective_rank"]["mean"]) == pytest.approx([20, 23, 40, 43])
    assert list(levels[levels["metric"] == "mlid"]["mean"]) == pytest.approx([7, 7.5, 7, 7.5])
    for metric, axes in zip(("effective_rank", "mlid"), figure.axes, strict=True):
        rows = levels[levels["metric"] == metric]
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(list(rows["mean"]))
        whiskers = [c.lines[2][0].get_segments()[0][:, 0] for c in axes.containers if hasattr(c, "has_xerr")]
        assert [low for low, _ in whiskers] == pytest.approx(list(rows["low"]))
        assert [high for _, high in whiskers] == pytest.approx(list(rows["high"]))
        assert axes.get_xlim()[0] == pytest.approx(min(0, 1.1 * rows["low"].min()))


def test_effects_stand_behind_the_regularised_bars_and_in_the_csv_with_the_papers(methods) -> None:
    figure, cells = drawn(methods)
    assert [text.get_text() for text in figure.axes[0].texts] == ["+3.00", "+3.00"]
    effects = cells[(cells["kind"] == "effect") & (cells["metric"] == "effective_rank")].set_index("method")
    assert effects.loc["simclr", "high"] == pytest.approx(3 + T_2 / math.sqrt(3), abs=1e-5)
    assert effects.loc["simclr", "paper"] == pytest.approx(529.6 - 470.2)
    assert effects["comparable"].all()


def test_the_papers_levels_are_marked_at_its_own_scale_alone(methods, runs) -> None:
    def marks(figure) -> list[float]:
        return [float(line.get_xdata()[0]) for line in figure.axes[0].lines if line.get_marker() == "D"]

    figure, cells = drawn(methods)
    assert marks(figure) == [] and not cells[cells["kind"] == "level"]["comparable"].any()
    assert max(axes.get_xlim()[1] for axes in figure.axes) < 100
    first = len(runs.folders)
    for seed in range(2):
        runs.add(seed, rank=480.0, **OWN)
        runs.add(seed, rank=500.0, **OWN, regularizer="ldreg_l1", beta=0.01, k=64)
    figure, cells = drawn(runs, runs=runs.folders[first:], scale_of_paper=True, stands_for={})
    assert marks(figure) == [470.2, 529.6] and cells["comparable"].all()
    assert [text.get_text() for text in figure.axes[0].texts] == ["+20.0 (+59.4)"]
    assert "in brackets: the paper's" in figure.legends[0].get_title().get_text()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["unregularised", "LDReg", "paper"]


def test_names_axes_and_legend(methods) -> None:
    figure, _ = drawn(methods)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["SimCLR\nsmall CNN", "BYOL\nsmall CNN"]
    assert [axes.get_xlabel() for axes in (left, right)] == ["effective rank", "mLID (MoM, k 16)"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first method on top
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["unregularised", "LDReg"]
    assert "(whiskers) over 3 seeds" in legend.get_title().get_text()


def test_one_seed_or_one_arm(runs) -> None:
    runs.add(0, rank=10.0)
    runs.add(0, rank=12.0, method="byol", **LDREG)
    figure, cells = drawn(runs, metrics=["effective_rank"])
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [10.0, 12.0]
    assert not axes.texts and cells["low"].isna().all()
    assert "1 seed, no interval" in figure.legends[0].get_title().get_text()


def test_a_run_that_is_not_measured_is_named(methods, runs) -> None:
    (runs.root / "runs/run0/seed0/dimensionality.json").unlink()
    with pytest.raises(LdregError, match=r"run0/seed0/dimensionality\.json: not measured yet"):
        drawn(methods)


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(methods) -> None:
    for beta in (0.01, 1.0):  # long names in the legend
        methods.add(0, method="simclr_tuned", regularizer="min_lid", beta=beta, k=16)
    figure, _ = drawn(methods)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert figure.get_size_inches()[0] == style.WIDTH and min(text.get_fontsize() for text in texts) >= 8
    style.png(figure)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height
    exhibit = read_exhibit(methods.spec("bars"))
    assert bars(exhibit) == bars(exhibit)
