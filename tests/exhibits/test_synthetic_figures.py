"""Figures 1 and 3: what is drawn, read from the matplotlib figures, and the CSV beside it."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from ldreg.errors import LdregError
from ldreg.exhibits import style, synthetic_figures
from ldreg.exhibits.data import Exhibit
from ldreg.exhibits.synthetic_figures import draw_figure1, draw_figure3, figure1_table, figure3_table

REPOSITORY = Path(__file__).resolve().parents[2]
PAPER = {"fr_distance_at_mlid_1.1": 0.65, "gid_at_mlid_1.1": 1.9}
SEEDS = [3, 4]


def cloud(number: int, points: int = 60, **numbers) -> dict:
    drawn = np.random.default_rng(number).uniform(-0.5, 0.5, (points, 2)).round(6).tolist()
    return {"points": drawn, "mlid": [1.25, 1.21], "fr_distance": [0.5, 0.4], "gid": [2.0, 2.0], **numbers}


def content(figure: str) -> dict:
    """As `ldreg.synthetic.compute` writes it, with numbers of the test's choice."""
    if figure == "figure3":
        panels = {f"{t:.1f}": cloud(i, mlid=[t + 0.01, t - 0.03]) for i, t in enumerate((1.0, 1.2, 1.4, 2.0))}
        return {"figure": figure, "seeds": SEEDS, "points": 2000, "k": 16, "panels": panels}
    anchors = {"spread": {"points": cloud(1)["points"], "lid": [2.1, 1.9]}}
    anchors["collapsed"] = {"points": cloud(2)["points"], "lid": [1.1, 1.0]}
    clouds = {f"cloud_{m}": cloud(3, noise=[0.01, 0.02]) for m in (1.1, 1.9)}
    restored = {"restored": cloud(4, trace=[[1.1, 1.6, 1.9], [1.2, 1.7, 1.8]])}
    settings = {"anchor_points": 60, "anchor_k": 8, "points": 60, "k": 20}
    return {"figure": figure, "seeds": SEEDS, **settings, "panels": {**anchors, **clouds, **restored}}


def table(figure: str) -> pd.DataFrame:
    return figure1_table(content(figure), PAPER) if figure == "figure1" else figure3_table(content(figure))


def draw(figure: str):
    return {"figure1": draw_figure1, "figure3": draw_figure3}[figure](table(figure), content(figure))


def exhibit(folder: Path, figure: str) -> Exhibit:
    return Exhibit(
        path=folder / f"{figure}.spec.yaml",
        exhibit=figure,
        scale="demo",
        renderer=figure,
        runs=(),
        paper=REPOSITORY / "config/paper/reported.csv",
    )


def marks(axes) -> np.ndarray:
    """(n, 2): the first series of a panel, its points."""
    return axes.lines[0].get_xydata()


def test_figure_1_draws_every_point_and_says_what_was_measured_beside_the_papers() -> None:
    figure, panels = draw("figure1"), content("figure1")["panels"]
    spread, collapsed, distances, first, second, before, after, trace = figure.axes
    assert [axes.get_title("left") for axes in (spread, collapsed)] == [
        "(a) no collapse\nLID 2.10",
        "(b) local collapse\nLID 1.10",
    ]
    assert first.get_title("left") == "(c) mLID 1.25 (1.1)\nFR 0.50 (0.65)\nGID 2.0 (1.9)"
    assert second.get_title("left") == "mLID 1.25 (1.9)\nFR 0.50\nGID 2.0"
    assert after.get_title("left") == "after LDReg\nmLID 1.25, GID 2.0"
    drawn = {"spread": spread, "collapsed": collapsed, "cloud_1.1": first, "cloud_1.9": second}
    for name, axes in {**drawn, "restored": after}.items():
        assert marks(axes).tolist() == panels[name]["points"]
    assert marks(before).tolist() == panels["cloud_1.1"]["points"]
    assert [line.get_ydata().tolist() for line in trace.lines[:2]] == panels["restored"]["trace"]
    assert distances.get_xscale() == distances.get_yscale() == "log"


def test_the_neighbours_and_distances_of_an_anchor_are_its_own() -> None:
    figure = draw("figure1")
    points = np.asarray(content("figure1")["panels"]["spread"]["points"])
    radii = np.sort(np.linalg.norm(points, axis=1))
    near = figure.axes[0].lines[1].get_xydata()
    assert np.linalg.norm(near, axis=1) == pytest.approx(radii[:8])
    curve, mark = figure.axes[2].lines[:2]
    assert curve.get_xdata() == pytest.approx(radii[:24])
    assert curve.get_ydata() == pytest.approx(np.arange(1, 25) / 60)
    assert mark.get_xydata() == pytest.approx(np.array([[radii[7], 8 / 60]]))


def test_figure_3_has_mlid_and_gid_in_every_title_and_all_seeds_below() -> None:
    figure, panels = draw("figure3"), content("figure3")["panels"]
    *clouds, below = figure.axes
    assert clouds[1].get_title("left") == "target 1.2: mLID 1.21\nGID 2.0"
    for axes, panel in zip(clouds, panels.values(), strict=True):
        assert marks(axes).tolist() == panel["points"]
    means = [bars.lines[0].get_ydata()[0] for bars in below.containers]
    assert means == pytest.approx([-0.01] * 4)
    each = [line.get_ydata().tolist() for line in below.lines if line.get_marker() == "."]
    assert each == [pytest.approx([0.01, -0.03])] * 4
    assert [label.get_text() for label in below.get_xticklabels()] == list(panels)
    (band,) = below.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((-0.05, 0.1))
    low, high = below.get_ylim()
    assert low < -0.05 and high > 0.05


def test_an_offset_far_outside_the_tolerance_is_still_seen() -> None:
    far = content("figure3")
    far["panels"]["2.0"]["mlid"] = [1.7, 1.71]
    below = draw_figure3(figure3_table(far), far).axes[-1]
    assert below.get_ylim()[0] < -0.3


def test_one_seed_has_no_interval() -> None:
    one = content("figure3") | {"seeds": [3]}
    for panel in one["panels"].values():
        panel.update({key: values[:1] for key, values in panel.items() if key != "points"})
    below = draw_figure3(figure3_table(one), one).axes[-1]
    assert not any(bars.has_yerr for bars in below.containers)


def test_the_csv_holds_what_is_plotted() -> None:
    rows = table("figure1").set_index(["panel", "series"])
    panels = content("figure1")["panels"]
    names = {"a": "spread", "b": "collapsed", "c1": "cloud_1.1", "c2": "cloud_1.9", "d": "restored"}
    for panel, name in names.items():
        assert rows.loc[(panel, "points"), ["x", "y"]].to_numpy().tolist() == panels[name]["points"]
    trace = rows.loc[("d", "mlid over steps")]
    assert trace["y"].tolist() == [mlid for seed in panels["restored"]["trace"] for mlid in seed]
    assert trace["seed"].tolist() == [3, 3, 3, 4, 4, 4] and trace["x"].tolist() == [0, 1, 2] * 2
    numbers = rows.loc[("c1", "fr_distance")]
    assert numbers[["seed", "value", "paper"]].to_numpy().tolist() == [[3, 0.5, 0.65], [4, 0.4, 0.65]]
    assert rows.loc[("c2", "gid"), "paper"].isna().all()
    offsets = table("figure3").query("series == 'offset' and panel == '1.4'")
    assert offsets["value"].tolist() == pytest.approx([0.01, -0.03])


@pytest.mark.parametrize("figure", ["figure1", "figure3"])
def test_text_is_legible_and_nothing_is_cut_or_overlaps(figure) -> None:
    drawn = draw(figure)
    assert drawn.get_size_inches()[0] == style.WIDTH
    style.png(drawn)
    texts = [text for text in drawn.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert min(text.get_fontsize() for text in texts) >= 8 and len(texts) > 10
    box, (width, height) = drawn.get_tightbbox(), drawn.get_size_inches()
    assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height
    titles = [axes._left_title for axes in drawn.axes]
    boxes = [title.get_window_extent() for title in titles if title.get_text()]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


@pytest.mark.parametrize("figure", ["figure1", "figure3"])
def test_files_come_from_the_json_beside_the_spec_and_are_the_same_each_time(figure, tmp_path) -> None:
    made = exhibit(tmp_path, figure)
    (tmp_path / f"{figure}.json").write_text(json.dumps(content(figure)))
    render = getattr(synthetic_figures, figure)
    files = render(made)
    assert files == render(made)
    assert files["png"].startswith(b"\x89PNG") and files["pdf"].startswith(b"%PDF")
    rows = pd.read_csv(io.StringIO(files["csv"]), dtype={"panel": str})
    assert list(rows.columns) == synthetic_figures.COLUMNS and len(rows) == len(table(figure))
    assert set(rows["seed"].dropna()) == set(SEEDS)


def test_the_papers_numbers_are_those_of_reported_csv(tmp_path) -> None:
    (tmp_path / "figure1.json").write_text(json.dumps(content("figure1")))
    rows = pd.read_csv(io.StringIO(synthetic_figures.figure1(exhibit(tmp_path, "figure1"))["csv"]))
    paper = rows.set_index(["panel", "series"])["paper"]
    assert set(paper["c2", "fr_distance"]) == {0.16} and set(paper["c2", "gid"]) == {2.0}


def test_missing_and_misplaced_numbers_are_named(tmp_path) -> None:
    with pytest.raises(LdregError, match=r"figure3\.json: not computed yet; .*ldreg synthetic figure3"):
        synthetic_figures.figure3(exhibit(tmp_path, "figure3"))
    (tmp_path / "figure3.json").write_text(json.dumps(content("figure1")))
    with pytest.raises(LdregError, match=r"'figure1' is not allowed; it should be 'figure3'"):
        synthetic_figures.figure3(exhibit(tmp_path, "figure3"))
