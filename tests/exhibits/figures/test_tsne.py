"""Figure 4 from fabricated tsne.csv files."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from ldreg.errors import LdregError
from ldreg.exhibits.figures.declared import TsneSettings
from ldreg.exhibits.figures.tsne import COLOURS, draw, read_maps, tsne
from ldreg.exhibits.output import style
from ldreg.exhibits.runs.run_table import read_exhibit

ARMS = (
    *({"regularizer": "min_lid", "beta": beta, "k": 16} for beta in (0.1, 1.0)),
    {"regularizer": "none"},
    {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16},
)


def points(seed: int) -> pd.DataFrame:
    """Three images of each of 10 classes."""
    places = np.random.default_rng(seed).normal(size=(30, 2)).round(3)
    return pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "label": [*range(10)] * 3, "perplexity": 9.5})


@pytest.fixture
def four(runs):
    """The paper's four settings, two seeds each, mLID by arm and seed."""
    for arm, settings in enumerate(ARMS):
        for seed in (1, 0):
            folder = runs.add(seed, mlid=3.0 + arm + 0.25 * seed, **settings)
            points(10 * arm + seed).to_csv(folder / "tsne.csv", index=False)
    return runs


def test_panels_stand_from_raised_to_lowered_lid_with_their_mlid(four) -> None:
    figure = draw(read_maps(read_exhibit(four.spec("tsne"))), TsneSettings())
    titles = ["LDReg β 0.1, k 16", "unregularised", "Min LID β 0.1, k 16", "Min LID β 1, k 16"]
    assert [axes.get_title("left") for axes in figure.axes] == titles
    assert [axes.get_title("right") for axes in figure.axes] == [
        f"mLID {m}" for m in ("6.00", "5.00", "3.00", "4.00")
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [str(label) for label in range(10)]
    assert "30 test images a panel, perplexity 9.5, runs of seed 0" in legend.get_title().get_text()


def test_points_and_colours_are_those_of_the_files_and_the_csv(four) -> None:
    exhibit = read_exhibit(four.spec("tsne"))
    cells = pd.read_csv(io.StringIO(tsne(exhibit)["csv"]))
    assert len(cells) == 4 * 30 and set(cells["seed"]) == {0}
    pd.testing.assert_frame_equal(
        cells[cells["regularizer"] == "none"][["x", "y", "label", "perplexity"]].reset_index(drop=True),
        points(20),
    )
    axes = draw(read_maps(exhibit), TsneSettings()).axes[1]
    none = points(20)
    for label, line in enumerate(axes.lines):
        assert list(line.get_xdata()) == list(none[none["label"] == label]["x"])
        assert list(line.get_ydata()) == list(none[none["label"] == label]["y"])
        assert line.get_color() == COLOURS[label]
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 10


def test_an_odd_number_of_panels_leaves_a_blank(four) -> None:
    folders = [f for f in four.folders if f.endswith("seed0")][1:]
    figure = draw(read_maps(read_exhibit(four.spec("tsne", runs=folders))), TsneSettings())
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]


def test_runs_without_a_map_are_named_in_one_line(four) -> None:
    path = four.root / "runs/run1/seed0/tsne.csv"
    path.write_text("x,y,label\n1,2,3\n")
    with pytest.raises(
        LdregError, match=r"seed0/tsne\.csv: perplexity: no such column; there are x, y, label$"
    ):
        tsne(read_exhibit(four.spec("tsne")))
    path.unlink()
    with pytest.raises(
        LdregError, match=r"seed0/tsne\.csv: not made yet; the folder holds dimensionality"
    ) as error:
        tsne(read_exhibit(four.spec("tsne")))
    assert "\n" not in str(error.value)


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(four) -> None:
    exhibit = read_exhibit(four.spec("tsne"))
    figure = draw(read_maps(exhibit), TsneSettings())
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert figure.get_size_inches()[0] == style.WIDTH and min(text.get_fontsize() for text in texts) >= 8
    style.png(figure)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height
    assert tsne(exhibit) == tsne(exhibit)
