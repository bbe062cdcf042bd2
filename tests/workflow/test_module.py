"""The standard deployment: a Snakefile elsewhere takes this workflow as a module from a git repository."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Workflow = Any  # tests/workflow/conftest.py
REPOSITORY = Path(__file__).resolve().parents[2]
SNAKEFILE = """\
module ldreg:
    snakefile: "git+file://{repository}/workflow/Snakefile@{ref}"
    config: config
use rule * from ldreg
"""
NOT_INSTALLED = """\
import sys


class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ldreg":
            raise ModuleNotFoundError("No module named 'ldreg'", name="ldreg")


sys.meta_path.insert(0, Refused())
"""


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository that holds the workflow as it stands, at the tag `released`."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(REPOSITORY / "workflow", folder / "workflow")
    shutil.copy2(REPOSITORY / "environment.yml", folder)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The workflow")
    git(folder, "tag", "released")
    return folder


@pytest.fixture
def deployed(fresh_workflow: Callable[[Path], Workflow], repository: Path, tmp_path: Path) -> Workflow:
    """An otherwise empty folder with the four lines, the configuration, and a scale of two epochs."""
    workflow = fresh_workflow(tmp_path)
    for name in ("workflow", "profiles", "environment.yml"):
        path = workflow.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    workflow.path("Snakefile").write_text(SNAKEFILE.format(repository=repository, ref="released"))
    return workflow


def test_a_module_announces_the_demo_and_another_scale(deployed: Workflow) -> None:
    demo = deployed.jobs("core", scale=None)
    assert demo["core"] == demo["data"] == demo["claims"] == 1 and demo["pretrain"] == 21
    tiny = deployed.jobs()
    assert tiny["pretrain"] == tiny["measure"] == len(deployed.runs) and tiny["all"] == 1


def test_a_module_does_a_real_job(deployed: Workflow) -> None:
    summary = f"results/tiny/runs/{deployed.runs[0]}/summary.json"
    done = deployed.run(summary, "--cores", "1")
    assert done.returncode == 0, done.stderr
    spec = yaml.safe_load(deployed.path(summary).with_name("spec.yaml").read_text())
    assert spec["run"] == deployed.runs[0] and deployed.path(summary).is_file()
    assert deployed.jobs(summary) == {}, "what has been made is not made again"


def test_a_module_without_ldreg_says_in_one_line_what_is_missing(deployed: Workflow) -> None:
    deployed.path("sitecustomize.py").write_text(NOT_INSTALLED)
    environment = {**os.environ, "PYTHONPATH": str(deployed.folder)}
    command = [str(Path(sys.executable).with_name("snakemake")), "--dry-run"]
    done = subprocess.run(command, cwd=deployed.folder, env=environment, capture_output=True, text=True)
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode != 0
    assert line.startswith("error: ldreg is not installed in the environment of this Snakemake")
    assert "pip install" in line and "Traceback" not in done.stderr


def test_a_module_without_configuration_says_where_it_belongs(deployed: Workflow) -> None:
    shutil.rmtree(deployed.path("config"))
    done = deployed.run("--dry-run")
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode != 0
    assert (
        line == "error: config/methods.yaml: no such file; copy the folder config of ldreg's repository here"
    )
