"""The ledger: each outcome from numbers worked out by hand."""

import json

import pytest

from ldreg.errors import LdregError
from ldreg.exhibits import render
from ldreg.exhibits.statistics import Estimate
from ldreg.exhibits.verdicts import stability, verdict

BASE = {"beta": 0.1, "k": 16}
HALF = 4.302653 / 3**0.5  # half width for three differences of spread 1


def ledger(made, **settings) -> tuple[dict[str, dict], str]:
    markdown, content, _ = [
        path.read_text() for path in render(made.spec("ledger", **{"base": BASE, **settings}))
    ]
    return {claim["id"]: claim for claim in json.loads(content)["claims"]}, markdown


def pair(runs, effects, metric="mlid", **spec) -> None:
    """Unregularised and LDReg runs whose `metric` differs by `effects` for seeds 0, 1, ..."""
    for seed, effect in enumerate(effects):
        runs.add(seed, **{metric: 50.0 + 5 * seed}, **spec)
        runs.add(seed, **{metric: 50.0 + 5 * seed + effect}, **spec, regularizer="ldreg_l1", **BASE)


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ((4.0, 5.0, 6.0), "supported"),  # 5 +- 2.48
        ((1.0, 2.0, 3.0), "inconclusive"),  # 2 +- 2.48
        ((-4.0, -5.0, -6.0), "contradicted"),
        ((4.0,), "inconclusive (1 seed)"),
    ],
)
def test_ldreg_raises_mlid(runs, effects, expected) -> None:
    pair(runs, effects)
    claims, markdown = ledger(runs)
    claim = claims["mlid_rises"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(effects) / len(effects))
    assert (claim["seeds"], claim["paper"]) == (len(effects), pytest.approx(1.2))
    if len(effects) == 3:
        assert claim["high"] - claim["estimate"] == pytest.approx(HALF, abs=1e-5)
    else:
        assert claim["low"] is None and "One seed has no interval" in markdown
    assert claims["rank_falls_with_k"]["verdict"] == "not tested"


@pytest.mark.parametrize(
    ("effects", "kept", "rises"),
    [
        ((0.1, 0.2, 0.3), "supported", "inconclusive"),  # 0.2 +- 0.25
        ((-0.3, -0.2, -0.1), "supported", "inconclusive"),  # lower end -0.45, above the margin
        ((-0.4, -0.3, -0.2), "inconclusive", "contradicted"),  # -0.55 to -0.05
        ((-1.1, -1.0, -0.9), "contradicted", "contradicted"),  # -1.25 to -0.75
        ((-0.9, -0.7, -0.5), "inconclusive", "contradicted"),  # -1.2 to -0.2
    ],
)
def test_accuracy_within_half_a_point(runs, effects, kept, rises) -> None:
    pair(runs, effects, "top1")
    claims, _ = ledger(runs)
    assert claims["accuracy_kept"]["verdict"] == kept
    assert claims["accuracy_rises"]["verdict"] == rises


def test_another_margin(runs) -> None:
    pair(runs, (-0.4, -0.3, -0.2), "top1")
    claims, _ = ledger(runs, accuracy_margin=1.0)
    assert claims["accuracy_kept"]["verdict"] == "supported"
    assert "above -1 points" in claims["accuracy_kept"]["test"]


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
        for k, rank in ((8, 13), (64, 10), (16, 12), (32, 11)):
            runs.add(seed, rank=rank + seed, regularizer="ldreg_l1", beta=0.1, k=k)
        runs.add(seed, rank=0, regularizer="ldreg_l1", beta=1.0, k=128)  # not at the base beta
    claim = ledger(runs)[0]["rank_falls_with_k"]
    assert claim["estimate"] == pytest.approx(-1.0)
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
        for k, top1 in ((16, 90.0), (32, 90.0 + change), (64, 90.0)):
            runs.add(seed, top1=top1 + seed, regularizer="ldreg_l1", beta=0.1, k=k)
    claim = ledger(runs)[0]["accuracy_stable_over_k"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(changes) / 3)
    assert claim["paper"] == pytest.approx(-0.3)


def test_stability_contradicted_only_by_the_adjusted_intervals() -> None:
    inside, outside = Estimate(0.1, -0.2, 0.4, 3), Estimate(1.6, 1.1, 2.1, 3)
    assert stability([inside, inside], [inside, inside], 1.0) == "supported"
    assert stability([inside, outside], [inside, Estimate(1.6, 0.9, 2.3, 3)], 1.0) == "inconclusive"
    assert stability([inside, outside], [inside, outside], 1.0) == "contradicted"
    assert stability([Estimate(0.1, None, None, 1)], [Estimate(0.1, None, None, 1)], 1.0) == (
        "inconclusive (1 seed)"
    )


def test_a_bound_that_is_only_touched_decides_nothing() -> None:
    assert verdict(0.0, 1.0, 0.0) == "inconclusive"
    assert verdict(-1.0, 0.0, 0.0) == "inconclusive"


def test_the_whole_ledger_of_a_demo(demo) -> None:
    claims, markdown = ledger(demo)
    assert "not tested" not in {claim["verdict"] for claim in claims.values()}
    assert claims["rank_falls_with_beta"]["verdict"] == "contradicted"
    opening = markdown.split("###")[0]
    for word in (
        "demo scale",
        "3 seeds (0, 1, 2)",
        "not adjusted for the number",
        "holds for this scale alone",
    ):
        assert word in opening
    for claim in claims.values():
        assert claim["claim"] in markdown and claim["source"] in markdown and claim["test"] in markdown


def test_every_method_has_its_own_lines(runs) -> None:
    pair(runs, (4.0, 5.0, 6.0), method="simclr")
    for seed in range(3):
        runs.add(seed, method="byol", mlid=6)
        runs.add(seed, method="byol", mlid=5 + 0.01 * seed, regularizer="ldreg_l1", beta=0.005, k=64)
    path = render(runs.spec("ledger", base=BASE))[1]
    found = [claim for claim in json.loads(path.read_text())["claims"] if claim["id"] == "mlid_rises"]
    assert [(claim["context"], claim["verdict"]) for claim in found] == [
        ("SimCLR, small CNN", "supported"),
        ("BYOL, small CNN", "contradicted"),
    ]
    assert found[1]["paper_values"] == "15.9 to 22.3 with β 0.005, k 64"


def test_another_regulariser_is_not_ldreg(runs) -> None:
    for seed in range(3):
        runs.add(seed)
        runs.add(seed, regularizer="min_lid", beta=0.1, k=16)
    assert {claim["verdict"] for claim in ledger(runs)[0].values()} == {"not tested"}


def test_a_base_that_does_not_single_out_a_setting(demo) -> None:
    with pytest.raises(LdregError, match=r"base: \{\} does not single out one of LDReg"):
        ledger(demo, base={})
    with pytest.raises(LdregError, match="'bet' is unknown; did you mean 'beta'"):
        ledger(demo, base={"bet": 0.1})
