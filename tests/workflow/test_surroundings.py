"""The workflow in surroundings that nobody would choose, but that users have."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Workflow = Any  # tests/workflow/conftest.py
# Spaces, both quotes, letters beyond ASCII, and what a shell would expand, split or pass to another program.
FOLDER = "dä ta 'q' \"qq\" [1] (x) & ; * #"
STRAY = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "RANK": "0",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NUM_TASKS": "4",
}


def small(content: dict[str, Any]) -> None:
    """One figure of two runs, whose data lie in a folder with an awkward name below the home folder."""
    runs = [{"method": "simclr", "regularizer": "ldreg_l1", "beta": [0.1, 1.0]}]
    content |= {"seeds": [0], "core": ["figure5"], "exhibits": {"figure5": {"runs": runs}}}
    content["run"]["epochs"] = 2
    content["execution"]["data"] = f"~/{FOLDER}"


def test_snakemake_without_activation_in_the_environment_of_a_notebook(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    """`.venv/bin/snakemake` alone, with the variables that a notebook service in an allocation leaves."""
    workflow = fresh_workflow(tmp_path / "a folder")
    workflow.edit(small)
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    command = [Path(sys.executable).parent / "snakemake", "core", "--cores", "2", "--configfile", "tiny.yaml"]
    environment = {**kept, **STRAY, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=workflow.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / FOLDER / "digits/dataset.json").is_file()
    assert workflow.path("results/tiny/exhibits/figure5.png").is_file()
    assert "RANK, LOCAL_RANK, WORLD_SIZE, SLURM_STEP_NUM_TASKS are ignored" in done.stderr + done.stdout


@pytest.mark.parametrize(
    "data, problem",
    [
        ("$NOWHERE/sets", "the variable NOWHERE is not set"),
        ("${NOWHERE}/sets", "the variable NOWHERE is not set"),
        ("~nobody-of-this-name/sets", "this home folder is unknown; write out the path"),
        ("a{b}", "it should not contain '{'; make a link of another name to that folder"),
        (" ", "it should name a folder"),
    ],
)
def test_folders_of_data_that_cannot_be_meant(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path, data: str, problem: str
) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    workflow.edit(lambda content: content["execution"].update(data=data))
    done = workflow.run("--dry-run")
    assert done.returncode != 0
    line = f"error: tiny.yaml: execution.data: {data!r} is not allowed; {problem}"
    assert line in (done.stdout + done.stderr).splitlines()
    assert not workflow.path("results").exists()


def test_a_path_beyond_what_the_system_allows_is_told_in_one_line(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    workflow.edit(lambda content: content.update(scale="x" * 256))
    done = workflow.run("--dry-run")
    assert done.returncode != 0
    [line] = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert "too long a path" in line and "Traceback" not in done.stdout + done.stderr


def test_the_path_of_a_job_holds_the_programs_of_snakemakes_environment(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    """In a job that a cluster starts, too: there Snakemake runs again and reads the rules."""
    workflow = fresh_workflow(tmp_path / "ldreg")
    (tmp_path / "ldreg/Snakefile").open("a").write(
        "\nrule where:\n    output:\n        'where.txt'\n    shell:\n        'command -v ldreg > {output}'\n"
    )
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "HOME") if name in os.environ}
    command = [sys.executable, "-m", "snakemake", "where", "--cores", "1", "--configfile", "tiny.yaml"]
    environment = {**kept, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=workflow.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert workflow.path("where.txt").read_text() == f"{Path(sys.executable).parent / 'ldreg'}\n"
