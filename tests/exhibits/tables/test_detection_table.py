"""Table 3: detection and segmentation with and without LDReg, from fabricated measurements."""

import json
import math

import pytest
from exhibits.tables.test_transfer_table import (
    HALF,
    LDREG,
    PAPERS,
    PAPERS_LDREG,
    STANDS,
    cells,
    effects_and_levels,
)

from ldreg.errors import LdregError
from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.declared import DETECTION_TABLE, DetectionTableSettings
from ldreg.exhibits.tables.transfer_and_detection import detection_table


def add_detection(runs, seed: int, ap: float, **spec):
    """A run whose detector has this AP of boxes, 20 more at overlap 0.5, 2 more at 0.75; masks 4 less."""
    folder = runs.add(seed, **spec)
    box = {"ap": ap, "ap50": ap + 20, "ap75": ap + 2}
    content = {
        "split": "val",
        "box": box,
        "mask": {key: value - 4 for key, value in box.items()},
        "train_images": 1600,
        "val_images": 200,
        "categories": 10,
        "settings": {"iterations": 1500, "batch_size": 8, "learning_rate": 0.02},
    }
    (folder / "detection.json").write_text(json.dumps(content))
    return folder


def detected(runs, **settings) -> dict[str, str]:
    return detection_table(read_exhibit(runs.spec("detection_table", **settings)))


def test_detection_beside_the_papers_effect(runs) -> None:
    for seed in (0, 1, 2):
        add_detection(runs, seed, 20.0 + seed)
        add_detection(runs, seed, 21.0 + 2 * seed, **LDREG)
    files = detected(runs, **STANDS)
    effects, levels = effects_and_levels(files)
    interval = f"+2.00 [{2 - HALF:+.2f}, {2 + HALF:+.2f}]"
    assert effects[1][1:] == ["LDReg β 0.1, k 16", "box AP (points)", "+0.02", interval, "undecided", "3"]
    assert [row[2:4] for row in effects[2:7]] == [
        ["box AP50 (points)", "+0.05"],
        ["box AP75 (points)", "-0.10"],
        ["mask AP (points)", "+0.08"],
        ["mask AP50 (points)", "+0.18"],
        ["mask AP75 (points)", "+0.08"],
    ]
    absent = {row[0]: row[1:] for row in effects[1:] if row[0]}
    assert absent["BYOL, ResNet-50, 100 epochs"] == [
        *("LDReg β 0.005, k 64", "box AP (points)", "+0.52", "not run", "", "0")
    ]
    assert absent["SimCLR, ResNet-50, 1000 epochs"][2:4] == ["+0.67", "not run"]
    assert levels[0][2:] == ["box AP", "box AP50", "box AP75", "mask AP", "mask AP50", "mask AP75", "seeds"]
    half = 4.302653 / math.sqrt(3)
    assert levels[1][2:4] == [f"21.00 ± {half:.2f}", f"41.00 ± {half:.2f}"] and len(levels) == 3
    line = cells(files, "method", "backbone", "regularizer", "metric").loc[
        ("level", "simclr", "small_cnn", "none", "mask_ap75")
    ]
    assert (
        float(line["mean"]) == pytest.approx(19) and float(line["paper"]) == 32.82 and not line["comparable"]
    )
    for words in (
        "1,600 training and 200 validation images, 10 categories; 1500 iterations, batch size 8",
        "on COCO train2017 for 180,000 iterations",
    ):
        assert words in files["md"]


def test_detection_at_the_papers_scale(runs) -> None:
    add_detection(runs, 0, 35.0, **PAPERS)
    add_detection(runs, 0, 36.0, **PAPERS_LDREG)
    effects, levels = effects_and_levels(detected(runs, scale_of_paper=True))
    assert levels[1][1:5] == ["none", "here", "35.00", "55.00"]
    assert levels[2][1:5] == ["", "paper", "35.24", "55.05"] and levels[4][3] == "**35.26**"
    (absent,) = [place for place, row in enumerate(levels) if row[0].startswith("BYOL")]
    assert levels[absent][:4] == ["BYOL, ResNet-50, 100 epochs", "none", "here", "not run"]
    assert levels[absent + 1][3] == "36.30"  # the paper's number alone
    assert effects[1][3:] == ["+0.02", "+1.00 (1 seed, no interval)", "+0.98", "1"]


def test_precision_and_corrupt_images_are_told_where_they_are_none_of_the_usual(runs) -> None:
    folders = [add_detection(runs, seed, 20.0) for seed in (0, 1)]
    assert "convolutions" not in detected(runs)["md"] and "corrupt" not in detected(runs)["md"]
    for folder, told in zip(
        folders, ({"precision": "bf16", "corrupt_images": 3}, {"precision": "bf16"}), strict=True
    ):
        content = json.loads((folder / "detection.json").read_text())
        (folder / "detection.json").write_text(json.dumps(content | told))
    text = detected(runs)["md"]
    assert "learning rate 0.02; convolutions in bf16; tested once" in text
    assert "Up to 3 images of each run were corrupt and were skipped." in text


def test_a_number_that_is_missing_or_none_is_told(runs) -> None:
    folder = add_detection(runs, 0, 20.0)
    content = json.loads((folder / "detection.json").read_text())
    content["mask"]["ap50"] = None
    (folder / "detection.json").write_text(json.dumps(content))
    with pytest.raises(LdregError, match=r"detection\.json: ap50: no finite number \(None\)"):
        detected(runs)


def test_the_workflow_is_told_the_file_of_a_run() -> None:
    assert DETECTION_TABLE.run_files(DetectionTableSettings()) == ("detection.json",)


def test_what_is_missing_is_told_in_one_line(runs) -> None:
    runs.add(0)
    with pytest.raises(LdregError, match=r"detection\.json: not measured yet; the folder holds .*knn\.json"):
        detected(runs)
