"""Figures 1 and 3: what is drawn, read from the matplotlib figures, and the CSV beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from drawings import check_figure, check_files, drawn
from matplotlib.figure import Figure

from ldreg.errors import LdregError
from ldreg.exhibits.stats.intervals import t_interval

PAPER = Path(__file__).resolve().parents[3] / "config/paper/reported.csv"
SEEDS = [3, 4]
KS = [5, 16, 64]


def cloud(number: int, points: int = 60, **numbers) -> dict:
    drawn = np.random.default_rng(number).uniform(-0.5, 0.5, (points, 2)).round(6).tolist()
    measured = {"mlid": [1.25, 1.21], "fr_distance": [0.5, 0.4], "gid": [2.0, 2.0], **over_k(number)}
    return {"points": drawn, **measured, **numbers}


def over_k(number: int) -> dict:
    return {"mlid_over_k": [[1.9 + number / 100, 1.5, 1.1], [1.8 + number / 100, 1.4, 1.2]]}


def content(figure: str) -> dict:
    """As `ldreg synthetic` writes it, with numbers of the test's choice."""
    if figure == "figure3":
        panels = {
            f"{t:.1f}": cloud(i, mlid=[t + 0.01, t - 0.03], mlid_per_sample=[t + 0.1, t])
            for i, t in enumerate((1.0, 1.2, 1.4, 2.0))
        }
        settings = {"points": 2000, "k": 16, "ks": KS}
        return {"figure": figure, "seeds": SEEDS, **settings, "panels": {**panels, "uniform": over_k(9)}}
    anchors = {"spread": {"points": cloud(1)["points"], "lid": [2.1, 1.9]}}
    anchors["collapsed"] = {"points": cloud(2)["points"], "lid": [1.1, 1.0]}
    clouds = {f"cloud_{m}": cloud(3, noise=[0.01, 0.02]) for m in (1.1, 1.9)}
    restored = {"restored": cloud(4), "uniform": over_k(9)}
    settings = {"anchor_points": 60, "anchor_k": 8, "points": 60, "k": 20, "ks": KS}
    return {"figure": figure, "seeds": SEEDS, **settings, "panels": {**anchors, **clouds, **restored}}


def write(folder: Path, figure: str, content: dict) -> Path:
    """The exhibit's spec, with the numbers beside it."""
    (folder / f"{figure}.json").write_text(json.dumps(content))
    spec = {"exhibit": figure, "scale": "demo", "renderer": figure, "runs": [], "paper": str(PAPER)}
    path = folder / f"{figure}.spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., tuple[Figure, pd.DataFrame]]:
    """`draw(figure)`: a figure and its CSV, from the numbers of `content` or from others."""
    return lambda figure, numbers=None: drawn(write(tmp_path, figure, numbers or content(figure)))


def bold(letter: str) -> str:
    return rf"$\mathbf{{({letter})}}$"


def marks(axes) -> np.ndarray:
    """(n, 2): the first series of a panel, its points."""
    return axes.lines[0].get_xydata()


def test_figure_1_draws_every_point_and_says_what_was_measured_beside_the_papers(draw) -> None:
    figure, panels = draw("figure1")[0], content("figure1")["panels"]
    collapsed, spread, distances, first, second, before, after, wide = figure.axes
    assert [axes.get_title("left") for axes in (collapsed, spread)] == [
        f"{bold('a')} local collapse\nLID 1.10",
        f"{bold('b')} no collapse\nLID 2.10",
    ]
    assert first.get_title("left") == f"{bold('c')} mLID 1.25 (1.1)\nFR 0.50 (0.65)\nGID 2.0 (1.9)"
    assert second.get_title("left") == "mLID 1.25 (1.9)\nFR 0.50 (0.16)\nGID 2.0 (2.0)"
    assert after.get_title("left") == "after LDReg\nmLID 1.25, GID 2.0"
    drawn = {"spread": spread, "collapsed": collapsed, "cloud_1.1": first, "cloud_1.9": second}
    for name, axes in {**drawn, "restored": after}.items():
        assert marks(axes).tolist() == panels[name]["points"]
    assert marks(before).tolist() == panels["cloud_1.1"]["points"]
    drawn = [line.get_ydata().tolist() for line in wide.lines[:6]]
    assert drawn == [
        mlids for name in ("cloud_1.1", "restored", "uniform") for mlids in panels[name]["mlid_over_k"]
    ]
    assert [text.get_text() for text in wide.get_legend().get_texts()] == ["before", "after", "uniform"]
    assert distances.get_xscale() == distances.get_yscale() == "log"


def test_the_neighbours_and_distances_of_an_anchor_are_its_own(draw) -> None:
    figure, _ = draw("figure1")
    points = np.asarray(content("figure1")["panels"]["collapsed"]["points"])
    radii = np.sort(np.linalg.norm(points, axis=1))
    near = figure.axes[0].lines[1].get_xydata()
    assert np.linalg.norm(near, axis=1) == pytest.approx(radii[:8])
    curve, mark = figure.axes[2].lines[:2]
    assert curve.get_xdata() == pytest.approx(radii[:24])
    assert curve.get_ydata() == pytest.approx(np.arange(1, 25) / 60)
    assert mark.get_xydata() == pytest.approx(np.array([[radii[7], 8 / 60]]))


def test_figure_3_has_mlid_and_gid_in_every_title_and_all_seeds_below(draw) -> None:
    figure, panels = draw("figure3")[0], content("figure3")["panels"]
    *clouds, below, over = figure.axes
    assert clouds[1].get_title("left") == f"{bold('b')} target 1.2\nmLID 1.21, GID 2.0"
    for axes, panel in zip(clouds, panels.values(), strict=False):
        assert marks(axes).tolist() == panel["points"]
    means = [bars.lines[0].get_ydata()[0] for bars in below.containers]
    assert means == pytest.approx([-0.01] * 4 + [0.05] * 4)
    each = [line.get_ydata().tolist() for line in below.lines if line.get_marker() == "."]
    assert each == [pytest.approx([0.01, -0.03])] * 4 + [pytest.approx([0.1, 0.0])] * 4
    assert [label.get_text() for label in below.get_xticklabels()] == ["1.0", "1.2", "1.4", "2.0"]
    (band,) = below.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((-0.05, 0.1))
    drawn = [line.get_ydata().tolist() for line in over.lines[:10]]
    assert drawn == [mlids for panel in panels.values() for mlids in panel["mlid_over_k"]]
    assert over.lines[0].get_xdata().tolist() == KS
    assert over.lines[-1].get_xydata().tolist() == [[16, target] for target in (1.0, 1.2, 1.4, 2.0)]


def test_a_close_view_shows_an_anchor_s_neighbours_within_a_circle_on_one_scale(draw) -> None:
    axes = draw("figure3")[0].axes[0]
    points, near, (anchor,) = (line.get_xydata() for line in axes.lines[:3])
    assert np.linalg.norm(anchor) == np.linalg.norm(points, axis=1).min()
    radii = np.sort(np.linalg.norm(points - anchor, axis=1))
    assert np.linalg.norm(near - anchor, axis=1) == pytest.approx(radii[1:17])
    (circle,) = axes.patches
    assert circle.get_radius() == pytest.approx(radii[16]) and circle.get_center() == pytest.approx(anchor)
    wide, high = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    assert wide == pytest.approx(6 * radii[16]) and high / wide == pytest.approx(axes.get_box_aspect())


def test_an_offset_far_outside_the_tolerance_is_still_seen(draw) -> None:
    far = content("figure3")
    far["panels"]["2.0"]["mlid"] = [1.7, 1.71]
    below = draw("figure3", far)[0].axes[-2]
    assert below.get_ylim()[0] < -0.3


def test_one_seed_has_no_interval(draw) -> None:
    one = content("figure3") | {"seeds": [3]}
    for panel in one["panels"].values():
        panel.update({key: values[:1] for key, values in panel.items() if key != "points"})
    figure, rows = draw("figure3", one)
    below = figure.axes[-2]
    assert not any(bars.has_yerr for bars in below.containers) and below.containers
    assert not rows["series"].str.endswith(("_low", "_high")).any()


def test_means_and_intervals_of_figure_3_are_in_its_csv_as_drawn(draw) -> None:
    figure, rows = draw("figure3")
    rows, below = rows.set_index(["panel", "series"])["value"], figure.axes[-2]
    for series, offsets, bars in (
        ("offset", [0.01, -0.03], below.containers[0]),
        ("offset_per_sample", [0.1, 0.0], below.containers[4]),
    ):
        expected = t_interval(offsets)
        written = [rows["1.0", f"{series}_{end}"] for end in ("mean", "low", "high")]
        assert written == pytest.approx([expected.mean, expected.low, expected.high])
        (segment,) = bars.lines[2][0].get_segments()
        assert segment[:, 1] == pytest.approx(written[1:])


def test_the_csv_holds_what_is_plotted(draw) -> None:
    rows = draw("figure1")[1].set_index(["panel", "series"])
    panels = content("figure1")["panels"]
    names = {"a": "collapsed", "b": "spread", "c1": "cloud_1.1", "c2": "cloud_1.9", "d": "restored"}
    for panel, name in names.items():
        assert rows.loc[(panel, "points"), ["x", "y"]].to_numpy().tolist() == panels[name]["points"]
    for panel, name in (("d", "restored"), ("c1", "cloud_1.1"), ("uniform", "uniform")):
        of_k = rows.loc[(panel, "mlid over k")]
        mlids = [mlid for seed in panels[name]["mlid_over_k"] for mlid in seed]
        assert of_k["y"].tolist() == pytest.approx(mlids)
        assert of_k["seed"].tolist() == [3, 3, 3, 4, 4, 4] and of_k["x"].tolist() == KS * 2
    numbers = rows.loc[("c1", "fr_distance")]
    assert numbers[["seed", "value", "paper"]].to_numpy().tolist() == [[3, 0.5, 0.65], [4, 0.4, 0.65]]
    offsets = draw("figure3")[1].query("series == 'offset' and panel == '1.4'")
    assert offsets["value"].tolist() == pytest.approx([0.01, -0.03])


@pytest.mark.parametrize("figure", ["figure1", "figure3"])
def test_text_is_legible_and_nothing_is_cut_or_overlaps(draw, figure) -> None:
    made, _ = draw(figure)
    check_figure(made)
    titles = [axes._left_title for axes in made.axes]
    boxes = [title.get_window_extent() for title in titles if title.get_text()]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


@pytest.mark.parametrize("figure", ["figure1", "figure3"])
def test_files_come_from_the_json_beside_the_spec_and_are_the_same_each_time(figure, tmp_path) -> None:
    spec = write(tmp_path, figure, content(figure))
    check_files(spec)
    _, rows = drawn(spec)
    assert list(rows.columns) == ["panel", "series", "x", "y", "seed", "value", "paper"]
    assert set(rows["seed"].dropna()) == set(SEEDS)


def test_the_papers_numbers_are_those_of_reported_csv(draw) -> None:
    paper = draw("figure1")[1].set_index(["panel", "series"])["paper"]
    assert set(paper["c2", "fr_distance"]) == {0.16} and set(paper["c2", "gid"]) == {2.0}


def test_missing_and_misplaced_numbers_are_named(draw, tmp_path) -> None:
    with pytest.raises(LdregError, match=r"'figure1' is not allowed; it should be 'figure3'"):
        draw("figure3", content("figure1"))
    (tmp_path / "figure3.json").unlink()
    with pytest.raises(LdregError, match=r"figure3\.json: not computed yet; .*ldreg synthetic figure3"):
        drawn(tmp_path / "figure3.spec.yaml")
