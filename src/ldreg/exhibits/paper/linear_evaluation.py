"""The settings of a scale's linear evaluation under the names that the paper's settings have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldreg.exhibits.paper.settings import PaperSetting
from ldreg.files import read_yaml

# What `ldreg.evaluation.linear_paper` always does.
FIXED = {
    "linear_optimizer": "lars",
    "linear_lr_scaling": "linear",
    "linear_weight_decay": 0.0,
    "linear_warmup_epochs": 0,
    "linear_norm": "BatchNorm without affine",
}


def linear_evaluation(
    files: Mapping[str, Path], protocol: str, given: Mapping[str, PaperSetting]
) -> dict[str, Any]:
    """The settings by which the accuracies shown were measured, by key.

    Keys that a protocol has no setting for are absent: for these the paper's settings say what is done here.

    Args:
        files: the scale's settings of measurements by name: evaluation.yaml, linear_paper.yaml.
        protocol: of the linear accuracies that are shown.
        given: what the paper gives under `evaluation.`, which is left out of the keys.
    """
    if protocol == "cached":
        return read_yaml(files["evaluation.yaml"])
    content = read_yaml(files["linear_paper.yaml"])
    found = FIXED | {f"linear_{key}": value for key, value in content["linear_paper"].items()}
    if content["test_view"] == "authors" and "linear_test_view" in given:
        found["linear_test_view"] = given["linear_test_view"].values[0]  # theirs, whatever words are for it
    return found
