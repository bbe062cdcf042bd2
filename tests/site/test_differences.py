"""What captions say of runs and of what differs from the paper, against expectations made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.files import read_yaml
from ldreg.site.differences import about_runs, differences
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"
PAPER = PaperSettings(CONFIG / "paper" / SETTINGS_FILE)
NOTHING = "No setting of these runs differs from those that the paper gives."
Content = dict[str, Any]


def dumped(scale: str, exhibit: str, change: Callable[[Content], Any] = lambda content: None) -> list[dict]:
    content = read_yaml(CONFIG / f"{scale}.yaml")
    change(content)
    runs = Scale(content, f"{scale}.yaml", CONFIG).runs_of(exhibit)
    return [spec.model_dump() for spec in runs.values()]


def mine(*grids: dict[str, Any]) -> Callable[[Content], Any]:
    """A sweep of one's own, as a user adds one."""
    about = {"renderer": "main_table", "title": "t", "caption": "c", "category": "Tables"}
    return lambda content: content["exhibits"].update(my_sweep={**about, "runs": list(grids)})


@pytest.mark.parametrize("exhibit", Scale.read(CONFIG / "imagenet.yaml").exhibits)
def test_at_the_papers_scale_only_mocos_crops_differ(exhibit) -> None:
    """They are MoCo v3's, where the released configurations have others."""
    runs = dumped("imagenet", exhibit)
    told = NOTHING
    if exhibit == "equal_cost":  # which varies the epochs, beside the paper
        told = "Differs from the paper: 90, 100, 120 epochs instead of 100."
    elif any(run["method"] == "moco" for run in runs):
        told = "Differs from the paper: other values of augmentations."
    assert not runs or differences(exhibit, runs, PAPER) == told


CNN = "digits instead of ImageNet; images 16 pixels wide instead of 224; small CNN instead of ResNet-50; "
VIT = CNN.replace("small CNN instead of ResNet-50", "small ViT instead of ViT-B/16")
BOTH = CNN.replace("small CNN instead of ResNet-50", "small CNN, small ViT instead of ResNet-50, ViT-B/16")
USUAL = "24 epochs instead of 100; batch size 256 instead of 2048; "
LDREG = "β 0.1 instead of 0.01; k 16 instead of 64; "


@pytest.mark.parametrize(
    ("exhibit", "told"),
    [
        *((name, CNN + USUAL + LDREG) for name in ("table1_simclr", "table4", "table5", "table10")),
        ("lid_in_batches", CNN + USUAL + LDREG),
        # The paper transfers encoders of 100 epochs at batch 2048 and of 1000 at 4096.
        (
            "table2",
            f"{CNN}24 epochs instead of 100, 1000; batch size 256 instead of 2048, 4096; {LDREG}",
        ),
        (
            "figure5",
            f"{CNN}{USUAL}β 0.01, 0.1, 1 instead of 0.01, 0.05, 0.1;"
            " k 8, 16, 32, 64 instead of 32, 64, 128, 256; ",
        ),
        (
            "figure2a",
            f"{BOTH}24 epochs instead of 100, 200; batch size 256 instead of 2048;"
            " β 0.01, 0.1 instead of 5e-6, 0.005, 0.01; k 16 instead of 64; ",
        ),
        ("table7", f"{CNN}{USUAL}β 0.1 instead of 0.005; k 16 instead of 64; "),
        (
            "table8",
            f"{VIT}24 epochs instead of 200; batch size 256 instead of 2048;"
            " β 0.01 instead of 5e-6; k 16 instead of 64; ",
        ),
        (
            "settings_simclr_vit",
            f"{VIT}12 epochs instead of 200; batch size 256 instead of 2048;"
            " β 0.1 instead of 0.001; k 16 instead of 64; ",
        ),
        # Min LID's weights, and Cov's, are the paper's own, LDReg's is not.
        *(
            (name, f"{CNN}{USUAL}β 0.1 instead of 0.01 (LDReg); k 16 instead of 64; ")
            for name in ("figure4", "table13")
        ),
        ("table16", f"{CNN}{USUAL}β 0.1 instead of 0.005 (LDReg); k 16 instead of 64; "),
        ("table12", f"{CNN}{USUAL}β 0.1 instead of 0.01; k 16, 32 instead of 64, 128; "),
        (
            "table14",
            f"{CNN}24 epochs instead of 100; batch size 64, 128, 256 instead of 512, 1024, 2048;"
            " β 0.1 instead of 0.01; k 4, 8, 16 instead of 16, 32, 64; ",
        ),
        (
            "table15",
            f"{CNN}{USUAL}β 0.1, 1 instead of 0.005, 0.025, 0.05; k 16 instead of 64, 128; ",
        ),
        (
            "surface",
            f"{CNN}24 epochs instead of 100; batch size 128, 256 instead of 512, 1024, 2048;"
            " β 0.01, 0.1, 1 instead of 0.01, 0.05, 0.1; k 8, 16, 32 instead of 32, 64, 128, 256; ",
        ),
        (
            "equal_cost",
            f"{CNN}18, 24, 36 epochs instead of 100; batch size 256 instead of 2048;"
            " β 0.1 instead of 0.005 (LDReg); k 16 instead of 64; ",
        ),
        ("figure2b", f"{CNN}{USUAL}other values of projector"),
    ],
)
def test_what_differs_in_the_demo(exhibit: str, told: str) -> None:
    text = differences(exhibit, dumped("demo", exhibit), PAPER)
    assert text.startswith("Differs from the paper: " + told)


@pytest.mark.parametrize(
    ("grids", "told"),
    [
        ([{"method": "simclr", "regularizer": ["none", "ldreg_l1"]}], NOTHING),
        ([{"method": ["vicreg", "barlow_twins"], "regularizer": ["none", "ldreg_l1"]}], NOTHING),
        ([{"method": "moco", "regularizer": ["none", "ldreg_l1"]}], "other values of augmentations"),
        # Swept over the values of Figure 5 and of Table 14.
        ([{"method": "simclr", "regularizer": "ldreg_l1", "beta": [0.01, 0.05, 0.1]}], NOTHING),
        ([{"method": "simclr", "regularizer": "none", "batch_size": [512, 1024, 2048]}], NOTHING),
        ([{"method": "simclr", "regularizer": "ldreg_l1", "beta": 7}], "β 7 instead of 0.01"),
        (
            [{"method": "simclr", "regularizer": "ldreg_l1", "beta": [0.01, 7]}],
            "β 0.01, 7 instead of 0.01, 0.05, 0.1",
        ),
        (
            [{"method": "simclr", "regularizer": "ldreg_l1", "beta": [0.01, 0.1], "k": [64, 128]}],
            "β and k changed at once instead of one at a time",
        ),
        (
            [{"method": "simclr", "regularizer": "none", "epochs": [50, 100]}],
            "50, 100 epochs instead of 100, 1000",
        ),
        (
            [{"method": "simclr", "regularizer": "none", "jitter": 0.5}],
            "other values of colour jitter strength s",
        ),
        ([{"method": "simclr", "regularizer": "none", "jitter": [0.2, 1.0]}], NOTHING),
        (
            [{"method": "byol", "backbone": "resnet18", "regularizer": "none"}],
            "ResNet-18 instead of ResNet-50",
        ),
        (
            [{"method": "byol", "backbone": "vit_b16", "regularizer": "none"}],
            "ViT-B/16 instead of ResNet-50; 100 epochs instead of 200",
        ),
        (
            [{"method": "simclr", "regularizer": "ldreg_l1", "acts_on": "embeddings"}],
            "other values of what the regulariser acts on",
        ),
    ],
)
def test_a_sweep_of_ones_own_is_compared_with_the_main_table(grids: list, told: str) -> None:
    text = differences("my_sweep", dumped("imagenet", "my_sweep", mine(*grids)), PAPER)
    assert text == (told if told == NOTHING else f"Differs from the paper: {told}.")


def test_the_encoder_that_ours_stands_for_may_be_named() -> None:
    runs = [run | {"backbone": "small_cnn"} for run in dumped("imagenet", "table1_simclr")]
    told = "Differs from the paper: small CNN instead of "
    assert differences("table1_simclr", runs, PAPER) == told + "ResNet-50."
    text = differences("table1_simclr", runs, PAPER, {"small_cnn": "vit_b16"})
    assert text.startswith(told + "ViT-B/16; ") and "β 0.01 instead of 0.001" in text


def test_what_the_paper_does_not_give_is_said() -> None:
    target = {"method": "simclr", "regularizer": "target_lid", "target": 4.0}
    runs = dumped("imagenet", "my_sweep", mine(target))
    not_given = "The paper gives no β of Target LID and no k of Target LID for SimCLR"
    assert differences("my_sweep", runs, PAPER) == (
        f"{not_given}; no other setting of these runs differs from those that it gives."
    )
    runs = dumped("imagenet", "my_sweep", mine({**target, "batch_size": 64, "k": 16}))
    assert differences("my_sweep", runs, PAPER) == (
        f"Differs from the paper: batch size 64 instead of 2048. {not_given}."
    )


@pytest.mark.parametrize("exhibit", Scale.read(CONFIG / "imagenet.yaml").exhibits)
@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"epochs": 5, "warmup_epochs": 1}, " 5 epochs instead of "),
        ({"batch_size": 1000}, " batch size 1000 instead of "),
        ({"beta": 7.0}, "β "),
        ({"k": 9}, "k 9"),
    ],
)
def test_no_exhibit_hides_a_changed_setting(exhibit: str, run: dict, told: str) -> None:
    runs = dumped("imagenet", exhibit)
    key = next(iter(run))
    changed = [{**each, **run} if each.get(key) is not None else each for each in runs]
    if changed != runs:
        text = differences(exhibit, changed, PAPER)
        assert text.startswith("Differs from the paper: ") and told in text


def test_what_differs_and_of_which_runs() -> None:
    runs = dumped("demo", "table1_simclr")
    text = differences("table1_simclr", runs, PAPER)
    assert text.startswith(
        "Differs from the paper: digits instead of ImageNet; images 16 pixels wide instead of 224; small CNN"
        " instead of ResNet-50; 24 epochs instead of 100; batch size 256 instead of 2048;"
        " β 0.1 instead of 0.01; k 16 instead of 64; other values of projector widths, temperature,"
        " optimizer,"
    )
    assert text.endswith("several seeds instead of one number a cell.")
    assert "seeds" not in differences("table1_simclr", runs[:1], PAPER)
    assert about_runs("demo", runs).endswith("batch size 256, 3 seeds (0, 1, 2)")


def test_one_changed_setting_is_the_only_one_told() -> None:
    runs = dumped("imagenet", "table1_simclr")
    for key, value, told in (
        ("batch_size", 1024, "batch size 1024 instead of 2048"),
        ("train_images", 5000, "5000 training images instead of all"),
        ("temperature", 0.5, "other values of temperature"),
        ("projector", (2048, 64), "other values of projector widths"),
        ("views", [view | {"flip": 0.1} for view in runs[0]["views"]], "other values of augmentations"),
    ):
        changed = [run | {key: value} for run in runs]
        assert differences("table1_simclr", changed, PAPER) == f"Differs from the paper: {told}."
