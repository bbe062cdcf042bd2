"""The workflow on a real SLURM of two nodes, which a few tests share."""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from slurm.cluster import PARTITION, Cluster, missing, running_cluster, wait_for
from workflow.conftest import Workflow
from workflow.conftest import fresh_workflow as fresh_workflow  # a fixture

PROFILE = "profiles/slurm"
# The profile is made for jobs of hours; these jobs take seconds.
ASK_OFTEN = {
    "--slurm-init-seconds-before-status-checks": "6",
    "--seconds-between-status-checks": "1",
    "--latency-wait": "10",
}
# Python runs it at the start of each program. It notes what a job's command sees of its surroundings.
WITNESS = """
import os, sys
if "SLURM_JOB_ID" in os.environ and any(part.endswith("/ldreg") for part in sys.orig_argv):
    with open(f"{seen}/{{os.environ['SLURM_JOB_ID']}}.{{os.getpid()}}", "w") as file:
        file.writelines(f"{{key}}={{value}}\\n" for key, value in os.environ.items())
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A SLURM of two nodes with two pretended GPUs each; skips where there can be none."""
    if why := missing():
        pytest.skip(why)
    with running_cluster() as started:
        yield started


class Site:
    """A copy of the workflow whose profile for SLURM is filled in, as its user would, for the cluster."""

    def __init__(self, workflow: Workflow, cluster: Cluster) -> None:
        self.workflow, self.cluster = workflow, cluster
        self.seen = workflow.path("seen")
        self.seen.mkdir()
        profile = workflow.path(PROFILE, "config.yaml")
        filled = profile.read_text().replace("# slurm_account: my_account", "slurm_account: test")
        filled = filled.replace("# slurm_partition: gpu", f"slurm_partition: {PARTITION}")
        profile.write_text(filled.replace("mem_mb: 4000", "mem_mb: 500"))
        settings = yaml.safe_load(profile.read_text())["default-resources"]
        assert settings["slurm_account"] == "test" and settings["slurm_partition"] == PARTITION
        witness = workflow.path("witness", "sitecustomize.py")
        witness.parent.mkdir()
        witness.write_text(WITNESS.format(seen=self.seen))
        self.known = set(cluster.jobs())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`snakemake` with the profile and these arguments, in the background."""
        options = [part for option in ASK_OFTEN.items() for part in option]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        programs = (str(Path(sys.executable).parent), kept["PATH"])
        modules = (str(self.workflow.path("witness")), *filter(None, [kept.get("PYTHONPATH")]))
        paths = {"PATH": os.pathsep.join(programs), "PYTHONPATH": os.pathsep.join(modules)}
        return subprocess.Popen(
            ["snakemake", *arguments, "--workflow-profile", PROFILE, *options, "--configfile", "tiny.yaml"],
            cwd=self.workflow.folder,
            env=kept | paths,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Its exit status and all that it says."""
        with self.start(*arguments) as process:
            told, _ = process.communicate(timeout=1500)
        return process.returncode, told

    def jobs(self) -> list[dict[str, str]]:
        """What SLURM knows of this workflow's jobs, in the order of their submission."""
        jobs = self.cluster.jobs()
        return [jobs[number] for number in sorted(jobs.keys() - self.known, key=int)]

    def surroundings(self, job: dict[str, str]) -> list[dict[str, str]]:
        """The environments of the commands that ran in a job, in no order."""
        found = sorted(self.seen.glob(f"{job['JobId']}.*"))
        return [dict(line.partition("=")[::2] for line in path.read_text().splitlines()) for path in found]

    def wait_until_training(self, run: str) -> None:
        """Return when a pretraining that has been submitted has told of an epoch."""
        log = self.workflow.path(f"results/tiny/logs/pretrain/{run}.log")
        log.unlink(missing_ok=True)
        wait_for(f"{run} to train", lambda: re.search(r"\d epochs", log.read_text()) or _not_yet())

    def encoder(self, run: str) -> str:
        """The target that is a run's encoder."""
        return f"results/tiny/runs/{run}/encoder.safetensors"

    def results(self, run: str) -> tuple[bytes, list[dict[str, str]]]:
        """What a pretraining has made: its weights, and its history but for the speed."""
        encoder = self.workflow.path(self.encoder(run))
        with encoder.with_name("history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        timeless = [{key: row[key] for key in row if key != "images_per_second"} for row in rows]
        return encoder.read_bytes(), timeless


def _not_yet() -> None:
    raise OSError("its log tells of no epoch")


@pytest.fixture
def site(
    cluster: Cluster, fresh_workflow: Callable[[Path], Workflow], data_root: Path, tmp_path: Path
) -> Site:
    """The tiny scale, ready to be submitted; its data are there."""
    workflow = fresh_workflow(tmp_path / "ldreg")
    shutil.copytree(data_root, workflow.path("data"))
    return Site(workflow, cluster)
