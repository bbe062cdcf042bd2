"""Short jobs leave records without MLflow, which logs them afterwards; its failures reach no workflow."""

import json
import socket
import subprocess
import sys

import pytest

from ldreg.errors import LdregError
from ldreg.jobs.track import track_job
from ldreg.runtime.provenance import git_state
from ldreg.tracking import JobRecord, log_folder
from ldreg.tracking.job_record import read_record


def render(results, content="a picture"):
    """An exhibit as its job leaves it."""
    folder = results.path / "demo/exhibits"
    folder.mkdir(parents=True, exist_ok=True)
    with JobRecord(folder, "exhibit", "figure5", "demo", part="figure5") as record:
        (folder / "figure5.spec.yaml").write_text("scale: demo\n")
        (folder / "figure5.png").write_text(content)
        record.tags["exhibit"] = "figure5"
        record.files += ["figure5.spec.yaml", "figure5.png"]
    return folder


def time_steps(folder):
    """A measurement that needs no training."""
    with JobRecord(folder, "step_cost", "simclr step_cost", "demo") as record:
        (folder / "step_cost.json").write_text("{}")
        record.files += ["spec.yaml", "step_cost.json"]
        record.settings |= {"pairs": 8, "level": None}
        record.results |= {"step_ratio": 1.25, "step_ratio_low": None, "curve": [3.0, 2.0]}


def test_an_exhibit_and_its_next_rendering_are_runs_with_their_files(results):
    commit, dirty = git_state()
    tags = {"kind": "exhibit", "exhibit": "figure5", "scale": "demo"}
    tags |= {"git_commit": commit, "git_dirty": str(dirty).lower()}
    for _ in range(2):
        render(results)
        assert len(log_folder(results.path / "demo", results.path)) == 1
        assert log_folder(results.path / "demo", results.path) == []
    files = ["figure5.png", "figure5.spec.yaml"]
    assert [results.content(run) for run in results.runs()] == [
        ("figure5", "FINISHED", {}, tags | {"superseded": superseded}, {}, files)
        for superseded in ("true", "false")
    ]


def test_a_scale_is_all_that_its_jobs_left(results):
    """Of a run that was not pretrained too."""
    trained, timed = results.plan(0), results.plan(1)
    results.write_measurement(results.write_training(trained))
    for folder in (trained, timed):
        time_steps(folder)
    render(results)
    assert len(log_folder(results.path / "demo", results.path)) == 5
    kinds = [run.data.tags["kind"] for run in results.runs()]
    assert sorted(kinds) == ["exhibit", "measure", "pretrain", "step_cost", "step_cost"]
    found = {run.data.tags["seed"]: run for run in results.runs() if run.data.tags["kind"] == "step_cost"}
    (pretraining,) = [run for run in results.runs() if run.data.tags["kind"] == "pretrain"]
    assert found["0"].data.tags["mlflow.parentRunId"] == pretraining.info.run_id
    assert "pretrain_run_id" not in found["1"].data.tags
    name, status, params, tags, metrics, files = results.content(found["1"])
    assert (name, status, files) == ("simclr step_cost", "FINISHED", ["spec.yaml", "step_cost.json"])
    assert params["step_cost_pairs"] == "8" and params["base_lr"] == "1e-05"
    assert tags["method"] == "simclr" and tags["spec_hash"] == "abc"
    assert metrics == {"step_ratio": [(0, 1.25)], "curve": [(0, 3.0), (1, 2.0)]}
    record = read_record(timed / "records/step_cost.json")
    assert found["1"].info.start_time == record["start"] <= record["end"] == found["1"].info.end_time
    # One run's folder stands for itself.
    results.client.delete_run(found["0"].info.run_id)
    (line,) = log_folder(trained, results.path)
    assert line.startswith("simclr step_cost: logged as run ")


def test_a_record_is_of_a_job_that_came_to_its_end_and_of_files_that_are_there(results):
    folder = render(results)
    with pytest.raises(ZeroDivisionError), JobRecord(folder, "exhibit", "figure5", "demo", "figure5"):
        _ = 1 / 0
    assert list((folder / "records").iterdir()) == []
    (render(results) / "figure5.png").unlink()  # as Snakemake does before the next attempt
    assert log_folder(results.path / "demo", results.path) == []


def test_a_record_that_was_logged_in_part_is_completed_not_repeated(results, monkeypatch):
    from mlflow.tracking import MlflowClient

    render(results)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", lambda *_: 1 / 0)
        with pytest.raises(LdregError, match="division by zero"):
            log_folder(results.path / "demo", results.path)
    (line,) = log_folder(results.path / "demo", results.path)
    assert line.startswith("figure5: completed as run ")
    (run,) = results.runs()
    assert results.content(run)[1::4] == ("FINISHED", ["figure5.png", "figure5.spec.yaml"])


@pytest.mark.parametrize("trouble", ["refused", "timed out", "scale is missing", "mlflow"])
def test_trouble_is_one_warning_for_a_workflow_and_an_error_for_a_user(
    results, monkeypatch, tmp_path, trouble
):
    folder = results.path / "demo"
    record = render(results) / "records/exhibit-figure5.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        if trouble == "refused":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        elif trouble == "timed out":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        elif trouble == "scale is missing":
            content = json.loads(record.read_text())
            del content["scale"]
            record.write_text(json.dumps(content))
        else:
            for module in ("mlflow", "mlflow.tracking"):
                monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(LdregError, match=trouble):
            track_job([folder], results.path, None, sys.stderr)
        (told,) = track_job([folder], results.path, tmp_path / "tracked.txt", sys.stderr)
    assert told.startswith("warning: ") and trouble in told and told.endswith(f"ldreg track {folder}")
    assert (tmp_path / "tracked.txt").read_text() == f"{told}\n"


def test_a_short_job_does_not_import_mlflow():
    jobs = ("exhibit", "lid_error", "step_cost", "synthetic", "tsne", "track")
    code = "import sys; " + "; ".join(f"import ldreg.jobs.{job}" for job in jobs)
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print([name for name in sys.modules if name.startswith('mlflow')])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
