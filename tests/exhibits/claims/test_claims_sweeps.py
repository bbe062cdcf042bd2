"""Claims about sweeps over beta, k and the strength of the views: each outcome worked out by hand."""

import pytest
from ledgers import HALF, OUTCOMES, add, ledger


def sweep_beta(runs, ranks_by_seed) -> None:
    for seed, ranks in enumerate(ranks_by_seed):
        for beta, rank in zip((1.0, 0.01, 0.1), (ranks[2], ranks[0], ranks[1]), strict=True):
            runs.add(seed, rank=rank, regularizer="ldreg_l1", beta=beta, k=16)


@pytest.mark.parametrize(
    ("sign", "expected"), [(-1, "supported"), (1, "contradicted")], ids=["falls", "rises"]
)
def test_the_trend_with_beta_is_the_slope_on_its_logarithm(runs, sign, expected) -> None:
    slopes = (4.0, 5.0, 6.0)  # per tenfold beta, by seed
    sweep_beta(runs, [[20 + sign * slope * decade for decade in (0, 1, 2)] for slope in slopes])
    claims, _ = ledger(runs)
    claim = claims["rank_falls_with_beta"]
    assert (claim["verdict"], claim["unit"]) == (expected, "per tenfold beta")
    assert claim["estimate"] == pytest.approx(sign * 5)
    assert claim["high"] - claim["estimate"] == pytest.approx(HALF, abs=1e-5)
    assert claim["paper"] < 0 and claim["paper_values"].startswith(
        "529.6, 430.0, 320.0 at beta 0.01, 0.05, 0.1"
    )
    assert claims["rank_rises"]["verdict"] == "not tested"


def test_a_seed_without_all_values_has_no_slope(runs) -> None:
    sweep_beta(runs, [[10, 12, 14], [10, 14, 18]])
    runs.add(2, rank=500, regularizer="ldreg_l1", beta=0.1, k=16)
    claim = ledger(runs)[0]["rank_falls_with_beta"]
    assert (claim["seeds"], claim["estimate"]) == (2, pytest.approx(3))


def test_the_trend_with_k_is_per_doubling(runs) -> None:
    for seed in range(2):
        for k, rank in ((8, 13 + 0.1 * seed), (64, 10), (16, 12), (32, 11)):
            runs.add(seed, rank=rank + seed, regularizer="ldreg_l1", beta=0.1, k=k)
        runs.add(seed, rank=0, regularizer="ldreg_l1", beta=1.0, k=128)  # not at the base beta
    claim = ledger(runs)[0]["rank_falls_with_k"]
    assert claim["estimate"] == pytest.approx(-1.0 - 0.1 * 1.5 / 5 / 2)  # of places -1.5, -0.5, 0.5, 1.5
    assert claim["verdict"] == "supported"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((0.1, 0.0, -0.1), "supported"),
        ((1.0, 0.0, -1.0), "inconclusive"),
        ((4.9, 5.0, 5.1), "contradicted"),
    ],
)
def test_accuracy_is_stable_within_a_point(runs, changes, expected) -> None:
    for seed, change in enumerate(changes):
        for k, top1 in ((16, 90.0), (32, 90.0 + change), (64, 90.0 + 1e-6 * seed)):
            runs.add(seed, top1=top1 + seed, regularizer="ldreg_l1", beta=0.1, k=k)
    claim = ledger(runs)[0]["accuracy_stable_over_k"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(changes) / 3, abs=1e-5)
    assert claim["paper"] == pytest.approx(-0.3)


@pytest.mark.parametrize(("slopes", "expected"), OUTCOMES)
@pytest.mark.parametrize(
    ("metric", "name"), [("mlid", "mlid_rises_with_jitter"), ("top1", "accuracy_rises_with_jitter")]
)
def test_a_metric_rises_with_the_strength_of_the_views(runs, metric, name, slopes, expected) -> None:
    for jitter in (1.0, 0.2, 0.6):
        add(runs, [slope * jitter for slope in slopes], metric, jitter=jitter, views=[{"hue": jitter}])
    claim = ledger(runs)[0][name]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(slopes) / len(slopes))
    assert "jitter 0.2, 0.6, 1 (unregularised)" in claim["quantity"]
    assert (claim["context"], claim["paper"]) == ("SimCLR, small CNN", None)


def test_runs_that_differ_in_more_than_the_strength_of_the_views_are_no_sweep(runs) -> None:
    add(runs, (1, 2, 3), jitter=1.0)
    add(runs, (4, 6, 8), jitter=0.5, temperature=0.1)
    assert ledger(runs)[0]["mlid_rises_with_jitter"]["verdict"] == "not tested"


@pytest.mark.parametrize(("drops", "expected"), OUTCOMES)
@pytest.mark.parametrize(
    ("metric", "name", "paper"),
    [
        ("top1", "min_lid_lowers_accuracy", "64.2, 63.1, 46.4"),
        ("rank", "min_lid_lowers_rank", "150.7, 15.0, 1.0"),
    ],
)
def test_min_lid_lowers_a_metric_as_its_weight_grows(runs, metric, name, paper, drops, expected) -> None:
    for decade, beta in enumerate((0.01, 0.1, 1.0)):
        add(runs, [-drop * decade for drop in drops], metric, regularizer="min_lid", beta=beta, k=16)
    claim = ledger(runs)[0][name]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(-sum(drops) / len(drops))
    assert claim["paper_values"] == f"{paper} at beta 0.01, 0.1, 1"
    assert "per tenfold beta" in claim["unit"]
