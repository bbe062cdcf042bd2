"""MLflow gets what the files say, live or later; no failure of MLflow reaches the job."""

import json
import socket
import sqlite3
import sys
import threading

import pytest

from ldreg.errors import LdregError
from ldreg.tracking import Tracker, log_folder, run_files, store, tracker, tracking_uri


def test_live_and_later_give_mlflow_the_same(results, tmp_path, database):
    live = results.plan()
    results.pretrain(live)
    results.measure(live)
    others = type(results)(tmp_path / "others", database)
    lines = log_folder(others.write_measurement(others.write_training(others.plan())), others.path)
    assert [results.content(run) for run in results.runs()] == [others.content(run) for run in others.runs()]
    assert [line.split(":")[0] for line in lines] == ["pretrain", "measure"]

    training, measurement = results.runs()
    entry = {"uri": f"sqlite:///{results.path}/mlflow.db", "experiment": "ldreg-demo", "complete": True}
    assert json.loads((live / "mlflow.json").read_text()) == {
        "pretrain": entry | {"run_id": training.info.run_id},
        "measure": entry | {"run_id": measurement.info.run_id},
    }


def test_what_mlflow_holds(results):
    folder = results.plan()
    results.pretrain(folder)
    results.measure(folder)
    training, measurement = results.runs()
    assert training.data.params["views.crop_scale"] == "[0.2,1.0]"
    assert training.data.params["base_lr"] == "1e-05"
    assert training.data.params["monitor_k"] == "null"
    assert results.history(training, "loss") == [(1, 4), (2, 2), (3, 4 / 3), (4, 1)]
    assert results.history(training, "regularizer") == [(1, 0.1), (3, 0.1), (4, 0.1)]
    assert results.history(training, "knn_top1") == [(2, 90.5), (4, 90.5)]
    assert training.data.metrics["system/system_memory_usage_megabytes"] > 0
    assert measurement.data.params["linear_protocol"] == "cached"
    assert training.data.params.items() <= measurement.data.params.items()
    assert measurement.data.metrics["system/system_memory_usage_megabytes"] > 0
    metrics = {key: value for key, value in measurement.data.metrics.items() if not key.startswith("system/")}
    assert metrics == {
        "mlid_mom_k16": 6.1,
        "mlid_mle_k32_rows2048": 6.2,
        "effective_rank_correlation": 10.5,
        "effective_rank_covariance": 11.5,
        "effective_rank_second_moment": 12.5,
        "rankme": 9.5,
        "knn_top1": 97.1,
        "linear_top1": 97.3,
        "linear_top5": 99.9,
    }
    tags = {
        "scale": "demo",
        "method": "simclr",
        "regularizer": "ldreg_l1",
        "beta": "0.1",
        "k": "16",
        "seed": "0",
    }
    tags |= {"spec_hash": "abc", "dataset": "digits", "dataset_digest": "d1"}
    tags |= {"run": "simclr-small_cnn/ldreg_l1-beta0.1-k16/seed0"}
    trained_by = {"kind": "pretrain", "git_commit": "c1", "git_dirty": "true"}
    assert (tags | trained_by).items() <= training.data.tags.items()
    measured_by = {"kind": "measure", "git_commit": "c2", "git_dirty": "false"}
    assert (tags | measured_by).items() <= measurement.data.tags.items()
    assert not any("git" in key for key in measurement.data.params)
    files = ["dimensionality.json", "knn.json", "linear.json", "spec.yaml"]
    assert results.content(measurement)[-1] == files
    assert measurement.data.tags["mlflow.parentRunId"] == training.info.run_id
    assert measurement.data.tags["pretrain_run_id"] == training.info.run_id
    experiment = results.client.get_experiment(training.info.experiment_id)
    assert experiment.artifact_location == (results.path / "mlflow-artifacts").as_uri()


def test_a_folder_is_logged_once_and_again_when_mlflow_has_lost_it(results):
    folder = results.write_training(results.plan())
    log_folder(folder, results.path)
    assert log_folder(folder, results.path) == []
    (first,) = results.runs()
    results.client.delete_run(first.info.run_id)
    assert len(log_folder(results.write_measurement(folder), results.path)) == 2
    again, measurement = results.runs()
    assert again.info.run_id != first.info.run_id
    assert measurement.data.tags["pretrain_run_id"] == again.info.run_id


def test_a_run_that_breaks_off_is_completed_not_repeated(results, monkeypatch, warned):
    from mlflow.tracking import MlflowClient

    folder = results.plan()
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "_TICK_SECONDS", (0.01, 0.01))
        with Tracker(folder, "pretrain", results.path) as tracking:
            tracking.log(results.row(1), 1)
            while not (results.runs() and "loss" in results.runs()[0].data.metrics):
                threading.Event().wait(0.01)
            patch.setattr(MlflowClient, "log_batch", lambda *_, **__: 1 / 0)
            tracking.log(results.row(2), 2)
            results.write_training(folder)
    assert "division by zero" in warned()
    (partial,) = results.runs()
    assert partial.info.status == "RUNNING"
    assert run_files.notes(folder)["pretrain"]["complete"] is False
    assert "completed" in log_folder(folder, results.path)[0]
    (run,) = results.runs()
    assert (run.info.run_id, run.info.status) == (partial.info.run_id, "FINISHED")
    assert results.history(run, "loss") == [(1, 4), (2, 2), (3, 4 / 3), (4, 1)]


def test_a_failed_and_a_killed_attempt_and_the_retry(results):
    folder = results.plan()
    with pytest.raises(ZeroDivisionError), Tracker(folder, "pretrain", results.path):
        _ = 1 / 0
    assert run_files.notes(folder)["pretrain"]["ended"] == "FAILED"
    store.Store(tracking_uri(results.path), "demo").create(
        folder, "pretrain", 1, {}
    )  # as a killed job leaves it
    results.pretrain(folder)
    assert sorted(run.info.status for run in results.runs()) == ["FAILED", "FINISHED", "KILLED"]
    (finished,) = [run for run in results.runs() if run.info.status == "FINISHED"]
    assert run_files.notes(folder)["pretrain"]["run_id"] == finished.info.run_id


def test_an_unreachable_server_costs_a_warning_and_is_made_up_for_later(results, monkeypatch, warned):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folder = results.plan()
    results.pretrain(folder)
    assert "refused" in warned()
    assert f"ldreg track {folder}" in warned()
    assert not (folder / "mlflow.json").exists()
    with pytest.raises(LdregError, match=r"http://127.0.0.1:9: .*refused"):
        log_folder(folder, results.path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    results.measure(folder)  # logs the pretraining that was missed, in order to be linked to it
    training, measurement = results.runs()
    assert measurement.data.tags["pretrain_run_id"] == training.info.run_id
    assert log_folder(folder, results.path) == []


@pytest.mark.parametrize("patience", ["mlflow's", "ours"])
def test_a_server_that_never_answers(results, monkeypatch, warned, patience):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1" if patience == "mlflow's" else "600")
        if patience == "ours":
            monkeypatch.setattr(tracker, "_OPENING_SECONDS", 0)
            monkeypatch.setattr(tracker, "_CLOSING_SECONDS", 0.2)
        results.pretrain(results.plan())
    assert ("timed out" if patience == "mlflow's" else "no answer in time") in warned()


@pytest.mark.parametrize("trouble", ["locked", "not a database"])
def test_an_unusable_database(results, monkeypatch, warned, trouble):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    other = sqlite3.connect(results.path / "mlflow.db")
    other.execute("begin exclusive")
    if trouble == "not a database":
        other.close()
        (results.path / "mlflow.db").write_text("a note to myself " * 100)
    results.pretrain(results.plan())
    other.close()
    assert trouble in warned()


def test_without_mlflow(results, monkeypatch, warned):
    for module in ("mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, module, None)
    folder = results.plan()
    results.pretrain(folder)
    assert "mlflow" in warned()
    with pytest.raises(LdregError, match="mlflow"):
        log_folder(folder, results.path)


def test_a_folder_that_cannot_be_logged(results):
    folder = results.plan()
    with pytest.raises(LdregError, match=r"seed0/summary.json: no such file"):
        log_folder(folder, results.path)
    results.write_training(folder)
    (folder / "history.csv").write_text("step,loss\n1,2\n")
    with pytest.raises(LdregError, match=r"history.csv: .* epoch"):
        log_folder(folder, results.path)
    (folder / "summary.json").write_text("{")
    with pytest.raises(LdregError, match=r"summary\.json: line 1: not valid JSON: "):
        log_folder(folder, results.path)
    (folder / "spec.yaml").write_text("run: a\n")
    with pytest.raises(LdregError, match=r"spec.yaml: key scale is missing"):
        log_folder(folder, results.path)
