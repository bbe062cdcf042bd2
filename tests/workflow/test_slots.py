"""Snakemake takes a run through time slots, and does not retry what has really failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Workflow = Any  # tests/workflow/conftest.py
RUN = "simclr-small_cnn/none/seed0"
ENCODER = f"results/tiny/runs/{RUN}/encoder.safetensors"


@pytest.mark.slow
def test_a_run_goes_through_slots(fresh_workflow: Callable[[Path], Workflow], tmp_path: Path) -> None:
    workflow = fresh_workflow(tmp_path / "sliced")
    # A slot is over before the first step, but each takes one: two steps, and one slot to write the files.
    workflow.edit(lambda scale: scale.update(execution={"slot": 0.0001, "hours": 0.0002}))
    workflow.edit(lambda scale: scale["run"].update(epochs=1, warmup_epochs=0))
    done = workflow.run("--cores", "1", ENCODER)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    for step in (1, 2):
        assert f"stopped after step {step} of 2 (budget); the same command goes on from there" in told
    assert workflow.path(ENCODER).is_file()
    assert not workflow.path("results/tiny/checkpoints").exists()


@pytest.mark.long
def test_a_failure_ends_the_retries_at_once_and_a_new_start_tries_again(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    workflow = fresh_workflow(tmp_path / "failing")
    workflow.edit(lambda scale: scale["methods"]["simclr"].update(optimizer="sgd", base_lr=1e30))
    for _ in range(2):
        told = workflow.run("--cores", "1", "--retries", "1", ENCODER)
        assert told.returncode != 0
        shown = told.stdout + told.stderr
        assert "error: training diverged in epoch " in shown
        assert "error: not tried again, because the attempt before failed: LdregError: training div" in shown
