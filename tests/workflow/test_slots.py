"""Snakemake takes a run through time slots, and does not retry what has really failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed import contents

Workflow = Any  # tests/workflow/conftest.py
RUN = "simclr-small_cnn/none/seed0"
ENCODER = f"results/tiny/runs/{RUN}/encoder.safetensors"


def log_of(workflow: Workflow) -> str:
    return workflow.path(f"results/tiny/logs/pretrain/{RUN}.log").read_text()


@pytest.mark.slow
def test_a_run_goes_through_slots_to_the_same_files(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    whole, sliced = fresh_workflow(tmp_path / "whole"), fresh_workflow(tmp_path / "sliced")
    assert whole.run("--cores", "1", ENCODER).returncode == 0
    # A slot ends before the first step, but each takes one: four steps, and one slot to write what they gave.
    sliced.edit(lambda scale: scale.update(execution={"slot": 0.0001, "hours": 0.0005}))
    done = sliced.run("--cores", "1", ENCODER)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout + done.stderr
    for step in range(1, 5):
        assert f"stopped after step {step} of 4 (budget); the same command goes on from there" in told
    folders = [workflow.path(ENCODER).parent for workflow in (whole, sliced)]
    first, second = (contents(folder) for folder in folders)
    for found in (first, second):
        found.pop("mlflow.json", None)
    assert first == second
    assert not sliced.path("results/tiny/checkpoints").exists()


@pytest.mark.slow
def test_a_failure_ends_the_retries_at_once_and_a_new_start_tries_again(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    workflow = fresh_workflow(tmp_path / "failing")
    workflow.edit(lambda scale: scale["methods"]["simclr"].update(optimizer="sgd", base_lr=1e30))
    for _ in range(2):
        told = workflow.run("--cores", "1", "--retries", "1", ENCODER)
        assert told.returncode != 0
        shown = told.stdout + told.stderr
        assert "error: training diverged in epoch 1: the loss is nan" in shown
        assert "error: not tried again, because the attempt before failed: LdregError: training div" in shown
