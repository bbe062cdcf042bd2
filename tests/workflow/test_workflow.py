"""A tiny scale, really run by Snakemake; then what it would do after a change."""

import csv
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldreg.catalogue.measurements import MEASURED, PRETRAINED
from ldreg.exhibits import RENDERERS
from ldreg.workflow.inputs import exhibit_spec_file, run_spec_file, settings_file
from ldreg.workflow.scale import Scale

Workflow = Any  # tests/workflow/conftest.py
RENDERER = {"table1_simclr": "main_table", "figure5": "sweep", "claims": "ledger"}
OUTPUTS = {
    name: [f"{name}.{suffix}" for suffix in RENDERERS[kind].suffixes] for name, kind in RENDERER.items()
}
SHOWN = {"table1_simclr": 1, "figure5": 1, "claims": 1, "site": 1, "track": 1, "all": 1}
MEASURED_AND_SHOWN = {"measure": 6, **SHOWN}
ALL = {"pretrain": 6, **MEASURED_AND_SHOWN}

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def finished(
    fresh_workflow: Callable[[Path], Workflow], tmp_path_factory: pytest.TempPathFactory
) -> Workflow:
    """The tiny scale after `snakemake --cores 2`."""
    workflow = fresh_workflow(tmp_path_factory.mktemp("finished") / "ldreg")
    assert workflow.jobs() == {"data": 1, **ALL}
    done = workflow.run("--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow


@pytest.fixture
def workflow(finished: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the finished scale that a test may change."""
    return finished.copy(tmp_path / "ldreg")


def test_every_output_is_there_and_nothing_half_written(finished: Workflow) -> None:
    folder = finished.path("results/tiny")
    expected = {"evaluation.yaml", "exhibits.yaml", "index.html", "logs/site.log"}
    expected |= {"logs/track/all.log", "tracked/all.txt"}
    for run in finished.runs:
        expected |= {f"runs/{run}/{name}" for name in ("spec.yaml", "mlflow.json", *PRETRAINED, *MEASURED)}
        expected |= {f"logs/{rule}/{run}.log" for rule in ("pretrain", "measure")}
    for exhibit in finished.exhibits:
        expected |= {f"exhibits/{name}" for name in (f"{exhibit}.spec.yaml", *OUTPUTS[exhibit])}
        expected |= {f"logs/exhibits/{exhibit}.log", f"exhibits/records/exhibit-{exhibit}.json"}
    expected.add("logs/data/digits.log")
    scale = Scale(yaml.safe_load(finished.path("tiny.yaml").read_text()), "tiny.yaml", Path("config"))
    specs = [run_spec_file(Path("results"), scale, run) for run in scale.runs]
    specs += [exhibit_spec_file(Path("results"), scale, exhibit) for exhibit in scale.exhibits]
    specs.append(settings_file(Path("results"), scale, "evaluation.yaml"))
    expected |= {f"specs/{path.name}" for path in specs}
    found = {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }
    assert set(found) == expected
    assert [name for name, size in found.items() if not size and not name.startswith("logs/")] == []


def test_a_run_tells_its_progress(finished: Workflow) -> None:
    for run in finished.runs:
        log = finished.path("results/tiny/logs/pretrain", f"{run}.log").read_text()
        assert run in log and "2/2 epochs" in log


def _mlflow_runs(workflow: Workflow) -> list[tuple[str, str, str]]:
    """Experiment, name and status of all MLflow runs."""
    with closing(sqlite3.connect(workflow.path("results/mlflow.db"))) as database:
        return database.execute(
            "select e.name, r.name, r.status from runs r join experiments e using (experiment_id)"
        ).fetchall()


def test_mlflow_has_a_run_per_job_in_the_scales_experiment(finished: Workflow) -> None:
    runs = _mlflow_runs(finished)
    names = {name for run in finished.runs for name in (run, f"{run} measure")}
    names |= {"table1_simclr", "figure5", "claims"}
    assert len(runs) == len(names)
    assert {experiment for experiment, _, _ in runs} == {"ldreg-tiny"}
    assert {name for _, name, _ in runs} == names
    assert {status for _, _, status in runs} == {"FINISHED"}


def _every_measurement(content: dict[str, Any]) -> None:
    """Exhibits that between them need each job of one run and of the plane."""
    grid = {"method": "simclr", "regularizer": ["none", "ldreg_l1"]}
    content |= {"seeds": [0], "core": ["figure3"]}
    content["exhibits"] = {
        "figure3": None,
        "figure4": {"runs": [grid]},
        "table4": {"runs": [grid]},
        "lid_in_batches": {"runs": [grid], "settings": {"ks": [8, 16], "rows_per_neighbour": 4}},
    }


def test_short_jobs_have_their_mlflow_runs_too_and_an_unreachable_server_stops_nothing(
    workflow: Workflow,
) -> None:
    before = len(_mlflow_runs(workflow))
    workflow.edit(_every_measurement)
    done = workflow.run("--cores", "2", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    first, last = [line for line in told.splitlines() if line.startswith("warning: ")]
    assert "connection refused" in first and told.index(first) < told.index("Job ")  # before anything runs
    assert last.endswith("when it can be: ldreg track results/tiny")
    assert len(_mlflow_runs(workflow)) == before
    assert workflow.jobs() == {}
    kinds = ("tsne", "lid_error", "step_cost")
    expected = {f"{run} {kind}" for run in (workflow.runs[0], workflow.runs[2]) for kind in kinds}
    expected |= {"figure3 synthetic", "figure3", "figure4", "table4", "lid_in_batches"}
    assert workflow.ldreg("track", "results/tiny").count("logged as run") == len(expected)
    assert {name for _, name, _ in _mlflow_runs(workflow)[before:]} == expected


def test_runs_of_one_seed_are_paired_until_the_regulariser_sets_in(finished: Workflow) -> None:
    history = {
        run: _without_the_clock(_history(finished.path("results/tiny/runs", run))) for run in finished.runs
    }
    for seed in (0, 1):
        plain, *others = (rows for run, rows in history.items() if run.endswith(f"seed{seed}"))
        for rows in others:
            assert rows[0] == plain[0]
            assert float(rows[1]["regularizer"]) < 0 == float(plain[1]["regularizer"])
    assert len({rows[0]["loss"] for rows in history.values()}) == 2  # one per seed


def test_second_call_has_nothing_to_do(workflow: Workflow) -> None:
    done = workflow.run("--cores", "2")
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr
    for path in workflow.path("results/tiny/specs").iterdir():
        path.touch()
    assert workflow.jobs() == {}


def _beta(content: dict[str, Any]) -> None:
    content["exhibits"]["figure5"]["runs"][1]["beta"] = [0.1, 0.5]


def _caption(content: dict[str, Any]) -> None:
    content["exhibits"]["table1_simclr"] = {"caption": "Another."}


def _execution(content: dict[str, Any]) -> None:
    content["execution"] |= {
        "gpus": 2,
        "threads": 2,
        "workers": 1,
        "precision": "bf16",
        "memory_mb": 9,
        "hours": 1,
    }
    content["cost"]["pretrain_hours"] = 9


CHANGES: dict[str, tuple[Change, dict[str, int]]] = {
    # That run, with two seeds, and the only exhibit that shows it.
    "a beta": (_beta, {"pretrain": 2, "measure": 2, "figure5": 1, "site": 1, "track": 1, "all": 1}),
    "a caption": (_caption, {"table1_simclr": 1, "site": 1, "track": 1, "all": 1}),
    "how it is executed": (_execution, {}),
    "how it is measured": (lambda content: content["evaluation"].update(linear_epochs=3), MEASURED_AND_SHOWN),
    "a setting of every run": (lambda content: content["run"].update(epochs=3), ALL),
    "one more seed": (lambda content: content["seeds"].append(2), {**ALL, "pretrain": 3, "measure": 3}),
    "one seed less": (
        lambda content: content["seeds"].pop(),
        SHOWN,
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_reruns_what_depends_on_it_and_nothing_else(workflow: Workflow, what: str) -> None:
    change, expected = CHANGES[what]
    workflow.edit(change)
    assert workflow.jobs() == expected


def test_a_dry_run_after_an_edit_changes_no_spec_and_setting_back_leaves_nothing_to_do(
    workflow: Workflow,
) -> None:
    """Jobs in flight keep what they were asked for, whatever is edited meanwhile."""
    folder = workflow.path("results/tiny")
    inputs = [*folder.glob("specs/*"), *folder.rglob("spec.yaml"), *folder.glob("exhibits/*.spec.yaml")]
    before = {path: (path.stat().st_mtime_ns, path.read_text()) for path in inputs}
    workflow.edit(lambda content: content["run"].update(epochs=3))
    assert workflow.jobs() == ALL
    assert {path: (path.stat().st_mtime_ns, path.read_text()) for path in inputs} == before
    assert len(list(folder.glob("specs/*"))) > len([path for path in inputs if path.parent.name == "specs"])
    workflow.edit(lambda content: content["run"].update(epochs=2))
    assert workflow.jobs() == {}


def test_a_value_that_is_changed_and_set_back_repeats_what_it_must_and_nothing_else(
    workflow: Workflow,
) -> None:
    """A, B, A: what B made is made again for A, although A's spec is older than B's outputs."""
    target = f"results/tiny/runs/{workflow.runs[-1]}/linear.json"
    summary = workflow.path(target).with_name("summary.json")
    first = json.loads(summary.read_text())["spec_hash"]
    workflow.edit(lambda content: content["run"].update(epochs=1, warmup_epochs=0))
    assert workflow.jobs(target) == {"pretrain": 1, "measure": 1}
    assert workflow.run("--cores", "1", target).returncode == 0
    assert json.loads(summary.read_text())["spec_hash"] != first
    workflow.edit(lambda content: content["run"].update(epochs=2, warmup_epochs=1))
    # Figure 5 alone shows this run.
    expected = {"pretrain": 1, "measure": 1, "figure5": 1, "site": 1, "track": 1, "all": 1}
    assert workflow.jobs() == expected


def test_a_run_of_other_settings_is_neither_measured_nor_shown(workflow: Workflow) -> None:
    summary = workflow.path("results/tiny/runs", workflow.runs[0], "summary.json")
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps(content | {"spec_hash": "another"}))
    for arguments in (("--forcerun", "measure"), ("--forcerun", "figure5", "figure5")):
        done = workflow.run("--cores", "1", "--rerun-triggers", "input", *arguments)
        told = done.stdout + done.stderr
        assert (
            done.returncode and f"runs/{workflow.runs[0]}/summary.json: spec_hash: 'another' is not" in told
        )


def test_results_do_not_depend_on_how_many_jobs_run_at_once(
    finished: Workflow, fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    alone = fresh_workflow(tmp_path / "alone")
    shutil.copytree(finished.path("data"), alone.path("data"))
    run = finished.runs[-1]
    done = alone.run("--cores", "1", f"results/tiny/runs/{run}/linear.json")
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (each.path("results/tiny/runs", run) for each in (alone, finished))
    for name in ("spec.yaml", "encoder.safetensors", *MEASURED):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert _without_the_clock(_history(one)) == _without_the_clock(_history(two))
    finals = [json.loads((folder / "summary.json").read_text())["final"] for folder in (one, two)]
    assert _without_the_clock(finals[:1]) == _without_the_clock(finals[1:])


def test_exhibits_made_again_are_the_same_to_the_byte(finished: Workflow, workflow: Workflow) -> None:
    done = workflow.run("--cores", "1", "--forcerun", *workflow.exhibits)
    assert done.returncode == 0, done.stdout + done.stderr
    for exhibit in workflow.exhibits:
        for name in OUTPUTS[exhibit]:
            before, after = (each.path("results/tiny/exhibits", name) for each in (finished, workflow))
            assert after.stat().st_mtime_ns > before.stat().st_mtime_ns
            assert after.read_bytes() == before.read_bytes(), name


def test_report_holds_tables_figure_and_captions_without_a_network(workflow: Workflow) -> None:
    done = workflow.run("core", "--report", "report.zip")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(workflow.path("report.zip")) as archive:
        held = {Path(name).name: name for name in archive.namelist()}
        page = archive.read(held["report.html"]).decode()
        figure = archive.read(held["figure5.png"])
    assert {"table1_simclr.html", "figure5.png", "claims.html"} <= set(held)
    assert figure == workflow.path("results/tiny/exhibits/figure5.png").read_bytes()
    for caption in ("Linear accuracy, effective rank", "as the weight beta and", "Each claim of the paper"):
        assert caption in page
    assert "2 seeds (0, 1)" in page and "Differs from the paper" in page
    assert 'src="http' not in page and "@import" not in page


def test_a_failing_job_is_told_in_one_line_and_leaves_nothing(workflow: Workflow) -> None:
    folder = Path("results/tiny/runs", workflow.runs[0])
    workflow.edit(lambda content: content["evaluation"].update(linear_epochs=3))
    arrays = workflow.path("data/digits/arrays.safetensors")
    arrays.unlink()
    arrays.write_bytes(b"damaged")
    done = workflow.run("--cores", "1", str(folder / "knn.json"))
    told = done.stdout + done.stderr
    assert done.returncode != 0
    log = f"results/tiny/logs/measure/{workflow.runs[0]}.log"
    where = "data/digits/arrays.safetensors"
    error = f"error: {where}: missing or damaged; prepare again: ldreg data digits"
    assert error in told.splitlines() and log in told and "Traceback" not in told
    assert workflow.path(log).read_text().splitlines() == [error]
    left = {path.name for path in workflow.path(folder).iterdir()}
    assert left == {"spec.yaml", "mlflow.json", *PRETRAINED}


def _history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _without_the_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows]
