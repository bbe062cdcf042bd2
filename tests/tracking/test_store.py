"""Many jobs at once, servers, credentials, and what an MLflow store can be like."""

import os
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ldreg.errors import LdregError
from ldreg.tracking import log_folder, run_files, store

JOB = """
import logging, sys, time
from pathlib import Path
from ldreg.tracking import Tracker, store, tracker
folder, results, seed = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
tracker._TICK_SECONDS = (0.02, 0.02)  # to collide as often as possible
store.import_mlflow("sqlite:")
(results / f"ready{seed}").touch()
while not (results / "go").exists():
    time.sleep(0.01)
with Tracker(folder, "pretrain", results) as tracking:
    for epoch in range(1, 41):
        tracking.log({"loss": 1 / epoch}, epoch)
        time.sleep(0.02)
logging.getLogger("user").warning("still heard")
"""


def test_jobs_that_start_at_once_share_a_fresh_database(results):
    database = results.path / "mlflow.db"
    database.unlink()
    folders = [results.write_training(results.plan(seed), epochs=0) for seed in range(4)]
    environment = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2])}
    jobs = []
    for seed, folder in enumerate(folders):
        command = [sys.executable, "-c", JOB, str(folder), str(results.path), str(seed)]
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        jobs.append(subprocess.Popen(command, env=environment, **pipe))
    for seed, job in enumerate(jobs):
        while not (results.path / f"ready{seed}").exists() and job.poll() is None:
            threading.Event().wait(0.02)
    (results.path / "go").touch()
    assert [job.communicate()[0] for job in jobs] == ["still heard\n"] * 4

    with sqlite3.connect(database) as connection:
        losses = """select experiments.name, status, count(*) from runs join experiments using (experiment_id)
                    join metrics using (run_uuid) where key = 'loss' group by run_uuid"""
        assert connection.execute(losses).fetchall() == [("ldreg-demo", "FINISHED", 40)] * 4
        assert connection.execute("select count(*) from experiments").fetchone() == (2,)  # with Default
        assert connection.execute("select count(*) from runs").fetchone() == (4,)

    database.unlink()  # a user starts afresh, while the folders say that they are logged
    assert len(log_folder(folders[0], results.path)) == 1
    assert len(results.runs()) == 1


def test_a_real_server(results, server, monkeypatch, capfd):
    uri, served = server
    results.scale = "served"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", "//mallory:secret@"))
    folder = results.plan()
    results.pretrain(folder)
    results.measure(folder)
    assert log_folder(folder, results.path) == []
    training, measurement = results.runs()
    assert measurement.data.tags["mlflow.parentRunId"] == training.info.run_id
    assert results.content(training)[-1] == ["history.csv", "spec.yaml", "summary.json"]
    artifacts = served / "artifacts" / training.info.experiment_id / training.info.run_id
    assert (artifacts / "artifacts/history.csv").read_text() == (folder / "history.csv").read_text()
    assert run_files.notes(folder)["pretrain"]["uri"] == uri
    assert not any(secret in "".join(capfd.readouterr()) for secret in ("mallory", "secret"))


def test_credentials_are_not_told(results, monkeypatch, warned, capfd):
    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"http://mallory:se@cret@127.0.0.1:{server.server_port}?token=hush"
    )
    folder = results.plan()
    results.pretrain(folder)
    with pytest.raises(LdregError, match="401") as error:
        log_folder(folder, results.path)
    server.shutdown()
    told = str(error.value) + warned() + "".join(capfd.readouterr())
    assert "401" in warned()
    assert not any(secret in told for secret in ("mallory", "cret", "hush"))


def test_an_experiment_that_another_job_has_just_made(results, monkeypatch):
    from mlflow.tracking import MlflowClient

    log_folder(results.write_training(results.plan(0)), results.path)
    look_up, answers = MlflowClient.get_experiment_by_name, [None]

    def late(client, name):
        return answers.pop() if answers else look_up(client, name)

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", late)
    log_folder(results.write_training(results.plan(1)), results.path)
    assert answers == []
    assert len(results.runs()) == 2


def test_an_experiment_that_a_user_deleted_is_restored(results):
    log_folder(results.write_training(results.plan(0)), results.path)
    results.client.delete_experiment(results.runs()[0].info.experiment_id)
    log_folder(results.write_training(results.plan(1)), results.path)
    assert len(results.runs()) == 2


def test_more_than_mlflow_takes_at_once(results):
    many = {f"setting{i}": i for i in range(150)} | {"long": list(range(5000))}
    log_folder(results.write_training(results.plan(0, **many), epochs=400), results.path)
    (run,) = results.runs()
    assert len(results.history(run, "loss")) == 400
    assert len(run.data.params["long"]) == 6000
    assert run.data.params["setting149"] == "149"
