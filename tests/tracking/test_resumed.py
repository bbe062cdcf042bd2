"""A job that is killed and continues stays one MLflow run, and no run is RUNNING whose process has ended."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ldreg.runtime.slices import SliceEnded
from ldreg.tracking import Tracker, log_folder, run_files, store, tracker, tracking_uri

JOB = """
import sys, time
from pathlib import Path
from ldreg.runtime.slices import SliceEnded
from ldreg.tracking import Tracker, tracker
folder, results = Path(sys.argv[1]), Path(sys.argv[2])
tracker._TICK_SECONDS = (0.1, 0.1)
with Tracker(folder, "pretrain", results) as tracking:
    for epoch in range(1, 100_000):
        tracking.log({"loss": 4 / epoch, "lr": 0.1}, epoch)
        time.sleep(0.05)
"""


@pytest.fixture(params=["database", "server"])
def place(request, results, monkeypatch):
    """A results folder that logs into its database, or to a real server."""
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("server")[0])
        results.scale = "resumed"
    return results


def killed(results, folder):
    """A pretraining that SIGKILL ended after some epochs; returns its MLflow run."""
    environment = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", JOB, str(folder), str(results.path)], env=environment
    ) as job:
        while not (results.runs() and len(results.history(results.runs()[-1], "loss")) >= 3):
            assert job.poll() is None
            threading.Event().wait(0.05)
        job.send_signal(signal.SIGKILL)
    return results.runs()[-1]


def steps(results, run, key):
    return [step for step, _ in results.history(run, key)]


def test_a_killed_job_that_continues_stays_one_run_with_every_step_once(place, monkeypatch):
    folder = place.plan()
    begun = killed(place, folder)
    reached = steps(place, begun, "loss")[-1]
    system = len(steps(place, begun, "system/system_memory_usage_megabytes"))
    assert begun.info.status == "RUNNING"

    place.pretrain(place.plan(1))  # another job of the scale meets it
    assert place.client.get_run(begun.info.run_id).info.status == "KILLED"

    monkeypatch.setattr(tracker, "_TICK_SECONDS", (0.02, 0.02))
    with Tracker(folder, "pretrain", place.path, resumed=True) as tracking:
        while place.client.get_run(begun.info.run_id).info.status != "RUNNING":
            threading.Event().wait(0.02)
        for epoch in range(2, reached + 4):  # its checkpoint was of the first epoch
            tracking.log({"loss": 4 / epoch, "lr": 0.1}, epoch)
        place.write_training(folder, epochs=reached + 3)
    run = place.client.get_run(begun.info.run_id)
    assert (run.info.status, len(place.runs())) == ("FINISHED", 2)
    for key in ("loss", "lr"):
        assert steps(place, run, key) == list(range(1, reached + 4))
    found = steps(place, run, "system/system_memory_usage_megabytes")
    assert found == list(range(1, len(found) + 1)) and len(found) > system
    assert run_files.notes(folder)["pretrain"] | {"complete": True} == run_files.notes(folder)["pretrain"]
    assert log_folder(folder, place.path) == []


def test_a_job_that_failed_goes_on_in_its_run_and_one_that_begins_anew_does_not(results):
    folder = results.plan()
    with pytest.raises(OSError), Tracker(folder, "pretrain", results.path) as tracking:
        tracking.log({"loss": 1.0}, 1)
        raise OSError("the disk is full")
    (failed,) = results.runs()
    assert failed.info.status == "FAILED"
    with (
        pytest.raises(KeyboardInterrupt),
        Tracker(folder, "pretrain", results.path, resumed=True) as tracking,
    ):
        tracking.log({"loss": 0.5}, 2)
        raise KeyboardInterrupt
    (interrupted,) = results.runs()
    assert interrupted.info.status == "KILLED"
    assert results.history(interrupted, "loss") == [(1, 1.0), (2, 0.5)]
    with pytest.raises(SliceEnded), Tracker(folder, "pretrain", results.path, resumed=True):
        raise SliceEnded("budget", "after step 3 of 9")
    assert results.runs()[0].info.status == "SCHEDULED"  # for its next slot
    results.pretrain(folder)
    assert sorted(run.info.status for run in results.runs()) == ["FINISHED", "KILLED"]


def test_a_job_continues_whose_run_mlflow_has_lost_or_never_had(results):
    folder = results.plan()
    for _ in range(2):
        with Tracker(folder, "pretrain", results.path, resumed=True) as tracking:
            tracking.log({"loss": 1.0}, 4)
            results.write_training(folder)
        (run,) = results.runs()
        assert steps(results, run, "loss") == [1, 2, 3, 4]  # what was missed comes from history.csv
        results.client.delete_run(run.info.run_id)


@pytest.mark.parametrize(
    "changed, status",
    [
        ({}, "RUNNING"),  # this very process
        ({"machine": "another"}, "RUNNING"),
        ({"machine": "another", "boot": "another"}, "RUNNING"),
        ({"namespace": "of another container"}, "RUNNING"),
        ({"pid": None}, "RUNNING"),  # of an earlier version of this project
        ({"boot": "before the machine was started anew"}, "KILLED"),
        ({"start": "1"}, "KILLED"),  # its number is now this process's
        ({"pid": "4194304"}, "KILLED"),  # above all numbers of processes
    ],
)
def test_a_run_is_marked_as_killed_only_if_its_process_was_here_and_is_gone(results, changed, status):
    folder = results.plan()
    run_id = store.Store(tracking_uri(results.path), "demo").create(folder, "pretrain", 1, {}).run_id
    for key, value in changed.items():
        if value is None:
            results.client.delete_tag(run_id, f"process.{key}")
        else:
            results.client.set_tag(run_id, f"process.{key}", value)
    log_folder(results.write_training(results.plan(1)), results.path)
    assert results.client.get_run(run_id).info.status == status


def test_a_search_by_spec_hash_finds_one_current_run(place):
    place.scale = f"{place.scale}_again"
    folder = place.plan()
    place.pretrain(folder)
    place.measure(folder)
    place.pretrain(folder)
    experiment = place.runs()[0].info.experiment_id

    def current(kind):
        condition = f"tags.spec_hash = 'abc' and tags.kind = '{kind}' and tags.superseded = 'false'"
        return [run.info.run_id for run in place.client.search_runs([experiment], condition)]

    first, measured, second = (run.info.run_id for run in place.runs())
    assert current("pretrain") == [second]
    assert current("measure") == []  # the one that there is was made on the older encoder
    old = {run: place.client.get_run(run).data.tags for run in (first, measured)}
    assert {tags["superseded_by"] for tags in old.values()} == {second}
    place.measure(folder)
    assert current("measure") == [place.runs()[-1].info.run_id]
    other = place.plan(1, spec_hash="def")
    place.pretrain(other)
    assert current("pretrain") == [second]
    assert log_folder(place.path / place.scale, place.path) == []
