"""Which settings are the same (text of the CSV against values of specs), and how they are called."""

import pytest

from ldreg.config.run_spec import RunSpec, ViewSettings
from ldreg.exhibits.paper.setting_words import agree, label, listed, shown

ALIKE = [
    ("1e-6", 1e-6),
    ("1.5e-6", 0.0000015),
    ("100", 100.0),
    ("1.0", 1),
    ("0", 0.0),
    ("lars", "lars"),
    ("bicubic", "bicubic"),
    ("2048-128", (2048, 128)),
    ("8192-8192-8192", [8192.0, 8192.0, 8192.0]),
    ("512", (512,)),
    ("0.08-1", (0.08, 1.0)),
    ("0.75-1.3333333333333333", (3 / 4, 4 / 3)),
    ("1e-3-1e-2", (0.001, 0.01)),
    ("food101-cifar10-dtd", ("food101", "cifar10", "dtd")),
    ("cosine to 0", "cosine to 0"),
    ("random crops - and flips", "random crops - and flips"),
    ("none", None),
    (None, None),
]
UNLIKE = [
    ("1e-6", 1e-5),
    ("1e-6", (1, 6)),
    ("100", 200),
    ("lars", "adamw"),
    ("0.1", None),
    ("0.1", "none"),
    ("2048-128", (128, 2048)),
    ("2048-128", (2048,)),
    ("2048-128", 2048),
    ("0.08-1", (0.2, 1.0)),
    ("food101-cifar10", ("food101", "dtd")),
    ("cosine to 0", "cosine to 1e-6"),
]


@pytest.mark.parametrize(("theirs", "ours"), ALIKE)
def test_alike_from_either_side_and_shown_alike(theirs, ours) -> None:
    assert agree(theirs, ours) and agree(ours, theirs)


@pytest.mark.parametrize(("theirs", "ours"), UNLIKE)
def test_unlike_from_either_side(theirs, ours) -> None:
    assert not agree(theirs, ours) and not agree(ours, theirs)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    # Words that are joined by dashes are a list only beside one.
    [pair for pair in ALIKE if "food" not in str(pair[0])],
)
def test_what_agrees_is_shown_alike(theirs, ours) -> None:
    assert shown(theirs) == shown(ours)


def test_every_setting_of_a_run_has_a_label_of_its_own() -> None:
    keys = [*RunSpec.model_fields, *(f"views.{key}" for key in ViewSettings.model_fields)]
    labels = {key: label(key) for key in keys}
    assert len(set(labels.values())) == len(keys)
    assert not [key for key, words in labels.items() if "{" in words or "_" in words]


def test_values_are_listed_once_by_size_or_in_order() -> None:
    assert listed(["1.0", 0.1, "1", 5e-6]) == "5e-6, 0.1, 1"
    assert listed(["vit_mini", "small_cnn", "vit_mini"]) == "small ViT, small CNN"
