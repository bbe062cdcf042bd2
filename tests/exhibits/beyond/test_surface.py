"""The surface over beta, k and batch size: what is in each cell, and what is refused."""

import math

import pandas as pd
import pytest
from drawings import check_figure, check_files, drawn
from matplotlib.figure import Figure

from ldreg.errors import LdregError
from ldreg.exhibits.beyond.surface import edges

BETAS, KS, BATCHES = (0.01, 0.1, 1.0), (8, 16, 32), (256, 128)


def effect(batch: int, beta: float, k: int) -> float:
    """The fabricated one: another in each cell."""
    return (math.log10(beta) + 3) / 2 + k / 100 + batch / 1000


@pytest.fixture
def full(runs):
    """All cells but (1.0, 32) at batch 128, two seeds; seeds differ far more than settings do."""
    for batch in BATCHES:
        for seed in (0, 1):
            runs.add(seed, top1=90 - 5 * seed, rank=10 + 30 * seed, mlid=6.0 + seed, batch_size=batch)
            for beta in BETAS:
                for k in KS:
                    if (batch, beta, k) != (128, 1.0, 32):
                        own = effect(batch, beta, k) + 0.1 * seed
                        runs.add(
                            seed,
                            top1=90 - 5 * seed - own,
                            rank=10 + 30 * seed + own,
                            mlid=6.0 + seed + own,
                            regularizer="ldreg_l1",
                            batch_size=batch,
                            beta=beta,
                            k=k,
                        )
    return runs


def surface(made, **settings) -> tuple[Figure, pd.DataFrame]:
    return drawn(made.spec("surface", **settings))


def cells(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_effects_are_paired_by_seed_within_their_batch_size(full) -> None:
    _, lines = surface(full)
    assert len(lines) == 2 * 3 * 9 and set(lines["batch_size"]) == {128, 256}
    ours = lines[(lines["metric"] == "mlid") & (lines["status"] == "run")]
    for line in ours.itertuples():
        mean = effect(line.batch_size, line.beta, line.k) + 0.05
        assert line.effect == pytest.approx(mean) and line.n == 2
        assert line.high - mean == pytest.approx(12.7062 * 0.05, rel=1e-4)  # t with one degree of freedom
        assert line.level - line.unregularised == pytest.approx(mean)
    accuracy = lines[lines["metric"] == "linear_top1"]
    assert (accuracy["effect"].dropna() < 0).all() and set(accuracy["unit"]) == {"points"}


def test_panels_hold_the_cells_of_the_csv_at_their_places(full) -> None:
    figure, lines = surface(full)
    panels = figure.axes[:6]
    assert [axes.get_title("left") for axes in panels[:3]] == [
        "linear accuracy (points)",
        "effective rank",
        "mLID",
    ]
    assert [panels[place].get_ylabel() for place in (0, 3)] == ["batch size 128\nk", "batch size 256\nk"]
    rank = lines[(lines["metric"] == "effective_rank") & (lines["batch_size"] == 256)]
    assert [label.get_text() for label in panels[4].get_xticklabels()] == ["0.01", "0.1", "1"]
    across, up = list(panels[4].get_xticks()), list(panels[4].get_yticks())
    assert [label.get_text() for label in panels[3].get_yticklabels()] == ["8", "16", "32"]
    for line in rank.itertuples():
        place = across[BETAS.index(line.beta)], up[KS.index(line.k)]
        (text,) = [text for text in panels[4].texts if text.get_position() == pytest.approx(place)]
        assert text.get_text() == f"+{line.effect:.2f}\n±0.64"


def test_what_was_not_run_is_hatched_and_named(full) -> None:
    figure, lines = surface(full)
    absent = lines[lines["status"] == "not run"]
    assert set(zip(absent["batch_size"], absent["beta"], absent["k"], strict=True)) == {(128, 1.0, 32.0)}
    assert absent["effect"].isna().all() and (absent["n"] == 0).all()
    for place, axes in enumerate(figure.axes[:6]):
        assert cells(axes).count("not\nrun") == (place < 3)
        assert sum(patch.get_hatch() is not None for patch in axes.patches) == (place < 3)


def test_each_metric_has_one_colour_scale_white_at_no_effect(full) -> None:
    figure, lines = surface(full)
    high = lines[lines["metric"] == "mlid"]["effect"].max()
    place = lines[lines["metric"] == "mlid"]["effect"].idxmax()
    assert lines.loc[place, "batch_size"] == 256
    bar = figure.axes[-1]
    assert [label.get_text() for label in bar.get_xticklabels()] == [f"-{high:.2f}", "0", f"+{high:.2f}"]
    colours = [patch.get_facecolor() for patch in figure.axes[2].patches]  # the smaller batch's
    assert colours != [patch.get_facecolor() for patch in figure.axes[5].patches]
    lowered, raised = figure.axes[3].patches[0], figure.axes[4].patches[0]
    assert lowered.get_facecolor()[0] > lowered.get_facecolor()[2]  # orange
    assert raised.get_facecolor()[2] > raised.get_facecolor()[1]  # purple


def test_seeds_are_told_below(full) -> None:
    figure, _ = surface(full)
    assert "means over 2 seeds, ± half of the 95 % t-interval" in figure.get_supxlabel()
    assert "SimCLR, small CNN; mLID: MoM, k 16" in figure.get_supxlabel()
    runs = [folder for folder in full.folders if folder.endswith("seed0")]
    figure, _ = surface(full, runs=runs)
    assert "1 seed, no interval" in figure.get_supxlabel()
    assert not any("±" in text for axes in figure.axes for text in cells(axes))


def test_cells_lie_evenly_on_a_log_scale_or_are_of_one_width() -> None:
    assert edges([8, 16, 32]) == pytest.approx(
        [math.log10(x) for x in (8 / 2**0.5, 128**0.5, 512**0.5, 2048**0.5)]
    )
    assert edges([0.01, 0.05, 0.1]) == [-0.5, 0.5, 1.5, 2.5]
    assert edges([0.1]) == [-0.5, 0.5] and edges([0.0, 1.0]) == [-0.5, 0.5, 1.5]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"method": "byol"}, r"a surface shows one method.*there are SimCLR.*; BYOL"),
        ({"epochs": 80}, r"with one setting at each batch size; there are .*epochs 80"),
        ({"batch_size": 64, "regularizer": "ldreg_l1", "beta": 0.1, "k": 8}, "batch size 64 has no unregul"),
        (
            {"regularizer": "ldreg_l1", "beta": 0.1, "k": 8, "acts_on": "embeddings"},
            r"several settings share one beta and k: .*on embeddings",
        ),
    ],
)
def test_runs_that_do_not_make_a_surface_are_named(full, extra, message) -> None:
    full.add(0, **extra)
    with pytest.raises(LdregError, match=message) as error:
        surface(full)
    assert "\n" not in str(error.value)


def test_other_regularisers_are_left_out_and_none_at_all_is_refused(full) -> None:
    full.add(0, regularizer="min_lid", beta=50.0, k=8)
    assert set(surface(full)[1]["beta"]) == set(BETAS)
    with pytest.raises(LdregError, match="none has the regulariser ldreg_l2"):
        surface(full, regularizer="ldreg_l2")
    full.add(7, regularizer="min_lid", beta=60.0, k=8)
    with pytest.raises(LdregError, match=r"Min LID β 60, k 8 at batch size 256 shares no seed"):
        surface(
            full, regularizer="min_lid", runs=[f for f in full.folders if "run0" in f or f.endswith("seed7")]
        )


def test_text_is_legible_nothing_is_cut_and_files_are_the_same_each_time(full) -> None:
    full.add(0, regularizer="ldreg_l1", beta=10.0, k=8)  # of one seed, which is told too
    figure, _ = surface(full)
    check_figure(figure)
    for axes in figure.axes[:6]:  # numbers stay in their cells
        cell = axes.patches[0].get_window_extent().width
        assert max(text.get_window_extent().width for text in axes.texts) <= cell
    check_files(full.spec("surface"))
