"""The tiny scale as jobs of a real SLURM, through `profiles/slurm`."""

import json
from typing import Any

import pytest

Site = Any  # tests/slurm/conftest.py
PLAIN, LDREG = (f"simclr-small_cnn/{arm}/seed0" for arm in ("none", "ldreg_l1-beta0.1-k8"))
# A spec's YAML says 1e20; the name of the run writes the number out.
DIVERGED = f"simclr-small_cnn-base_lr{10**20}/none/seed0"


def _one_diverges(content: dict[str, Any]) -> None:
    """A run that trains, and one that cannot."""
    content["exhibits"]["figure5"]["runs"] = [
        {"method": "simclr", "regularizer": "ldreg_l1"},
        {"method": "simclr", "regularizer": "none", "base_lr": 1e20},
    ]


@pytest.mark.long
def test_runs_fan_out_each_with_a_gpu_and_one_that_fails_stops_no_other(site: Site) -> None:
    site.workflow.edit(_one_diverges)
    targets = [site.encoder(run) for run in (LDREG, DIVERGED)]
    # The jobs ask SLURM for a GPU and train on the CPU, since the GPUs are pretended.
    code, told = site.run(*targets, "--set-resources", "pretrain:gpu=1", "--retries", "0")
    assert code != 0 and "Traceback" not in told
    assert "error: training diverged in epoch 1" in told and f"logs/pretrain/{DIVERGED}.log" in told
    made = [site.workflow.path(target).is_file() for target in targets]
    assert made == [True, False], told
    jobs = site.jobs()
    assert sorted(job["JobState"] for job in jobs) == ["COMPLETED", "FAILED"]
    assert max(job["StartTime"] for job in jobs) <= min(job["EndTime"] for job in jobs)
    assert {job["TresPerJob"] for job in jobs} == {"gres:gpu:1"}
    devices = [
        (job["NodeList"], seen["CUDA_VISIBLE_DEVICES"]) for job in jobs for seen in site.surroundings(job)
    ]
    assert len(devices) == len(set(devices)) == len(jobs)


def _many_epochs(content: dict[str, Any]) -> None:
    """Runs of half a minute, so that there is time for what happens to them."""
    content["run"]["epochs"] = 600
    content["execution"]["checkpoint_minutes"] = 0.05
    content["exhibits"]["figure5"]["runs"] = [{"method": "simclr", "regularizer": "none"}]


@pytest.mark.long
def test_a_whole_scale(site: Site) -> None:
    code, told = site.run()
    assert code == 0, told
    assert site.workflow.jobs() == {}
    states = [job["JobState"] for job in site.jobs()]
    # Six runs with their measurements, three exhibits; the page and the record are made here.
    assert states == ["COMPLETED"] * (6 + 6 + 3)


@pytest.mark.long
def test_two_ranks_on_two_nodes(site: Site) -> None:
    site.workflow.edit(lambda content: content["execution"].update(nodes=2))
    code, told = site.run(site.encoder(LDREG))
    assert code == 0, told
    (job,) = site.jobs()
    assert (job["JobState"], job["NumNodes"], job["NumTasks"]) == ("COMPLETED", "2", "2")
    summary = json.loads(site.workflow.path("results/tiny/runs", LDREG, "summary.json").read_text())
    assert summary["world_size"] == 2


@pytest.mark.long
def test_a_cancelled_job_is_noticed_and_leaves_nothing(site: Site) -> None:
    site.workflow.edit(_many_epochs)
    with site.start(site.encoder(PLAIN), "--retries", "0") as process:
        site.wait_until_training(PLAIN)
        (job,) = site.jobs()
        site.cluster.ask("scancel", job["JobId"])
        told, _ = process.communicate(timeout=300)
    assert process.returncode != 0 and f"SLURM-job '{job['JobId']}' failed" in told
    assert [job["JobState"] for job in site.jobs()] == ["CANCELLED"]
    assert not site.workflow.path(site.encoder(PLAIN)).exists()


@pytest.mark.long
def test_a_requeued_job_ends_as_one_that_was_left_alone(site: Site) -> None:
    """As after a node's failure, or when a job with more urgency needs its place."""
    site.workflow.edit(_many_epochs)
    code, told = site.run(site.encoder(PLAIN))
    assert code == 0, told
    alone = site.results(PLAIN)
    with site.start(site.encoder(PLAIN), "--forcerun", "pretrain") as process:
        site.wait_until_training(PLAIN)
        (_, job) = site.jobs()
        site.cluster.ask("scontrol", "requeue", job["JobId"])
        told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    (_, job) = site.jobs()
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert len(site.surroundings(job)) == 2
    assert site.results(PLAIN) == alone


@pytest.mark.long
def test_a_run_that_needs_several_slots_ends_as_one_that_was_given_one(site: Site) -> None:
    """SLURM's shortest limit is a minute, which is too short for this run on any machine."""
    site.workflow.edit(_many_epochs)
    site.workflow.edit(lambda content: content["run"].update(epochs=4000))
    site.workflow.edit(lambda content: content["execution"].update(slot=1 / 60, hours=0.5))
    target = site.encoder(PLAIN)
    code, told = site.run(target)
    assert code == 0, told
    jobs = site.jobs()
    slots = sum(1 + int(job["Restarts"]) for job in jobs)
    assert slots >= 2 and jobs[-1]["JobState"] == "COMPLETED"
    in_slots = site.results(PLAIN)
    site.workflow.edit(lambda content: content["execution"].update(slot=None))
    done = site.workflow.run("--cores", "1", "--forcerun", "pretrain", "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.results(PLAIN) == in_slots
