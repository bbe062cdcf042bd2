"""That MLflow cannot be used is told on the terminal, once for a whole workflow, before anything trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Workflow = Any  # tests/workflow/conftest.py
TOLD = "warning: MLFLOW_TRACKING_URI: 'config' is a folder, and MLflow no longer logs into folders; it should"
pytestmark = pytest.mark.slow


def test_an_unusable_uri_is_told_once_whole_and_first(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    runs = [workflow.runs[0], workflow.runs[1]]
    names = [f"results/tiny/runs/{run}/summary.json" for run in runs]
    done = workflow.run(*names, MLFLOW_TRACKING_URI="config")
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert [line.startswith(TOLD) for line in lines if "MLFLOW_TRACKING_URI" in line] == [True]
    first = next(number for number, line in enumerate(done.stderr.splitlines()) if line.startswith(TOLD))
    trained = [number for number, line in enumerate(done.stderr.splitlines()) if "epochs" in line]
    assert trained and first < min(trained)
    assert all(workflow.path(name).is_file() for name in names)
    logs = [workflow.path(f"results/tiny/logs/pretrain/{run}.log").read_text() for run in runs]
    for log in logs:  # and there MLflow's own words, to their end
        (warning,) = [line for line in log.splitlines() if line.startswith("MLflow: ")]
        assert "ldreg track" in warning and "..." not in warning


def test_a_command_tells_it_too(fresh_workflow: Callable[[Path], Workflow], tmp_path: Path) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    workflow.dry_run()  # writes the specs
    spec = f"results/tiny/runs/{workflow.runs[0]}/spec.yaml"
    command = ["ldreg", "pretrain", spec, "--data", "data/digits/dataset.json", "--log", "log.txt"]
    done = workflow._command(*command, MLFLOW_TRACKING_URI="config")
    told, missing = done.stderr.splitlines()
    assert told.startswith(TOLD) and missing.startswith("error: data/digits")
    assert TOLD in workflow.path("log.txt").read_text()
