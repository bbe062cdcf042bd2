"""Real Snakemake processes in a copy of the workflow; never in the repository itself."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "workflow", "config", "profiles", "environment.yml")
NOTHING = "Nothing to be done"

TINY = {
    "scale": "tiny",
    "run": {
        "dataset": "digits",
        "train_images": 128,
        "image_size": 8,
        "backbone": "small_cnn",
        "augmentation": "digits",
        "batch_size": 64,
        "epochs": 2,
        "warmup_epochs": 1,
        "monitor_k": 8,
        "knn_every": 1,
    },
    "methods": {
        "simclr": {
            "projector": [16],
            "temperature": 0.2,
            "optimizer": "adamw",
            "base_lr": 0.003,
            "lr_scaling": "none",
            "weight_decay": 1e-4,
            "regularizer_start": 0.5,  # the second epoch alone
            "beta": 0.1,
            "k": 8,
        }
    },
    "seeds": [0, 1],
    "execution": {"gpus": 0, "threads": 1, "memory_mb": 1000, "hours": 0.1},
    "evaluation": {"linear_epochs": 2, "lid_ks": [8, 16]},
    "report": {"mlid": {"estimator": "mom", "k": 8}},
    "cost": {"pretrain_hours": 0.001, "measure_hours": 0.001, "source": "a guess", "dataset_gb": 0.001},
    "core": ["table1_simclr", "figure5", "claims"],
    "exhibits": {
        "table1_simclr": None,
        "figure5": {
            "runs": [
                {"method": "simclr", "regularizer": "none"},
                {"method": "simclr", "regularizer": "ldreg_l1", "beta": [0.1, 1.0]},
            ]
        },
        "claims": {"runs": [{"method": "simclr", "regularizer": ["none", "ldreg_l1"]}]},
    },
}
ARMS = ("none", "ldreg_l1-beta0.1-k8", "ldreg_l1-beta1-k8")


def job_counts(told: str) -> dict[str, int]:
    """How many jobs of each rule a dry run has announced; none where nothing is to be done."""
    if NOTHING in told:
        return {}
    table = told.partition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}


class Workflow:
    """A folder with a copy of the workflow, and a scale file `tiny.yaml` with these runs and exhibits."""

    runs = tuple(f"simclr-small_cnn/{arm}/seed{seed}" for arm in ARMS for seed in TINY["seeds"])
    exhibits = tuple(TINY["exhibits"])

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, *arguments: str, scale: str | None = "tiny.yaml", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`snakemake` with these arguments, as a user in the activated environment would start it."""
        return self._command(
            "snakemake", *arguments, *(["--configfile", scale] if scale else []), **environment
        )

    def ldreg(self, *arguments: str) -> str:
        """What `ldreg` with these arguments prints."""
        done = self._command("ldreg", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _command(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        return subprocess.run(
            command, cwd=self.folder, env=kept | environment, capture_output=True, text=True
        )

    def jobs(self, *arguments: str, scale: str | None = "tiny.yaml") -> dict[str, int]:
        """How many jobs of each rule a dry run announces; none where nothing is to be done."""
        return job_counts(self.dry_run(*arguments, scale=scale))

    def dry_run(self, *arguments: str, scale: str | None = "tiny.yaml") -> str:
        """What a dry run says."""
        done = self.run("--dry-run", *arguments, scale=scale)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def edit(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change the scale file."""
        content = yaml.safe_load(self.path("tiny.yaml").read_text())
        change(content)
        self.path("tiny.yaml").write_text(yaml.safe_dump(content))

    def path(self, *parts: str) -> Path:
        """A path in the folder."""
        return self.folder.joinpath(*parts)

    def copy(self, folder: Path) -> "Workflow":
        """The same at another place, modification times and Snakemake's records included."""
        return Workflow(shutil.copytree(self.folder, folder))


@pytest.fixture(scope="session")
def fresh_workflow() -> Callable[[Path], Workflow]:
    """`fresh_workflow(folder)`: a copy of the workflow in which nothing has run."""

    def make(folder: Path) -> Workflow:
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
        return Workflow(folder)

    return make
