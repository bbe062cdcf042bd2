"""The profiles: what Snakemake would run with each, and how its jobs reach Kubernetes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from workflow.conftest import REPOSITORY

Workflow = Any  # tests/workflow/conftest.py
PROFILES = sorted(path.parent.name for path in REPOSITORY.glob("profiles/*/config.yaml"))
PRETEND = Path(__file__).with_name("pretend_kubectl.py")


def _settings(profile: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "profiles" / profile / "config.yaml").read_text())


@pytest.fixture
def workflow(fresh_workflow: Callable[[Path], Workflow], tmp_path: Path) -> Workflow:
    return fresh_workflow(tmp_path / "ldreg")


def test_there_is_one_for_each_kind_of_machine() -> None:
    assert PROFILES == ["default", "kubernetes", "slurm", "workstation"]


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "default"])
def test_every_profile_takes_the_same_workflow(workflow: Workflow, profile: str) -> None:
    """Snakemake knows every key, and a rerun depends on what it depends on by default."""
    named = workflow.jobs("table1_simclr", "--workflow-profile", f"profiles/{profile}")
    assert named == {"data": 1, "pretrain": 4, "measure": 4, "table1_simclr": 1}
    default, own = _settings("default"), _settings(profile)
    assert {key: own[key] for key in default if key != "cores"} == {
        key: default[key] for key in default if key != "cores"
    }


def test_on_slurm_squeue_is_asked_and_ranks_are_on_one_node() -> None:
    """sacct hangs without accounting; torchrun starts all ranks on one node."""
    slurm = _settings("slurm")
    assert (slurm["executor"], slurm["slurm-status-command"]) == ("slurm", "squeue")
    assert slurm["default-resources"]["nodes"] == 1


def test_on_a_workstation_jobs_share_the_gpus() -> None:
    """Without a number, Snakemake would start a job for every core."""
    assert _settings("workstation")["resources"] == {"gpu": 4}


class Kubernetes:
    """A pretended cluster: `kubectl` runs each job's container as a process of this machine."""

    def __init__(self, workflow: Workflow, folder: Path) -> None:
        self.folder, self.workflow = folder, workflow
        program = folder / "bin" / "kubectl"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {PRETEND} {folder} "$@"\n')
        program.chmod(0o755)
        job = workflow.path("profiles/kubernetes/job.yaml")
        job.write_text(job.read_text().replace("mountPath: /ldreg}", f"mountPath: {workflow.folder}}}"))
        places = (program.parent, Path(sys.executable).parent, os.environ["PATH"])
        self.environment = {"PATH": os.pathsep.join(map(str, places))}

    def ask(self, command: str, *arguments: str) -> str:
        """What a command of the profile prints."""
        done = subprocess.run(
            [self.workflow.path("profiles/kubernetes", command), *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def manifest(self, job: str) -> dict[str, Any]:
        """What was submitted."""
        return yaml.safe_load((self.folder / job / "manifest.yaml").read_text())

    def result(self, job: str) -> str:
        """How a job has ended, when it has."""
        while (state := self.ask("status", job)) == "running":
            pass
        return state


@pytest.fixture
def kubernetes(workflow: Workflow, tmp_path: Path) -> Kubernetes:
    return Kubernetes(workflow, tmp_path / "cluster")


def test_a_job_on_kubernetes_asks_for_what_its_rule_says_and_is_told_of(
    kubernetes: Kubernetes, tmp_path: Path
) -> None:
    script = tmp_path / "script with a space.sh"
    script.write_text("true\n")
    job = kubernetes.ask("submit", "8", "4000", "2", str(script))
    (container,) = kubernetes.manifest(job)["spec"]["template"]["spec"]["containers"]
    asked = {"cpu": "8", "memory": "4000M", "nvidia.com/gpu": "2"}
    assert container["resources"]["requests"] == asked
    assert kubernetes.result(job) == "success"
    script.write_text("exit 3\n")
    assert kubernetes.result(kubernetes.ask("submit", "1", "100", "0", str(script))) == "failed"
    script.write_text("sleep 600\n")
    job = kubernetes.ask("submit", "1", "100", "0", str(script))
    assert kubernetes.ask("status", job) == "running"
    kubernetes.ask("cancel", job)
    assert kubernetes.ask("status", job) == "failed"


@pytest.mark.long
def test_runs_on_kubernetes(kubernetes: Kubernetes) -> None:
    """Each job's container starts in an empty folder, without the variables of this process."""
    workflow = kubernetes.workflow
    target = f"results/tiny/runs/{workflow.runs[0]}/linear.json"
    arguments = ["--workflow-profile", "profiles/kubernetes", "--seconds-between-status-checks", "1"]
    done = workflow.run(target, *arguments, **kubernetes.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert workflow.jobs(target) == {}
    asked = [kubernetes.manifest(job.name)["spec"] for job in kubernetes.folder.glob("ldreg-*")]
    assert len(asked) == 2  # the data are made where Snakemake runs
