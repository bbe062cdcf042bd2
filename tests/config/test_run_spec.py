import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.regularizers import REGULARIZERS
from ldreg.config.run_names import format_run, parse_run
from ldreg.config.run_spec import RunSpec, ViewSettings, read_spec, write_spec
from ldreg.errors import LdregError

Make = Callable[..., RunSpec]

# Another valid value for every key of the tiny spec with ldreg_l1, so that beta and k count, and for the
# settings of other methods and regularisers, see `_with`.
OTHER: dict[str, Any] = {
    "dataset": "cifar10",
    "train_images": None,
    "image_size": 9,
    "augmentation": "simclr_cifar",
    "jitter": 0.4,
    "views": (ViewSettings(), ViewSettings(flip=0.5)),
    "method": "simclr_tuned",
    "backbone": "resnet18",
    "projector": (32, 16, 8),
    "predictor": (16, 8),
    "temperature": 0.07,
    "momentum": 0.97,
    "invariance_weight": 24.0,
    "variance_weight": 24.5,
    "covariance_weight": 2.0,
    "redundancy_weight": 0.005,
    "mask_ratio": 0.5,
    "decoder_dim": 24,
    "decoder_depth": 3,
    "decoder_heads": 2,
    "regularizer": "ldreg_l2",
    "beta": 5e-6,
    "k": 9,
    "target": 5.5,
    "acts_on": "embeddings",
    "regularizer_start": 0.25,
    "batch_size": 33,
    "epochs": 3,
    "warmup_epochs": 1,
    "optimizer": "lars",
    "base_lr": 0.30000000000000004,
    "lr_scaling": "linear",
    "final_lr_factor": 0.001,
    "bias_lr_factor": 0.024,
    "weight_decay": 1e-13,
    "adam_beta2": 0.95,
    "monitor_k": 9,
    "knn_every": 11,
    "seed": 1,
}


@pytest.fixture
def ldreg_spec(tiny_spec: Make) -> Make:
    return lambda **changes: tiny_spec(**{"regularizer": "ldreg_l1", **changes})


def test_every_key_has_another_value_here() -> None:
    assert set(OTHER) == set(RunSpec.model_fields) - {"scale", "recipe"}  # which no file may set


# Settings that a method needs for one of its own to exist, or a rule forbids beside the tiny spec's.
SIMCLR_ONLY = {"projector": None, "temperature": None}
BYOL = {"method": "byol", "temperature": None, "predictor": (32, 16), "momentum": 0.9}
VICREG = {"method": "vicreg", "temperature": None}
VICREG |= dict.fromkeys(("invariance_weight", "variance_weight", "covariance_weight"), 25.0)
BARLOW = {"method": "barlow_twins", "temperature": None, "redundancy_weight": 0.0051}
MAE = {"method": "mae", "backbone": "vit_mini", "views": (ViewSettings(),), **SIMCLR_ONLY}
MAE |= {"mask_ratio": 0.75, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 4, "image_size": 16}
NEEDED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("predictor", "momentum"), BYOL),
    **dict.fromkeys(("invariance_weight", "variance_weight", "covariance_weight"), VICREG),
    "redundancy_weight": BARLOW,
    **dict.fromkeys(("mask_ratio", "decoder_dim", "decoder_depth", "decoder_heads"), MAE),
    "target": {"regularizer": "target_lid", "target": 4.0},
    "bias_lr_factor": {"optimizer": "sgd"},
}


@pytest.mark.parametrize("key", OTHER)
def test_hash_changes_with_every_setting(ldreg_spec: Make, key: str) -> None:
    needed = NEEDED.get(key, {})
    assert ldreg_spec(**{**needed, key: OTHER[key]}).hash != ldreg_spec(**needed).hash


def test_hash_depends_on_nothing_else(ldreg_spec: Make) -> None:
    spec = ldreg_spec()
    assert ldreg_spec(scale="another").hash == spec.hash
    assert RunSpec(**dict(reversed(spec.model_dump().items()))).hash == spec.hash
    assert re.fullmatch("[0-9a-f]{12}", spec.hash)


@pytest.mark.parametrize("key", [key for key in OTHER if key != "views"])
def test_one_differing_setting_is_named_and_read_back(ldreg_spec: Make, key: str) -> None:
    needed = NEEDED.get(key, {})
    base, spec = ldreg_spec(**needed), ldreg_spec(**{**needed, key: OTHER[key]})
    name = format_run(spec, base)
    assert name != format_run(base, base)
    assert _read_back(name, base) == spec


def test_names_of_random_specs_read_back_exactly_and_are_unique(tiny_spec: Make) -> None:
    base = tiny_spec()
    draws = random.Random(0)
    names: dict[str, RunSpec] = {}
    for _ in range(300):
        spec = tiny_spec(**_random_settings(draws))
        name = format_run(spec, base)
        assert re.fullmatch(r"[a-z0-9_.-]+/[a-z0-9_.-]+/seed\d+", name)
        assert ".." not in name and not re.search(r"[-.](/|$)", name)
        assert names.setdefault(name, spec) == spec
        longest = max(len(part) for part in name.split("/"))
        assert longest <= 255
        assert longest == 255 or _read_back(name, base) == spec  # a shortened name cannot be read back
    assert len(names) == 300


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1.0, "1"), (100.0, "100"), (0.0, "0"), (5e-6, "0.000005"), (1e16, "10000000000000000")],
)
def test_numbers_in_names_have_no_exponent(ldreg_spec: Make, value: float, text: str) -> None:
    spec = ldreg_spec(beta=value)
    assert format_run(spec, spec) == f"simclr-small_cnn/ldreg_l1-beta{text}-k8/seed0"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "simclr-small_cnn/none",
        "simclr/none/seed0",
        "simclr-small_cnn/none/seedling",
        "simclr-small_cnn-what3/none/seed0",
        "simclr-small_cnn-epochsmany/none/seed0",
    ],
)
def test_names_that_no_run_has_are_refused(name: str) -> None:
    with pytest.raises(LdregError, match=re.escape(repr(name))):
        parse_run(name)


def test_spec_file_reads_back(ldreg_spec: Make, tmp_path: Path) -> None:
    spec = ldreg_spec(beta=5e-6, train_images=None)
    write_spec(tmp_path / "a/b/spec.yaml", spec, "a name")
    assert read_spec(tmp_path / "a/b/spec.yaml") == ("a name", spec)
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["spec.yaml"]


def test_spec_file_that_says_the_same_is_not_rewritten(ldreg_spec: Make, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    write_spec(path, ldreg_spec(), "run")
    os.utime(path, (1, 1))
    write_spec(path, ldreg_spec(), "run")
    assert path.stat().st_mtime == 1
    write_spec(path, ldreg_spec(beta=0.2), "run")
    assert path.stat().st_mtime > 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta": 0.2}, ("spec_hash", "does not fit")),
        ({"spec_hash": None}, ("spec_hash", "does not fit")),
        ({"run": None}, ("run", "None", "name")),
        ({"epochs": 0}, ("epochs", "0", "greater than or equal to 1")),
        ({"bta": 0.2}, ("'bta'", "did you mean 'beta'", "allowed:")),
        ({7: 0.2}, ("7", "keys should be strings")),
    ],
)
def test_tampered_spec_file_is_refused(
    ldreg_spec: Make, tmp_path: Path, change: dict[Any, Any], words: tuple[str, ...]
) -> None:
    path = tmp_path / "spec.yaml"
    write_spec(path, ldreg_spec(), "run")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(LdregError) as caught:
        read_spec(path)
    _one_line(caught.value, str(path), *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2\n", ("line 2", "not valid YAML")),
        ("", ("nothing",)),
        ("- 1\n", ("keys and values", "[1]")),
    ],
)
def test_broken_spec_file_is_refused(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(LdregError) as caught:
        read_spec(path)
    _one_line(caught.value, str(path), *words)


def _read_back(name: str, base: RunSpec) -> RunSpec:
    """The spec that a name stands for: what it does not say is the base's."""
    # beta, k and target are in the name wherever there are any.
    values = {**base.model_dump(), "beta": None, "k": None, "target": None}
    return RunSpec(**{**values, **parse_run(name)})


def _random_settings(draws: random.Random) -> dict[str, Any]:
    """Valid settings, half of the keys left at the tiny spec's."""
    batch, epochs = draws.randint(40, 4096), draws.randint(2, 1000)
    strength = lambda: draws.choice([draws.random(), 10 ** draws.uniform(-12, 3), float(draws.randint(1, 9))])  # noqa: E731
    settings = {
        "dataset": draws.choice(list(DATA_SETS)),
        "train_images": draws.choice([None, draws.randint(1, 10**6)]),
        "image_size": draws.randint(8, 600),
        "augmentation": draws.choice(["a", "simclr_cifar", "k", "all", "x_0"]),
        "jitter": strength(),
        "projector": tuple(draws.randint(1, 9000) for _ in range(draws.randint(1, 4))),
        "temperature": strength(),
        "regularizer_start": draws.random(),
        "warmup_epochs": draws.randint(0, epochs - 1),
        "optimizer": draws.choice(["lars", "sgd", "adamw"]),
        "final_lr_factor": draws.random(),
        "adam_beta2": draws.uniform(0.5, 0.99),
        "base_lr": strength(),
        "lr_scaling": draws.choice(["sqrt", "linear", "none"]),
        "weight_decay": strength(),
        "monitor_k": draws.randint(2, 60),
        "knn_every": draws.randint(1, 99),
        "seed": draws.randint(0, 10**9),
    }
    settings = {key: value for key, value in settings.items() if draws.random() < 0.5 or key == "seed"}
    kind = draws.choice(list(REGULARIZERS))
    own = {"beta": strength(), "k": draws.randint(2, 2 * batch - 2), "target": strength() + 1e-9}
    settings |= {key: own[key] for key in REGULARIZERS[kind].settings}
    if kind != "none":
        settings["acts_on"] = draws.choice(["representations", "embeddings"])
    return {**settings, "epochs": epochs, "batch_size": batch, "regularizer": kind}


def _one_line(error: LdregError, *words: str) -> None:
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error)


def test_a_name_that_no_file_system_takes_ends_with_a_hash(tiny_spec):
    """Each part of a name is a folder's, and has at most 255 bytes."""
    base = tiny_spec()
    fits, long, other = (
        tiny_spec(projector=(1000 + last, *[1000] * parts)) for parts, last in ((10, 0), (80, 0), (80, 1))
    )
    assert format_run(fits, base).split("/")[0] == f"simclr-small_cnn-projector{'x'.join(['1000'] * 11)}"
    names = [format_run(spec, base).split("/") for spec in (long, other)]
    assert all(len(part.encode()) <= 255 for name in names for part in name)
    assert names[0][0] != names[1][0] and names[0][1:] == names[1][1:] == ["none", "seed0"]
    assert names[0][0].startswith("simclr-small_cnn-projector1000x1000x")
