"""Claims that set one thing against several: each outcome from numbers worked out by hand."""

import math

import pytest
from ledgers import LDREG, OUTCOMES, add, entries, ledger, pair

ZERO = (0.0, 0.0, 0.0)
UP, DOWN, WIDE = (4.0, 5.0, 6.0), (-4.0, -5.0, -6.0), (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ((0.1, 0.2, 0.3), "supported"),  # 0.2 +- 0.25
        ((0.5, 1.0, 1.5), "inconclusive"),
        (UP, "contradicted"),
        (DOWN, "contradicted"),
        ((0.1,), "inconclusive (1 seed)"),
    ],
)
def test_the_two_forms_are_alike_within_a_point(runs, differences, expected) -> None:
    for k, factor in ((32, 1.0), (16, 0.1)):
        add(runs, [0.0 for _ in differences], "top1", **LDREG | {"k": k})
        add(
            runs,
            [factor * each for each in differences],
            "top1",
            **LDREG | {"regularizer": "ldreg_l2", "k": k},
        )
    add(runs, (50.0, 51.0), "top1", **LDREG | {"regularizer": "ldreg_l2", "k": 64})  # has no like
    claim = ledger(runs)[0]["forms_alike"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(differences) / len(differences))
    assert claim["unit"] == "points at β 0.1, k 32"
    assert (claim["paper"], claim["paper_values"]) == (-0.4, "-0.4 at k 64, -0.1 at k 128")


def test_one_form_alone_is_like_nothing(runs) -> None:
    pair(runs, UP)
    assert ledger(runs)[0]["forms_alike"]["verdict"] == "not tested"


@pytest.mark.parametrize(("drops", "expected"), OUTCOMES)
def test_min_lid_lowers_mlid_at_every_weight(runs, drops, expected) -> None:
    add(runs, [0.0] * len(drops))
    for beta, more in ((0.1, 0.0), (1.0, 20.0)):
        lowered = [-drop - more for drop in drops]
        add(runs, lowered, regularizer="min_lid", beta=beta, k=16)
    claim = ledger(runs)[0]["min_lid_lowers_mlid"]
    assert claim["verdict"] == expected
    assert (claim["unit"], claim["paper"]) == ("at beta 0.1", pytest.approx(-2.8))
    assert claim["estimate"] == pytest.approx(-sum(drops) / len(drops))


def test_min_lid_raises_mlid(runs) -> None:
    """+5 +- 2.48, of two weights 5 +- 3.58."""
    add(runs, ZERO)
    add(runs, UP, regularizer="min_lid", beta=0.1, k=16)
    add(runs, DOWN, regularizer="min_lid", beta=1.0, k=16)
    claim = ledger(runs)[0]["min_lid_lowers_mlid"]
    assert (claim["verdict"], claim["estimate"]) == ("contradicted", pytest.approx(5))


@pytest.mark.parametrize(("gains", "expected"), OUTCOMES)
def test_ldreg_helps_at_every_batch_size(runs, gains, expected) -> None:
    """The k grows with the batch; at the others it helps."""
    for batch_size, k in ((256, 16), (128, 8), (64, 4)):
        helps = gains if batch_size == 128 else [each + 10 for each in (1.0, 2.5, 3.0)[: len(gains)]]
        pair(runs, helps, "top1", batch_size=batch_size, k=k)
    found, _ = entries(runs)
    (claim,) = (each for each in found if each["id"] == "helps_at_every_batch_size")
    assert claim["verdict"] == expected
    assert (claim["context"], claim["unit"]) == ("SimCLR, small CNN", "points at batch size 128")
    assert claim["estimate"] == pytest.approx(sum(gains) / len(gains))
    assert claim["paper"] == pytest.approx(0.5)
    assert claim["paper_values"].startswith("+0.5 at batch size 512")
    # Other batch sizes than the usual one have no lines of their own.
    assert [each["context"] for each in found if each["id"] == "accuracy_rises"] == ["SimCLR, small CNN"]


def test_one_batch_size_is_not_every(runs) -> None:
    pair(runs, UP, "top1")
    add(runs, ZERO, "top1", batch_size=64)
    assert ledger(runs)[0]["helps_at_every_batch_size"]["verdict"] == "not tested"


@pytest.mark.parametrize(
    ("metric", "name", "paper"),
    [("mlid", "global_terms_do_not_raise_mlid", 5.5), ("top1", "global_terms_do_not_raise_accuracy", 0.7)],
)
@pytest.mark.parametrize(("leads", "expected"), OUTCOMES)
def test_ldreg_is_above_the_global_terms(runs, metric, name, paper, leads, expected) -> None:
    """Above none and Cov by 10 more than above Cov + Var."""
    few = range(len(leads))
    add(runs, [0.1 * seed for seed in few], metric, method="byol")
    add(runs, [10.0 + lead for lead in leads], metric, method="byol", **LDREG)
    add(runs, [0.3 * seed for seed in few], metric, method="byol", regularizer="cov", beta=0.1)
    add(runs, [10.0] * len(leads), metric, method="byol", regularizer="cov_var", beta=0.1)
    claim = ledger(runs)[0][name]
    assert claim["verdict"] == expected
    assert claim["unit"].endswith("over Cov + Var β 0.1")
    assert claim["estimate"] == pytest.approx(sum(leads) / len(leads))
    assert claim["paper"] == pytest.approx(paper)
    assert "none; Cov β 0.1; Cov + Var β 0.1" in claim["test"]


def test_where_ldreg_itself_does_not_raise_the_claim_is_not_supported(runs) -> None:
    add(runs, ZERO, method="byol")
    add(runs, WIDE, method="byol", **LDREG)
    add(runs, (-30.0, -31.0, -33.0), method="byol", regularizer="cov", beta=0.1)
    assert ledger(runs)[0]["global_terms_do_not_raise_mlid"]["verdict"] == "inconclusive"


@pytest.mark.parametrize(("leads", "expected"), OUTCOMES)
def test_byol_gains_most(runs, leads, expected) -> None:
    """In ln(mLID), 0.1 for each of the leads; MoCo gains more, but is not of Figure 2."""
    rises = {"byol": 0.5, "simclr": 0.1, "simclr_tuned": 0.5, "moco": 3.0}
    for method, rise in rises.items():
        for seed, lead in enumerate(leads):
            level = 5.0 + seed + len(method)  # factors, not differences, are compared
            factor = math.exp(
                rise + (0.1 * lead if method == "byol" else 0.001 * seed * (method == "simclr"))
            )
            runs.add(seed, mlid=level, method=method)
            runs.add(seed, mlid=level * factor, method=method, **LDREG)
    found, markdown = entries(runs)
    (claim,) = (each for each in found if each["id"] == "byol_gains_most")
    assert claim["verdict"] == expected
    assert claim["context"] == "Across methods" and "### Across methods" in markdown
    assert claim["unit"] == "in ln(mLID) over SimCLR-Tuned, small CNN"
    assert claim["estimate"] == pytest.approx(0.1 * sum(leads) / len(leads))
    assert claim["paper"] == pytest.approx(
        math.log(22.3 / 15.9 / (20.0 / 18.8)), abs=0.01
    )  # SimCLR's, the closest
    assert claim["paper_values"].startswith(
        "mLID is 1.40 times as high for BYOL; 1.06 times for SimCLR, small CNN;"
    )
    assert "MoCo" not in claim["test"]


@pytest.mark.parametrize("methods", [("byol",), ("byol", "moco"), ("simclr", "simclr_tuned")])
def test_byol_alone_or_nothing_but_others_gain_no_more(runs, methods) -> None:
    for method in methods:
        pair(runs, UP, method=method)
    found, _ = entries(runs)
    (claim,) = (each for each in found if each["id"] == "byol_gains_most")
    assert claim["verdict"] == "not tested" and "BYOL and of another method" in claim["reason"]
