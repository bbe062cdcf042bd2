"""Fabricated run folders: the files that the exhibits read, with numbers of the test's choice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PAPER = REPOSITORY / "config/paper/reported.csv"

SPEC = {
    "scale": "demo",
    "dataset": "digits",
    "image_size": 16,
    "train_images": 1347,
    "backbone": "small_cnn",
    "method": "simclr",
    "regularizer": "none",
    "beta": None,
    "k": None,
    "target": None,
    "acts_on": "representations",
    "regularizer_start": 0.1,
    "batch_size": 256,
    "epochs": 40,
    "projector": [128, 64],
    "temperature": 0.5,
    "monitor_k": 16,
}


class Runs:
    """Writes run folders and exhibit specs below a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: list[str] = []

    def add(self, seed: int, top1: float = 97.0, rank: float = 10.0, mlid: float = 6.0, **spec: Any) -> Path:
        """One run with these results; `spec` overrides SPEC."""
        folder = self.root / f"runs/run{len(self.folders)}/seed{seed}"
        folder.mkdir(parents=True)
        run = {**SPEC, **spec, "seed": seed, "run": str(folder), "spec_hash": f"hash{len(self.folders)}"}
        (folder / "spec.yaml").write_text(yaml.safe_dump(run))
        linear = {"split": "test", "protocol": "cached", "top1": top1, "top5": None, "at_grid_edge": False}
        (folder / "linear.json").write_text(json.dumps(linear))
        (folder / "knn.json").write_text(
            json.dumps({"split": "test", "k": 20, "top1": top1 - 1, "top5": 99.9})
        )
        lid = [
            {"estimator": "mom", "k": 16, "batch_rows": None, "mlid": mlid},
            {"estimator": "mle", "k": 32, "batch_rows": 2048, "mlid": mlid + 100},
        ]
        ranks = {"correlation": rank, "covariance": rank + 100, "second_moment": rank + 200}
        content = {"split": "test", "rows": 450, "lid": lid, "effective_rank": ranks, "rankme": rank + 300}
        (folder / "dimensionality.json").write_text(json.dumps(content))
        self.folders.append(str(folder))
        return folder

    def spec(
        self, renderer: str, name: str = "exhibit", runs: list[str] | None = None, **settings: Any
    ) -> Path:
        """An exhibit's spec over all runs added so far, or over `runs`."""
        content = {
            "exhibit": name,
            "scale": "demo",
            "renderer": renderer,
            "title": "Main results",
            "caption": "SimCLR on digits.",
            "category": "Tables",
            "settings": {
                "mlid": {"estimator": "mom", "k": 16, "batch_rows": None},
                **settings,
            },
            "runs": self.folders if runs is None else runs,
            "paper": str(PAPER),
        }
        path = self.root / f"exhibits/{name}.spec.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        return path


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """An empty set of runs."""
    return Runs(tmp_path)


@pytest.fixture
def demo(tmp_path: Path) -> Runs:
    """Runs as the demo scale has them: beta and k swept around (0.1, 16), three paired seeds."""
    return fabricate(tmp_path, range(3))


@pytest.fixture
def fabricated(tmp_path: Path) -> Callable[..., Runs]:
    """`fabricated(seeds)`: the demo's runs for other seeds."""
    return lambda seeds: fabricate(tmp_path, seeds)


def fabricate(root: Path, seeds: Any) -> Runs:
    """Numbers like those of a prototype on digits: LDReg raises mLID and rank, more so with beta."""
    made = Runs(root)
    settings = [(None, None), *((beta, 16) for beta in (0.01, 0.1, 1.0)), *((0.1, k) for k in (8, 32, 64))]
    for place, (beta, k) in enumerate(settings):
        random = np.random.default_rng(place)
        for seed in seeds:
            noise = random.normal(size=3) + 0.2 * np.random.default_rng(seed + 100).normal(size=3)
            lift = 0.0 if beta is None else beta * (16 / k) ** 0.3
            results = {
                "top1": round(97.3 + 0.3 * lift + 0.25 * noise[0], 2),
                "rank": 10.3 + 9 * lift + 0.3 * noise[1],
                "mlid": 5.93 + 1.4 * lift + 0.04 * noise[2],
            }
            kind = "none" if beta is None else "ldreg_l1"
            made.add(seed, **results, regularizer=kind, beta=beta, k=k)
    return made
