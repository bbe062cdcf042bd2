"""Snakemake is killed while a job of it trains; the next one must not train the run a second time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Workflow = Any  # tests/workflow/conftest.py
PATIENCE = 300  # seconds


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE
    while not path.is_file():
        assert process.poll() is None, "Snakemake has ended"
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.05)


@pytest.mark.long
def test_a_job_that_outlives_its_snakemake_is_waited_for_and_the_run_is_trained_once(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    workflow.edit(lambda content: content["run"].update(epochs=100))
    folder = workflow.path("results/tiny/runs", workflow.runs[0])
    target = str((folder / "encoder.safetensors").relative_to(workflow.folder))
    command = ["snakemake", "--cores", "1", target, "--configfile", "tiny.yaml"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        command, cwd=workflow.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        wait_for(folder / ".pretrain.json", first)
        holder = json.loads((folder / ".pretrain.json").read_text())["pid"]
        first.send_signal(signal.SIGKILL)
    os.kill(holder, 0)  # the job lives on
    assert "is taken over" in workflow.ldreg("unlock")
    second = workflow.run("--cores", "1", target)
    told = second.stdout + second.stderr
    assert second.returncode == 0, told
    assert f"waiting for pretrain of {workflow.runs[0]}, which process {holder} on" in told
    assert "pretrain has been finished by the process waited for" in told
    assert "epochs" not in workflow.path("results/tiny/logs/pretrain", f"{workflow.runs[0]}.log").read_text()
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 100
    assert not list(folder.glob(".pretrain*"))
    assert workflow.jobs(target) == {}
