"""Table 2: transfer with and without LDReg, from fabricated measurements."""

import io
import json
import math
import re

import pandas as pd
import pytest
import torch

from ldreg.errors import LdregError
from ldreg.evaluation.transfer import TransferSettings, transfer_probe
from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.declared import TRANSFER_TABLE, TransferTableSettings
from ldreg.exhibits.tables.transfer_and_detection import transfer_table

SIX = ("food101", "cifar10", "cifar100", "birdsnap", "cars", "dtd")  # of the paper
LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
PAPERS = {"backbone": "resnet50", "dataset": "imagenet", "epochs": 100, "batch_size": 2048}
PAPERS_LDREG = {**PAPERS, "regularizer": "ldreg_l1", "beta": 0.01, "k": 64}
# Ours stand for the paper's shorter runs: its tables hold two budgets of SimCLR.
STANDS = {"paper_values": {"epochs": {40: 100}, "batch_size": {256: 2048}}}
DEMO = {"datasets": ["mnist", "fashion_mnist"], **STANDS}
HALF = 4.302653 / math.sqrt(3)  # half width for differences that are 1 apart


def add_transfer(runs, seed: int, accuracies: dict[str, float], reported="paper", metric="top1", **spec):
    """A run whose encoder reaches `accuracies`, and 1 more in the accuracy that is not the metric."""
    folder = runs.add(seed, **spec)
    (folder / "transfer").mkdir()
    for dataset, value in accuracies.items():
        scores = dict.fromkeys(("top1", "mean_per_class"), value + 1) | {metric: value}
        setting = {
            "lr": 0.05 if dataset == "birdsnap" else 0.01,
            "weight_decay": 5e-4,
            **scores,
            "holdout": 1.0,
        }
        content = {
            "dataset": dataset,
            "image_size": 16,
            "protocol": "cached",
            "metric": metric,
            "reported": reported,
            **scores,
            "paper": setting,
            "chosen": {**setting, "at_grid_edge": seed == 0},
            "holdout": [{}] * 12,
            "rows": {"train": 2000, "holdout": 400, "test": 10_000},
            "settings": {
                "epochs": 30,
                "batch_size": 256,
                "optimizer": "SGD with Nesterov momentum 0.9",
                "holdout": 0.2,
            },
        }
        (folder / f"transfer/{dataset}.json").write_text(json.dumps(content))
    return folder


def transferred(runs, **settings) -> dict[str, str]:
    return transfer_table(read_exhibit(runs.spec("transfer_table", **settings)))


def cells(files: dict[str, str], *index: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(files["csv"]), keep_default_na=False).set_index(["kind", *index])


def rows(text: str) -> list[list[str]]:
    """The cells of all rows of Markdown's tables, heads included and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and set(line) - set("| -:")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def effects_and_levels(files: dict[str, str]) -> tuple[list[list[str]], list[list[str]]]:
    _, effects, levels = files["md"].split("### ")
    return rows(effects), rows(levels)


@pytest.fixture
def demo(runs):
    """Three seeds, out of order, of very different level; LDReg changes MNIST by 2, 3, 4, Fashion by -1."""
    for seed in (2, 0, 1):
        add_transfer(runs, seed, {"mnist": 60.0 + 10 * seed, "fashion_mnist": 70.0})
    for seed in (0, 1, 2):
        add_transfer(runs, seed, {"mnist": 62.0 + 11 * seed, "fashion_mnist": 69.0}, **LDREG)
    return runs


@pytest.fixture
def papers(runs):
    """The paper's six data sets at its own scale, two seeds; LDReg adds 0.5 to all but DTD."""
    for seed in (0, 1):
        found = {dataset: 60.0 + place + seed for place, dataset in enumerate(SIX)}
        add_transfer(runs, seed, found, **PAPERS)
        raised = {dataset: value + (0.5 if dataset != "dtd" else 0.0) for dataset, value in found.items()}
        add_transfer(runs, seed, raised, **PAPERS_LDREG)
    return runs


def test_the_workflow_is_told_the_files_of_a_run() -> None:
    files = TRANSFER_TABLE.run_files(TransferTableSettings(datasets=("mnist", "dtd")))
    assert files == ("transfer/mnist.json", "transfer/dtd.json")


def test_effects_are_paired_by_seed_and_stand_beside_the_papers(demo) -> None:
    effects, _ = effects_and_levels(transferred(demo, **DEMO))
    assert effects[1:5] == [
        [
            "SimCLR, small CNN, 40 epochs",
            "LDReg β 0.1, k 16",
            "MNIST (points)",
            "not given",
            f"+3.00 [{3 - HALF:+.2f}, {3 + HALF:+.2f}]",
            "",
            "3",
        ],
        ["", "", "Fashion-MNIST (points)", "not given", "-1.00 [-1.00, -1.00]", "", "3"],
        ["", "", "Food-101 (points)", "+0.1", "not run", "", "0"],
        ["", "", "CIFAR-10 (points)", "+0.1", "not run", "", "0"],
    ]
    assert [row[2:5] for row in effects[5:9]] == [
        ["CIFAR-100 (points)", "-0.6", "not run"],
        ["Birdsnap (points)", "+1.4", "not run"],
        ["Stanford Cars (points)", "+0.6", "not run"],
        ["DTD (points)", "-0.1", "not run"],
    ]
    # The paper's encoder of 1000 epochs, which was not run here either.
    assert effects[9][:3] == ["SimCLR, ResNet-50, 1000 epochs", "LDReg β 0.01, k 64", "MNIST (points)"]
    assert [row[3:5] for row in effects[11:]] == [
        [gain, "not run"] for gain in ("+2.2", "+1.7", "+3.5", "+1.2", "+6.3", "+0.1")
    ]
    table = cells(transferred(demo, **DEMO), "dataset", "setting")
    line = table.loc[("effect", "mnist", "40 epochs")]
    assert (line["metric"], line["unit"], line["status"]) == ("linear_top1", "points", "run")
    assert float(line["mean"]) == pytest.approx(3) and float(line["high"]) == pytest.approx(
        3 + HALF, abs=1e-5
    )
    assert line["paper"] == "" and not line["comparable"]
    assert not re.search(r"\.\d{11}", transferred(demo, **DEMO)["csv"])


def test_levels_at_another_scale_are_ours_alone(demo) -> None:
    files = transferred(demo, **DEMO)
    _, levels = effects_and_levels(files)
    assert levels[0] == ["encoder", "regulariser", "MNIST", "Fashion-MNIST", "seeds"]
    spread = 4.302653 * 10 / math.sqrt(3)
    assert levels[1][1:] == ["none", f"70.00 ± {spread:.2f}", "**70.00 ± 0.00**", "3"]
    assert levels[2][1] == "LDReg β 0.1, k 16" and levels[2][2].startswith("**73.00 ± ")
    assert "not to be compared" in files["md"]
    for number in ("69.0", "89.1", "71.2"):  # of the paper
        assert number not in files["md"].split("### ")[2].split("\n- ")[0].replace("69.00 ± 0.00", "")
    table = cells(files, "dataset", "regularizer")
    absent = table.loc[("level", "food101", "none")]
    assert set(absent["status"]) == {"not run"} and set(absent["n"]) == {0} and set(absent["mean"]) == {""}
    assert list(absent["paper"].astype(float)) == [69.0, 71.1]  # of 100 and of 1000 epochs
    assert not table.loc["level"]["comparable"].any()


def test_the_papers_budgets_are_told_apart(demo) -> None:
    longer = {"paper_values": {"epochs": {40: 1000}, "batch_size": {256: 4096}}}
    effects, _ = effects_and_levels(transferred(demo, **{**DEMO, **longer}))
    assert [row[3] for row in effects[3:9]] == ["+2.2", "+1.7", "+3.5", "+1.2", "+6.3", "+0.1"]
    assert effects[9][0] == "SimCLR, ResNet-50, 100 epochs"
    # Neither is named: none stands for ours, and both were not run.
    effects, _ = effects_and_levels(transferred(demo, datasets=["mnist"]))
    assert {row[3] for row in effects[1:8]} == {"not given"}
    heads = [row[0] for row in effects[1:] if row[0]]
    assert heads[1:] == ["SimCLR, ResNet-50, 100 epochs", "SimCLR, ResNet-50, 1000 epochs"]


def test_levels_stand_above_the_papers_at_its_own_scale(papers) -> None:
    files = transferred(papers, datasets=SIX, scale_of_paper=True)
    effects, levels = effects_and_levels(files)
    assert levels[0][2:] == [
        "of",
        "Food-101",
        "CIFAR-10",
        "CIFAR-100",
        "Birdsnap",
        "Stanford Cars",
        "DTD",
        "seeds",
    ]
    half = 12.7062 / 2  # of two values that are 1 apart
    none, theirs, ldreg, theirs_too = levels[1:5]
    name = "SimCLR, ResNet-50, 100 epochs"
    assert none[:4] == [name, "none", "here", f"60.50 ± {half:.2f}"] and none[-1] == "2"
    assert theirs == [
        *(
            "",
            "",
            "paper",
            "69.0",
            "89.1",
            "**71.2**",
            "32.0",
            "36.7",
            "**67.8**",
            "",
        )
    ]
    assert ldreg[3] == f"**61.00 ± {half:.2f}**" and none[8] == ldreg[8] == f"**65.50 ± {half:.2f}**"
    assert theirs_too[2:5] == ["paper", "**69.1**", "**89.2**"]
    assert effects[1][3:] == ["+0.1", "+0.50 [+0.50, +0.50]", "+0.40", "2"]
    # What was not run is the paper's encoder of 1000 epochs alone.
    assert levels[5][:4] == ["SimCLR, ResNet-50, 1000 epochs", "none", "here", "not run"]
    assert all(row[3] == "not run" for row in levels[5::2])
    table = cells(files, "regularizer", "dataset")
    line = table.loc[("level", "ldreg_l1", "cars")].iloc[0]
    assert float(line["paper"]) == 37.3 and line["comparable"] and "100 epochs" in line["paper_setting"]
    assert line["setting"] == "100 epochs"
    assert float(line["difference"]) == pytest.approx(float(line["mean"]) - 37.3)


def test_data_sets_of_one_side_alone(papers) -> None:
    files = transferred(papers, datasets=SIX[:2], scale_of_paper=True)
    _, levels = effects_and_levels(files)
    assert levels[1][5:] == ["not run"] * 4 + ["2"] and levels[2][6] == "32.0"
    assert "Not run at this scale: CIFAR-100, Birdsnap, Stanford Cars, DTD." in files["md"]
    _, levels = effects_and_levels(transferred(papers, datasets=SIX[:2], scale_of_paper=True, not_run=False))
    assert levels[0][3:] == ["Food-101", "CIFAR-10", "seeds"]


def test_longer_training_is_another_encoder(papers) -> None:
    longer = {"epochs": 1000, "batch_size": 4096}
    add_transfer(papers, 0, dict.fromkeys(SIX, 70.0), **{**PAPERS, **longer})
    add_transfer(papers, 0, dict.fromkeys(SIX, 72.0), **{**PAPERS_LDREG, **longer})
    effects, levels = effects_and_levels(transferred(papers, datasets=SIX, scale_of_paper=True))
    assert [row[0] for row in levels[1:]] == [
        *("SimCLR, ResNet-50, 100 epochs", "", "", ""),
        *("SimCLR, ResNet-50, 1000 epochs", "", "", ""),
    ]
    assert levels[7][3:5] == ["**72.00**", "**72.00**"] and levels[8][3] == "**73.3**"
    assert effects[7][3:] == ["+2.2", "+2.00 (1 seed, no interval)", "-0.20", "1"]


def test_the_metric_is_that_of_the_data_set(runs) -> None:
    add_transfer(runs, 0, {"mnist": 50.0}, metric="mean_per_class")
    files = transferred(runs, datasets=["mnist"], not_run=False)
    levels = rows(files["md"])  # and no effects, without runs with LDReg
    assert levels[0][2] == "MNIST (mean per class)" and levels[1][2] == "50.00"
    assert cells(files, "dataset").loc[("level", "mnist"), "metric"] == "mean_per_class"
    assert "or means over classes where a column says so" in files["md"]


def test_notes_say_how_transfer_was_measured(demo) -> None:
    text = transferred(demo, **DEMO, notes=["Grey images."])["md"]
    for words in (
        "the demo scale: digits (1347 training images",
        "LDReg β 0.01, k 64, 100 epochs, batch size 2048",
        "Numbers are means over 3 seeds",
        "protocol cached (a linear classifier on stored representations",
        "30 epochs of SGD with Nesterov momentum 0.9, batch size 256, images 16 pixels wide. The paper "
        "trains",
        "Setting: that of the paper, learning rate 0.01, weight decay 0.0005. ",
        "MNIST 2,000 / 10,000; Fashion-MNIST",
        "Not run at this scale: Food-101, CIFAR-10, CIFAR-100, Birdsnap, Stanford Cars, DTD.",
        "- Bold marks ",
        "- Grey images.",
    ):
        assert words in text
    assert "no transfer" not in text


def test_notes_say_which_setting_was_reported(runs) -> None:
    add_transfer(runs, 0, {"mnist": 1.0, "birdsnap": 1.0})
    text = transferred(runs, datasets=["mnist", "birdsnap"])["md"]
    assert "weight decay 0.0005 (MNIST); learning rate 0.05, weight decay 0.0005 (Birdsnap)." in text
    add_transfer(runs, 1, {"mnist": 1.0}, reported="chosen", dataset="mnist")
    runs.folders = runs.folders[1:]
    text = transferred(runs, datasets=["mnist"])["md"]
    assert "the best of 12 pairs" in text and "hold-out of 20 %" in text and "at the edge" not in text
    assert "trained on MNIST itself, so its column shows no transfer" in text
    add_transfer(runs, 0, {"mnist": 1.0}, reported="chosen")
    assert "In 1 of 2 cases the best pair is at the edge" in transferred(runs, datasets=["mnist"])["md"]


def test_what_is_missing_is_told_in_one_line(demo) -> None:
    folder = demo.root / "runs/run0/seed2"
    (folder / "transfer/mnist.json").unlink()
    with pytest.raises(
        LdregError, match=r"mnist\.json: not measured yet; the folder holds fashion_mnist\.json$"
    ):
        transferred(demo, **DEMO)
    (folder / "transfer/fashion_mnist.json").unlink()
    (folder / "transfer").rmdir()
    with pytest.raises(LdregError, match=r"mnist\.json: not measured yet; there is no folder") as caught:
        transferred(demo, **DEMO)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [{}, {"datasets": []}, {"datasets": ["food-101"]}])
def test_settings_are_checked(demo, given) -> None:
    with pytest.raises(LdregError, match=r"spec\.yaml: settings\.datasets"):
        transferred(demo, **given)


def test_markdown_is_aligned_and_latex_balanced(demo) -> None:
    files = transferred(demo, **DEMO)
    for block in files["md"].split("### ")[1:]:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) == 1 and len(lines[0]) < 140
    assert files["tex"].count("{") == files["tex"].count("}")
    assert files["tex"].count(r"\begin{tabular}") == 2 and "Fashion-MNIST" in files["tex"]


def test_what_transfer_writes_is_what_is_read(runs) -> None:
    x, y = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    settings = TransferSettings(epochs=1, batch_size=16, learning_rates=(0.01,), reported="chosen")
    found = transfer_probe("mnist", x, y, x, y, 2, settings) | {"image_size": 16}
    folder = add_transfer(runs, 0, {})
    (folder / "transfer/mnist.json").write_text(json.dumps(found))
    files = transferred(runs, datasets=["mnist"])
    assert float(cells(files, "dataset").loc[("level", "mnist"), "mean"].iloc[0]) == pytest.approx(
        found["top1"]
    )
    assert "the best of 2 pairs" in files["md"] and "MNIST 40 / 40" in files["md"]
