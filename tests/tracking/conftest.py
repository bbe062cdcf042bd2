"""Run folders as the jobs leave them, and what MLflow holds of them."""

import csv
import json
import logging
import shutil
from pathlib import Path

import pytest
import yaml
from mlflow_server import serving

from ldreg.tracking import Tracker, store, tracking_uri

FACTS = {"dataset_digest": "d1", "git_commit": "c1", "git_dirty": True}
MEASURED_BY = {"git_commit": "c2", "git_dirty": False}  # the code has changed since


def row(epoch):
    """A row of history.csv: the regulariser is once not a number, kNN is measured every other epoch."""
    term = float("nan") if epoch == 2 else 0.1
    knn = 90.5 if epoch % 2 == 0 else None
    return {"epoch": epoch, "loss": 4 / epoch, "regularizer": term, "lr": 0.1, "knn_top1": knn}


def lid(estimator, k, batch_rows, mlid):
    return {"estimator": estimator, "k": k, "batch_rows": batch_rows, "mlid": mlid, "frechet_variance": 0.05}


class Results:
    """A results folder with one scale."""

    row = staticmethod(row)
    scale = "demo"

    def __init__(self, path: Path, database: Path):
        self.path = path
        path.mkdir(exist_ok=True)
        shutil.copy(database, path / "mlflow.db")

    def plan(self, seed=0, **settings):
        """A run folder before its pretraining."""
        run = f"simclr-small_cnn/ldreg_l1-beta0.1-k16/seed{seed}"
        folder = self.path / self.scale / "runs" / run
        folder.mkdir(parents=True)
        spec = {
            "scale": self.scale,
            "run": run,
            "dataset": "digits",
            "method": "simclr",
            "regularizer": "ldreg_l1",
        }
        spec |= {"beta": 0.1, "k": 16, "seed": seed, "spec_hash": "abc", "base_lr": 1e-5, "monitor_k": None}
        spec |= {"views": {"crop_scale": [0.2, 1.0]}}
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec | settings))
        return folder

    def write_training(self, folder, epochs=4):
        with (folder / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, row(1))
            writer.writeheader()
            writer.writerows(row(epoch) for epoch in range(1, epochs + 1))
        (folder / "summary.json").write_text(json.dumps(FACTS | {"wall_seconds": 60.0}))
        return folder

    def write_measurement(self, folder):
        ranks = {"correlation": 10.5, "covariance": 11.5, "second_moment": 12.5}
        lids = [lid("mom", 16, None, 6.1), lid("mle", 32, 2048, 6.2)]
        dimensionality = {"split": "test", "rows": 450, "lid": lids, "effective_rank": ranks, "rankme": 9.5}
        dimensionality |= MEASURED_BY
        files = {
            "dimensionality": dimensionality,
            "knn": {"split": "test", "k": 20, "top1": 97.1, "top5": None},
            "linear": {
                "protocol": "cached",
                "top1": 97.3,
                "top5": 99.9,
                "holdout": [{"lr": 0.1, "top1": 96.9}],
            },
        }
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        return folder

    def pretrain(self, folder):
        """A pretraining as the command runs it."""
        with Tracker(folder, "pretrain", self.path, FACTS) as tracking:
            for epoch in range(1, 5):
                tracking.log(row(epoch), epoch)
            self.write_training(folder)

    def measure(self, folder):
        with Tracker(folder, "measure", self.path, FACTS | MEASURED_BY):
            self.write_measurement(folder)

    @property
    def client(self):
        store.import_mlflow("sqlite:")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri(self.path))

    def runs(self):
        """The MLflow runs of the scale's experiment, oldest first."""
        experiment = self.client.get_experiment_by_name(f"ldreg-{self.scale}")
        order = ["attributes.start_time"]
        return self.client.search_runs([experiment.experiment_id], order_by=order) if experiment else []

    def history(self, run, key):
        return sorted(
            (point.step, point.value) for point in self.client.get_metric_history(run.info.run_id, key)
        )

    def content(self, run):
        """All that MLflow has of a run, but for what must differ from one run to the next."""
        own = ("system/", "mlflow.", "pretrain_run_id", "process.", "superseded_by")
        metrics = {key: self.history(run, key) for key in run.data.metrics if not key.startswith(own)}
        tags = {key: value for key, value in run.data.tags.items() if not key.startswith(own)}
        files = sorted(file.path for file in self.client.list_artifacts(run.info.run_id))
        return run.info.run_name, run.info.status, run.data.params, tags, metrics, files


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """An MLflow database without experiments: to make one takes seconds, so the tests copy it."""
    store.import_mlflow("sqlite:")
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory, database):
    """A real MLflow server on this machine, and the folder of its files."""
    with serving(tmp_path_factory.mktemp("server"), database) as (uri, folder):
        yield uri, folder


@pytest.fixture
def results(tmp_path, database, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Results(tmp_path / "results", database)


@pytest.fixture
def warned(caplog):
    """The one warning that there was."""

    def text():
        (warning,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
        return warning.getMessage()

    return text
