"""What tests share: real images, and the smallest run that trains on them."""

import os
import shutil

# Before torch is imported, and for subprocesses too: bits are compared, and jobs share the cores.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldreg.catalogue.regularizers import REGULARIZERS
from ldreg.config.run_spec import RunSpec
from ldreg.data.datasets import ImageData, load, prepare
from ldreg.files import read_yaml
from ldreg.workflow.scale import Scale

TESTS = Path(__file__).parent
# Below these places tests take seconds, or start other programs: `make check` leaves them out. Of several
# processes each takes whole files, so that what a file's tests share is made once; the longest are begun
# first, so that no process ends long after the others.
SLOW = (
    "workflow/test_workflow.py",
    "workflow/test_dry_runs.py",
    "workflow/test_availability.py",
    "docs/test_commands.py",
    "distributed/",
    "faults/",
    "slurm/",
    "workflow/test_queue.py",
    "inputs/",
    "docs/test_site.py",
    "exhibits/claims/test_claims_",
    "exhibits/figures/",
    "jobs/test_resumed_pretraining.py",
    "detection/",
    "tracking/",
    "workflow/importing/test_layouts.py",
    "workflow/test_module.py",
    "workflow/test_surroundings.py",
    "workflow/test_tracking_told.py",
    "workflow/test_unlock.py",
    "workflow/test_light_imports.py",
    "workflow/test_profiles.py",
    "exhibits/tables/test_paper_scale.py",
    "exhibits/paper/test_traceable.py",
    "exhibits/beyond/",
    "plane/test_experiments.py",
    "jobs/test_synthetic.py",
    "site/",
    "models/test_networks.py",
    "evaluation/test_linear_paper.py",
    "runtime/test_launch.py",
    "runtime/test_surroundings.py",
    "training/test_guard.py",
    "training/test_step_cost.py",
    "training/test_pretrain.py",
    "browser/",
)


@pytest.hookimpl(tryfirst=True)  # before markers select tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _place(item) < len(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Where the test's file stands in `SLOW`; its length for all others."""
    path = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
    return next((place for place, start in enumerate(SLOW) if path.startswith(start)), len(SLOW))


VIEW = {
    "crop_scale": (0.4, 1.0),
    "crop_ratio": (0.75, 1.33),
    "jitter": 0.8,
    "brightness": 0.4,
    "contrast": 0.4,
}
TINY = {
    "scale": "tiny",
    "dataset": "digits",
    "train_images": 100,
    "image_size": 8,
    "augmentation": "digits",
    "views": (VIEW, VIEW),
    "method": "simclr",
    "backbone": "small_cnn",
    "regularizer": "none",
    "batch_size": 32,
    "epochs": 2,
    "warmup_epochs": 0,
    "optimizer": "adamw",
    "base_lr": 0.003,
    "lr_scaling": "none",
    "weight_decay": 1e-4,
    "monitor_k": 8,
    "knn_every": 10,
    "seed": 0,
}
MOMENTUM = {"projector": (32, 16), "predictor": (32, 16), "momentum": 0.9}
OWN = {
    "simclr": {"projector": (32, 16), "temperature": 0.2},
    "simclr_tuned": {"projector": (32, 16), "temperature": 0.15},
    "byol": MOMENTUM,
    "moco": {**MOMENTUM, "temperature": 1.0},
    "vicreg": {
        "projector": (32, 16),
        "invariance_weight": 25.0,
        "variance_weight": 25.0,
        "covariance_weight": 1.0,
    },
    "barlow_twins": {"projector": (32, 16), "redundancy_weight": 0.005},
    "mae": {
        "backbone": "vit_mini",
        "image_size": 16,
        "views": (VIEW,),
        "mask_ratio": 0.75,
        "decoder_dim": 32,
        "decoder_depth": 1,
        "decoder_heads": 2,
    },
}


@pytest.fixture(scope="session")
def tiny_spec() -> Callable[..., RunSpec]:
    """`tiny_spec(**changes)`: 3 steps of 32 digits in each of 2 epochs, a few hundredths of a second each.

    A method has small settings of its own. A regulariser, if one is asked for, has beta 0.1 and k 8 and acts
    from the first epoch on.
    """

    def make(**changes: Any) -> RunSpec:
        values = {**TINY, **OWN[changes.get("method", TINY["method"])], **changes}
        if values["regularizer"] != "none":
            needed = {key: 8 for key in REGULARIZERS[values["regularizer"]].settings if key == "k"}
            values = {"beta": 0.1, "regularizer_start": 0.0} | needed | values
        return RunSpec(**values)

    return make


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the digits are prepared."""
    root = tmp_path_factory.mktemp("data")
    prepare("digits", root)
    return root


@pytest.fixture(scope="session")
def digits(data_root: Path) -> ImageData:
    """All digits."""
    return load("digits", data_root)


@pytest.fixture(scope="session")
def few_digits(data_root: Path) -> ImageData:
    """The digits of `tiny_spec`: 100 to train on, 10 of each class; all 450 to test on."""
    return load("digits", data_root, TINY["train_images"])


CONFIG = Path(__file__).resolve().parents[1] / "config"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def demo(tmp_path: Path) -> Callable[..., Scale]:
    """`demo(change, **files)`: the demo after `change(content)`, shared files replaced by `files`."""

    def make(change: Change = lambda content: None, **files: dict[str, Any]) -> Scale:
        content = read_yaml(CONFIG / "demo.yaml")
        change(content)
        for name in ("methods", "augmentations", "exhibits"):
            if name in files:
                (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(files[name]))
            else:
                shutil.copy(CONFIG / f"{name}.yaml", tmp_path)
        return Scale(content, "scale.yaml", tmp_path)

    return make
