"""The ledger: each outcome from numbers worked out by hand."""

import pytest
from ledgers import HALF, OUTCOMES, entries, ledger, pair

from ldreg.errors import LdregError
from ldreg.exhibits.claims.paper_claims import CLAIMS


@pytest.mark.parametrize(("effects", "expected"), OUTCOMES)
def test_ldreg_raises_mlid(runs, effects, expected) -> None:
    pair(runs, effects)
    claims, markdown = ledger(runs)
    claim = claims["mlid_rises"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(effects) / len(effects))
    assert (claim["seeds"], claim["paper"]) == (len(effects), pytest.approx(1.2))
    if len(effects) == 3:
        width = 0 if len(set(effects)) == 1 else HALF
        assert claim["high"] - claim["estimate"] == pytest.approx(width, abs=1e-5)
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


def test_the_whole_ledger_of_a_demo(demo) -> None:
    claims, markdown = ledger(demo)
    tested = {name: claim for name, claim in claims.items() if claim["verdict"] != "not tested"}
    assert list(tested) == [
        *("mlid_rises", "rank_rises", "accuracy_rises", "accuracy_kept", "rank_informs_within"),
        *("accuracy_stable_over_beta", "accuracy_stable_over_k"),
        *("rank_falls_with_beta", "rank_falls_with_k"),
    ]
    assert claims["rank_falls_with_beta"]["verdict"] == "contradicted"
    opening = markdown.split("###")[0]
    for word in (
        "demo scale",
        "3 seeds (0, 1, 2)",
        "not adjusted for the number",
        "holds for this scale alone",
    ):
        assert word in opening
    for claim in tested.values():
        assert claim["claim"] in markdown and claim["source"] in markdown and claim["test"] in markdown


def test_every_method_has_its_own_lines(runs) -> None:
    pair(runs, (4.0, 5.0, 6.0), method="simclr")
    for seed in range(3):
        runs.add(seed, method="byol", mlid=6)
        runs.add(seed, method="byol", mlid=5 + 0.01 * seed, regularizer="ldreg_l1", beta=0.005, k=64)
    found, markdown = entries(runs)
    rises = [claim for claim in found if claim["id"] == "mlid_rises"]
    assert [(claim["context"], claim["verdict"]) for claim in rises] == [
        ("SimCLR, small CNN", "supported"),
        ("BYOL, small CNN", "contradicted"),
    ]
    assert rises[1]["paper_values"] == "15.9 to 22.3 with β 0.005, k 64"
    (row,) = [
        line
        for line in markdown.splitlines()
        if line.startswith("| LDReg raises mLID ") and " 1 supported" in line
    ]
    assert row.rstrip("| ").endswith("| 1 supported, 1 contradicted")
    assert markdown.count("- **LDReg raises mLID**. Test: paired t") == 1


def test_a_method_with_several_settings_is_tested_with_the_one_that_the_paper_has(runs) -> None:
    """MoCo, whose text and code differ in beta; Table 15 is of the text's."""
    paper = {"backbone": "resnet50", "epochs": 100, "batch_size": 2048, "method": "moco"}
    pair(runs, (4.0, 5.0, 6.0), beta=0.05, k=128, **paper)
    for seed in range(3):
        runs.add(seed, regularizer="ldreg_l1", beta=0.005, k=128, **paper)
    assert ledger(runs)[0]["mlid_rises"]["verdict"] == "not tested"
    claim = ledger(runs, scale_of_paper=True)[0]["mlid_rises"]
    assert (claim["verdict"], claim["paper"]) == ("supported", pytest.approx(5.2))
    assert "β 0.05, k 128" in claim["quantity"]


def test_1000_epochs_have_lines_and_paper_numbers_of_their_own(runs) -> None:
    setting = {"backbone": "resnet50", "beta": 0.01, "k": 64}
    for epochs, batch_size in ((100, 2048), (1000, 4096)):
        pair(runs, (4.0, 5.0, 6.0), "top1", epochs=epochs, batch_size=batch_size, **setting)
    found, _ = entries(runs, base={"beta": 0.01, "k": 64}, scale_of_paper=True)
    rises = {claim["context"]: claim["paper"] for claim in found if claim["id"] == "accuracy_rises"}
    assert rises == {
        "SimCLR, ResNet-50": pytest.approx(0.5),
        "SimCLR, ResNet-50, batch size 4096, epochs 1000": pytest.approx(0.8),
    }


def test_what_is_not_tested_says_what_it_needs(runs) -> None:
    runs.add(0, regularizer="cov", beta=0.1)
    claims, markdown = ledger(runs)
    assert {claim["verdict"] for claim in claims.values()} == {"not tested"}
    assert list(claims) == [claim.id for claim in CLAIMS]
    for claim in CLAIMS:
        assert claims[claim.id]["reason"] == f"needs {claim.needs}"
        assert f"- {claim.marked} ({claim.source}): not tested, needs {claim.needs}" in markdown


def test_another_regulariser_is_not_ldreg(runs) -> None:
    for seed in range(3):
        runs.add(seed)
        runs.add(seed, regularizer="min_lid", beta=0.1, k=16)
    claims, _ = ledger(runs)
    tested = {name for name, claim in claims.items() if claim["verdict"] != "not tested"}
    assert tested == {"min_lid_lowers_mlid"}


def test_a_base_that_does_not_single_out_a_setting(demo) -> None:
    with pytest.raises(LdregError, match=r"base: \{\} does not single out one of LDReg"):
        ledger(demo, base={})
    with pytest.raises(LdregError, match="'bet' is unknown; did you mean 'beta'"):
        ledger(demo, base={"bet": 0.1})
