"""A small project to import weights into."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn
from workflow.conftest import COPIED, REPOSITORY, TINY

from ldreg.cli import main
from ldreg.models.networks import build_backbone

EVALUATION = {"linear_epochs": 2, "linear_learning_rates": [0.1], "lid_ks": [8], "lid_batch_rows": 64}
SCALE = {
    "scale": "tiny",
    "run": TINY["run"],
    "methods": {"simclr": {"optimizer": "adamw", "base_lr": 0.003, "lr_scaling": "none", "k": 8}},
    "seeds": [0],
    "evaluation": EVALUATION,
    "report": {"mlid": {"estimator": "mom", "k": 8}},
    "cost": {"pretrain_hours": 1, "measure_hours": 1, "source": "a guess", "dataset_gb": 1},
    "core": ["table1"],
    "exhibits": {"table1": {"runs": [{"method": "simclr", "regularizer": ["none", "ldreg_l1"]}]}},
}

State = dict[str, Any]


class Project:
    """A copy of the workflow with the digits prepared, and a scale file `tiny.yaml` of this backbone."""

    def __init__(self, folder: Path, backbone: str = "small_cnn") -> None:
        self.folder, self.backbone = folder, backbone
        self.run = f"simclr-{backbone}/none/seed0"
        content = SCALE | {"run": SCALE["run"] | {"backbone": backbone}}
        (folder / "tiny.yaml").write_text(yaml.safe_dump(content))

    @property
    def results(self) -> Path:
        """The folder that the run is imported to."""
        return Path("results/tiny/runs", self.run)

    def state(self) -> State:
        """Random weights of the backbone."""
        torch.manual_seed(1)
        return build_backbone(self.backbone, 1, 8)[0].state_dict()

    def load(self, content: Any, *arguments: str, name: str = "weights.pth") -> int:
        """Save `content` and import it; the command's exit status."""
        torch.save(content, name)
        return self.read(name, *arguments)

    def read(self, name: str, *arguments: str) -> int:
        """Import the file `name`; the command's exit status."""
        given = [] if "--run" in arguments else ["--run", self.run]
        return main(["import", name, "--scale", "tiny.yaml", *given, *arguments])

    def encoder(self) -> nn.Module:
        """The network that measuring would make of the run's folder."""
        encoder, _ = build_backbone(self.backbone, 1, 8)
        encoder.load_state_dict(load_file(self.results / "encoder.safetensors"))
        return encoder.eval()


@pytest.fixture
def project(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    """`project(backbone)`: a project, which is the working directory."""
    for name in COPIED:
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / name)
    shutil.copytree(data_root, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return lambda backbone="small_cnn": Project(tmp_path, backbone)


@pytest.fixture
def tiny(project: Callable[..., Project]) -> Project:
    """The project with the smallest network."""
    return project()


@pytest.fixture
def fail(tiny: Project, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`fail(name, *arguments)`: the one line of error, after which all files are as they were."""

    def run(name: str, *arguments: str) -> str:
        before = {path: path.stat().st_mtime_ns for path in tiny.folder.rglob("*")}
        assert tiny.read(name, *arguments) == 2
        output, error = capfd.readouterr()
        assert output == "" and error.startswith("error: ") and error.count("\n") == 1
        assert {path: path.stat().st_mtime_ns for path in tiny.folder.rglob("*")} == before
        return error.removeprefix("error: ").rstrip("\n")

    return run
