"""Claims on what other files of a run say: its course, its time, transfer and detection."""

import math

import pytest
from ledgers import LDREG, OUTCOMES, entries, ledger, pair, write

from ldreg.errors import LdregError

HOW = {"device": "cpu", "world_size": 1, "threads": 1, "precision": "float32"}
MOMENTS = (1.0, -1.0, -1.0, 1.0)  # adds nothing to a slope over four epochs


def pairs(runs, count: int, **spec):
    """Folders of runs without and with LDReg, for each seed."""
    return [(runs.add(seed, **spec), runs.add(seed, **{**LDREG, **spec})) for seed in range(count)]


def history(folder, change: float, noise: float = 0.0) -> None:
    """Eight epochs; over the last four, one of which was not measured, mLID changes by `change` per cent."""
    lines = ["epoch,mlid,mlid_mle_32,knn_top1"]
    slope = math.log(1 + change / 100) / 3
    for epoch in range(1, 9):
        late = math.exp(slope * (epoch - 5)) if epoch > 4 else 99.0 - epoch
        lines.append(f"{epoch},1.0,{'' if epoch == 7 else 12 * late},")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("without", "with_ldreg", "expected"),
    [
        ((-9, -10, -11), (1, 2, 3), "supported"),  # 12 +- 5
        ((-9, -10, -11), (-2.5, -3, -3.5), "supported"),  # it still falls, by 7 +- 1.2 less
        ((-9, -10, -11), (-9, -7, -14), "inconclusive"),
        ((3, 4, 5), (-9, -10, -11), "contradicted"),
        ((-9,), (1,), "inconclusive (1 seed)"),
    ],
)
def test_the_late_decline_is_alleviated(runs, without, with_ldreg, expected) -> None:
    for (plain, treated), fall, rise in zip(pairs(runs, len(without)), without, with_ldreg, strict=True):
        history(plain, fall)
        history(treated, rise)
    claims, markdown = ledger(runs)
    claim = claims["decline_alleviated"]
    levels = [sum(changes) / len(changes) for changes in (with_ldreg, without)]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(levels[0] - levels[1])
    assert f"against {levels[1]:+.2f} %" in claim["quantity"]
    assert f" {expected} " in markdown


def test_a_late_decline_within_the_margin_is_none(runs) -> None:
    for (plain, _), fall in zip(pairs(runs, 3), (-1.6, -1.5, -1.4), strict=True):
        history(plain, fall)
    assert ledger(runs)[0]["mlid_declines_late"]["verdict"] == "supported"  # -1.5 +- 0.25 is below -1
    assert ledger(runs, decline_margin=2)[0]["mlid_declines_late"]["verdict"] == "contradicted"


@pytest.mark.parametrize("text", [None, "epoch,mlid_mle_32\n", "epoch,mlid_mle_32\n1,5\n2,5\n3,\n4,4\n"])
def test_a_course_that_was_not_measured_is_not_tested(runs, text) -> None:
    """No file, that of imported weights, too few late epochs."""
    for folder in (folder for both in pairs(runs, 2) for folder in both):
        if text is not None:
            (folder / "history.csv").write_text(text)
    claims = ledger(runs)[0]
    names = ["decline_alleviated", "mlid_declines_late"]
    names += [] if text and "4,4" in text else ["mlid_rises_in_training"]  # three epochs in all were measured
    for name in names:
        assert claims[name]["verdict"] == "not tested" and "history.csv" in claims[name]["reason"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((1, 2, 3), "supported"),  # 2 +- 2.48 is below 5
        ((-9, -10, -11), "supported"),  # faster is no cost
        ((3, 4, 5), "inconclusive"),
        ((9, 10, 11), "contradicted"),
        ((1,), "inconclusive (1 seed)"),
        ((1, 1, 1), "inconclusive (equal in all seeds)"),
    ],
)
def test_ldreg_costs_no_time(runs, changes, expected) -> None:
    for (plain, treated), change in zip(pairs(runs, len(changes)), changes, strict=True):
        write(plain, "summary.json", {**HOW, "wall_seconds": 1000.0})
        write(treated, "summary.json", {**HOW, "wall_seconds": 1000.0 * (1 + change / 100)})
    claim = ledger(runs)[0]["costs_no_time"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(changes) / len(changes))
    assert (claim["paper"], claim["paper_values"]) == (-2.5, "27.8 h to 27.1 h")


def timed(folder, change: float) -> str:
    """As `ldreg step-cost` of a run with a regulariser writes it; says which folder."""
    known = {"seconds_with": 1 + change / 100, "seconds_without": 1.0, "ratio": 1 + change / 100}
    write(folder, "step_cost.json", {**known, "ratio_low": 0.5, "ratio_high": 2.0, "level": 0.96, "pairs": 8})
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((1, 2, 3), "supported"),  # 2 +- 2.48 is below 5
        ((3, 4, 5), "inconclusive"),
        ((9, 10, 11), "contradicted"),
        ((1,), "inconclusive (1 seed)"),
    ],
)
def test_ldreg_costs_no_time_by_steps_timed_in_one_process(runs, changes, expected) -> None:
    """Whatever the wall-clocks of whole runs are: here they say 50 % more."""
    folders = []
    for (plain, treated), change in zip(pairs(runs, len(changes)), changes, strict=True):
        write(plain, "summary.json", {**HOW, "wall_seconds": 1000.0})
        write(treated, "summary.json", {**HOW, "wall_seconds": 1500.0 + change})
        folders.append(timed(treated, change))
    claim = ledger(runs, timed=folders)[0]["costs_no_time"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(changes) / len(changes))
    assert claim["quantity"] == "change in the time of a training step with LDReg β 0.1, k 16"
    assert "by turns in one process" in claim["test"] and (claim["paper"]) == -2.5
    # A file that no exhibit of runs_of asked for may be there or not.
    claim = ledger(runs)[0]["costs_no_time"]
    assert claim["estimate"] > 50 and "wall-clock time of pretraining" in claim["quantity"]


def test_runs_whose_steps_were_not_timed_are_compared_by_wall_clock(runs) -> None:
    both = pairs(runs, 3)
    for place, (plain, treated) in enumerate(both):
        write(plain, "summary.json", {**HOW, "wall_seconds": 1000.0})
        write(treated, "summary.json", {**HOW, "wall_seconds": 1010.0 + 10 * place})
    claim = ledger(runs, timed=[str(treated) for _, treated in both])[0]["costs_no_time"]
    assert claim["estimate"] == pytest.approx(2) and "wall-clock" in claim["quantity"]


def test_another_margin_of_time(runs) -> None:
    for (plain, treated), change in zip(pairs(runs, 3), (9, 10, 11), strict=True):
        write(plain, "summary.json", {**HOW, "wall_seconds": 1000.0})
        write(treated, "summary.json", {**HOW, "wall_seconds": 1000.0 * (1 + change / 100)})
    assert ledger(runs, time_margin=20)[0]["costs_no_time"]["verdict"] == "supported"


@pytest.mark.parametrize(
    ("plainly", "treated"),
    [(None, None), ({}, {"wall_seconds": 9.0}), ({"wall_seconds": 9.0, "threads": 2}, {})],
)
def test_times_that_are_not_known_or_not_comparable_are_not_tested(runs, plainly, treated) -> None:
    for both in pairs(runs, 2):
        for folder, summary in zip(both, (plainly, treated), strict=True):
            if summary is not None:
                write(folder, "summary.json", {**HOW, "wall_seconds": 8.0, **summary} if summary else HOW)
    assert ledger(runs)[0]["costs_no_time"]["verdict"] == "not tested"


def transferred(folder, **accuracies: float) -> None:
    for dataset, accuracy in accuracies.items():
        content = {"metric": "top1", "top1": accuracy, "mean_per_class": 1.0}
        write(folder, f"transfer/{dataset}.json", content)


@pytest.mark.parametrize(("gains", "expected"), OUTCOMES)
def test_transfer_rises_on_average_over_the_data_sets(runs, gains, expected) -> None:
    """By 3 more on one of them, and 3 less on the other."""
    for (plain, treated), gain in zip(pairs(runs, len(gains)), gains, strict=True):
        transferred(plain, mnist=50.0, fashion_mnist=80.0)
        transferred(treated, mnist=53.0 + gain, fashion_mnist=77.0 + gain)
    claim = ledger(runs, transfer=["mnist", "fashion_mnist"])[0]["transfer_rises"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(gains) / len(gains))
    assert "MNIST, Fashion-MNIST" in claim["quantity"]
    assert claim["paper"] == pytest.approx(0.25)  # 0.1, 0.1, -0.6, 1.4, 0.6, -0.1
    assert claim["paper_values"].startswith("Food-101 +0.1, CIFAR-10 +0.1, CIFAR-100 -0.6, Birdsnap +1.4")


def test_transfer_of_the_papers_1000_epochs(runs) -> None:
    paper = {"backbone": "resnet50", "epochs": 1000, "batch_size": 4096}
    for place, (plain, treated) in enumerate(pairs(runs, 3, **paper)):
        transferred(plain, dtd=50.0)
        transferred(treated, dtd=55.0 + place)
    claim = ledger(runs, transfer=["dtd"], scale_of_paper=True)[0]["transfer_rises"]
    assert (claim["verdict"], claim["paper"]) == ("supported", pytest.approx(2.5))  # 2.2 1.7 3.5 1.2 6.3 0.1
    assert claim["paper_values"].endswith("; 1000 epochs")


def test_a_data_set_that_could_not_be_had_is_left_out_of_the_mean(runs) -> None:
    absent = {"dataset": "dtd", "unavailable": "it cannot be fetched here"}
    for place, (plain, treated) in enumerate(pairs(runs, 3)):
        for folder in (plain, treated):
            write(folder, "transfer/dtd.json", absent)
        transferred(plain, mnist=50.0)
        transferred(treated, mnist=53.0 + place)
    claim = ledger(runs, transfer=["mnist", "dtd"])[0]["transfer_rises"]
    assert (claim["seeds"], claim["estimate"]) == (3, 4.0)
    assert "(MNIST)" in claim["quantity"] and "DTD" not in claim["quantity"]
    assert ledger(runs, transfer=["dtd"])[0]["transfer_rises"]["verdict"] == "not tested"
    transferred(plain, dtd=50.0)  # had for one run alone: means over different sets are not comparable
    with pytest.raises(LdregError, match="different data sets"):
        ledger(runs, transfer=["mnist", "dtd"])


def test_a_run_without_all_data_sets_is_left_out_of_transfer(runs) -> None:
    for place, (plain, treated) in enumerate(pairs(runs, 3)):
        transferred(plain, mnist=50.0, **({"dtd": 50.0} if place else {}))
        transferred(treated, mnist=50.0, dtd=50.0 + 2 * place)
    assert ledger(runs, transfer=["mnist", "dtd"])[0]["transfer_rises"]["seeds"] == 2
    assert ledger(runs)[0]["transfer_rises"]["verdict"] == "not tested"
    assert ledger(runs, transfer=["food101"])[0]["transfer_rises"]["verdict"] == "not tested"


@pytest.mark.parametrize(("gains", "expected"), OUTCOMES)
@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_detection_rises_for_boxes_and_masks(runs, method, gains, expected) -> None:
    """Boxes gain 10 more than masks."""
    for (plain, treated), gain in zip(pairs(runs, len(gains), method=method), gains, strict=True):
        write(plain, "detection.json", {"box": {"ap": 30.0}, "mask": {"ap": 20.0}})
        write(treated, "detection.json", {"box": {"ap": 40.0 + gain**2 / 9}, "mask": {"ap": 20.0 + gain}})
    claims, _ = ledger(runs, detection=True)
    claim = claims["detection_rises"]
    assert claim["verdict"] == expected
    assert claim["estimate"] == pytest.approx(sum(gains) / len(gains))
    assert "precision of mask in detection" in claim["quantity"]
    assert claim["paper"] == pytest.approx({"simclr": 0.02, "byol": 0.3}[method])
    assert ledger(runs)[0]["detection_rises"]["verdict"] == "not tested"


def test_a_ledger_reads_what_the_paper_s_own_scale_gives_no_number_for(runs) -> None:
    pair(runs, (4.0, 5.0, 6.0), method="mae", backbone="vit_mini")
    for place, folder in enumerate(runs.folders):
        transferred(type(runs.root)(folder), mnist=50.0 + place)
    found, _ = entries(runs, transfer=["mnist"])
    (claim,) = (each for each in found if each["id"] == "transfer_rises")
    assert (claim["paper"], claim["paper_values"]) == (None, "")
