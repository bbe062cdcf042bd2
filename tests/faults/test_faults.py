"""The campaign of `benchmarks/faults`, in short; whole only where there is time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _campaign(*arguments: str, script: str = "benchmarks/faults") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, ROOT / script, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_kills_cost_no_result() -> None:
    found = _campaign("--kills", "1", "--only", "kills", "--without-detection")
    assert len(found["kills"]) == 1
    assert found["sound"] and found["files"] > 20


@pytest.mark.long
def test_the_whole_campaign() -> None:
    found = _campaign("--kills", "20", "--seed", "1")
    assert len(found["kills"]) == 10 and len(found["faults"]) == 5
    # Each kind of job is killed, alone, with its Snakemake and under it.
    assert len({kill["kind"] for kill in found["kills"]}) == 5
    assert {kill["victim"] for kill in found["kills"]} == {"job", "snakemake", "machine"}
    # A fault that stops the work is told, and nothing is wrong for long.
    for name in ("full_disk", "read_only"):
        assert found["faults"][name]["first_code"] != 0 and found["faults"][name]["told"]
    assert found["faults"]["server_gone"]["first_code"] == 0


@pytest.mark.long
def test_two_hundred_runs() -> None:
    found = _campaign(script="benchmarks/load.py")
    assert found["runs"] == 200
    memory = [row[2] for row in found["samples"]["rows"]]
    half = len(memory) // 2
    assert max(memory[half:]) < 1.2 * max(memory[:half])
