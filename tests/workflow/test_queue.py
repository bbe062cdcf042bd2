"""The queue: its order, its ends, and real runs without Snakemake, MLflow and network."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec, write_spec
from ldreg.errors import LdregError
from ldreg.workflow import queue as queue_module
from ldreg.workflow import side_by_side
from ldreg.workflow.queue import Work, describe
from ldreg.workflow.queued import Agenda, QueuedJob, agenda, exhibits_of, in_order_of_value
from ldreg.workflow.scale import Scale

Workflow = Any  # tests/workflow/conftest.py


def test_runs_come_core_first_by_seed_and_in_pairs(demo: Callable[..., Scale]) -> None:
    scale = demo()
    runs = in_order_of_value(scale, ["all"])
    assert set(runs) == set(scale.runs)
    core = in_order_of_value(scale, ["core"])
    assert list(runs)[: len(core)] == list(core)
    table1 = list(in_order_of_value(scale, ["table1_simclr"]).values())
    assert [spec.seed for spec in table1] == sorted(spec.seed for spec in table1)
    assert len({spec.seed for spec in table1}) > 1
    # Wherever the queue is stopped, at most one run lacks what it is compared with.
    for place in range(0, len(table1), 2):
        one, other = table1[place : place + 2]
        assert (one.regularizer, other.regularizer) == ("none", "ldreg_l1")
        assert one.model_copy(update=dict(regularizer=None, beta=None, k=None, regularizer_start=0)) == (
            other.model_copy(update=dict(regularizer=None, beta=None, k=None, regularizer_start=0))
        )


def test_targets(demo: Callable[..., Scale]) -> None:
    scale = demo()
    assert exhibits_of(scale, ["core"]) == list(scale.content.core)
    assert set(exhibits_of(scale, ["all"])) == set(scale.exhibits)
    assert exhibits_of(scale, ["figure5", "table1"]) == ["figure5", "table1"]
    with pytest.raises(LdregError, match=r"target: 'figur5' is unknown; did you mean 'figure5'\?"):
        exhibits_of(scale, ["figur5"])


def prepared(scale: Scale, *datasets: str) -> None:
    for dataset in datasets:
        path = Path(scale.content.execution.data, dataset, "dataset.json")
        path.parent.mkdir(parents=True)
        path.write_text("{}")


def test_jobs_of_a_whole_scale(
    demo: Callable[..., Scale], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scale, results = demo(), tmp_path / "results"
    with pytest.raises(LdregError, match=r"data/digits/dataset.json: no such file; prepare .*: ldreg data"):
        agenda(scale, results, ["all"])
    prepared(scale, "digits")
    found = agenda(scale, results, ["all"])
    kinds = [job.kind for job in found.jobs]
    assert kinds.count("pretrain") == kinds.count("measure") == len(scale.runs)
    transferred = [dataset for dataset in scale.content.transfer.datasets if dataset != "digits"]
    if transferred:  # those are not here, and nothing is fetched
        assert "transfer" not in kinds and any("transfer is left out" in line for line in found.left_out)
    assert kinds.count("compose") == 1 and kinds.index("compose") < kinds.index("detect")
    assert {job.alone for job in found.jobs if job.kind == "step_cost"} == {True}
    names = [job.name.partition(" ")[2] for job in found.jobs if job.kind in ("pretrain", "measure")]
    assert names[0::2] == names[1::2]  # each is measured when it is trained
    assert [job.ready for job in found.jobs if job.kind in ("measure", "tsne")][:1] == [False]


def test_a_run_of_other_settings_is_left_alone(
    demo: Callable[..., Scale], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scale, results = demo(), tmp_path / "results"
    prepared(scale, "digits")
    runs = list(in_order_of_value(scale, ["table1_simclr"]))
    for run, spec_hash in ((runs[0], "another"), (runs[1], scale.runs[runs[1]].hash)):
        folder = results / scale.name / "runs" / run
        folder.mkdir(parents=True)
        for name in ("encoder.safetensors", "history.csv"):
            (folder / name).touch()
        (folder / "summary.json").write_text(f'{{"spec_hash": "{spec_hash}"}}')
    found = agenda(scale, results, ["table1_simclr"])
    assert not any(job.name.endswith(runs[0]) for job in found.jobs)
    assert [job.kind for job in found.jobs if job.name.endswith(runs[1])] == ["measure"]
    assert any("trained with other settings" in line for line in found.left_out) and found.finished == 1


PROGRAM = """
import signal, sys, time
from pathlib import Path
what, path = sys.argv[1], Path(sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
if what == "fail":
    sys.exit(2)
if what == "sleep":
    path.write_text("begun")
    time.sleep(60)
path.write_text(str(time.monotonic()))
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Work]:
    """`work(jobs, lanes)`: jobs of a program that makes a file, fails, or sleeps until SIGTERM."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setattr(queue_module, "PROGRAM", (sys.executable, str(tmp_path / "program.py")))

    def make(jobs: dict[str, str], lanes: int = 1, **about: Any) -> Work:
        queued = [
            QueuedJob(name, name, (what, str(tmp_path / name), "--log", "the.log"), **about.get(name, {}))
            for name, what in jobs.items()
        ]
        terminal = io.StringIO()
        return Work(Agenda(queued, [], 0), [{} for _ in range(lanes)], tmp_path, terminal)

    return make


def test_a_job_waits_for_what_it_needs_and_a_failure_stops_no_other(work: Any, tmp_path: Path) -> None:
    needs = {"b": {"needs": (tmp_path / "a",)}, "d": {"needs": (tmp_path / "c",)}}
    made = work({"b": "make", "d": "make", "c": "fail", "a": "make"}, lanes=2, **needs)
    assert made.until(None, 0.0) == 1
    told = made.terminal.getvalue()
    assert "c failed (status 2); see the.log" in told and "2 of 4 jobs finished, 1 failed" in told
    assert (tmp_path / "b").is_file() and not (tmp_path / "d").exists()
    assert not (tmp_path / "queue.json").exists()


def test_the_budget_ends_it_and_what_sleeps_is_ended_with_a_signal(work: Any, tmp_path: Path) -> None:
    made = work({"a": "sleep", "b": "make"})
    assert made.until(time.monotonic() + 3, 3.0) == 75
    told = made.terminal.getvalue()
    assert "0 of 2 jobs finished, ended by the budget; the same command goes on" in told
    assert "stopped a, which goes on when it is queued again" in told
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(work: Any, tmp_path: Path, number: int) -> None:
    made = work({"a": "sleep"})

    def ask() -> None:
        while not (tmp_path / "a").exists():
            time.sleep(0.05)
        assert describe(tmp_path)[1:] == ["  a"]  # as `ldreg status` shows it
        os.kill(os.getpid(), number)

    threading.Thread(target=ask).start()
    assert made.until(None, 0.0) == 75
    assert f"ended by {signal.Signals(number).name}" in made.terminal.getvalue()
    assert describe(tmp_path) == []


def test_what_times_steps_runs_alone(work: Any, tmp_path: Path) -> None:
    made = work({"a": "make", "b": "make", "c": "make"}, lanes=3, b={"alone": True})
    most: list[int] = []
    start = made._start

    def watched(*arguments: Any) -> None:
        start(*arguments)
        names = [each.job.name for each in made.running]
        most.append(len(names) if "b" in names else 0)

    made._start = watched
    assert made.until(None, 0.0) == 0 and max(most) == 1


def test_steps_of_two_processes_are_timed_at_once(
    tiny_spec: Callable[..., RunSpec], tmp_path: Path, data_root: Path
) -> None:
    write_spec(tmp_path / "spec.yaml", tiny_spec(), "simclr-small_cnn/none/seed0")
    spec, data = str(tmp_path / "spec.yaml"), str(data_root / "digits/dataset.json")
    rate = side_by_side.together(spec, data, Execution(), 2)
    assert rate is not None and rate > 0
    assert side_by_side.together("no.yaml", data, Execution(), 1) is None


def test_as_many_as_make_it_faster() -> None:
    asked = []

    def rate(number: int) -> float | None:
        asked.append(number)
        return {1: 10.0, 2: 18.0, 3: 19.0}[number]

    assert side_by_side.fastest(rate, 4) == 2 and asked == [1, 2, 3]
    assert side_by_side.fastest(lambda number: 10.0 * number, 3) == 3
    assert side_by_side.fastest(lambda number: None if number > 1 else 1.0, 3) == 1


# Python runs this before anything else.
SITECUSTOMIZE = """
import socket, sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("snakemake", "mlflow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())


def refuse(*_):
    raise OSError("there is no network here")


socket.socket.connect = refuse
socket.getaddrinfo = refuse
"""


@pytest.mark.slow
def test_real_runs_without_snakemake_mlflow_and_network(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path, data_root: Path
) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    workflow.edit(lambda content: content.update(seeds=[0]))
    workflow.path("data").symlink_to(data_root)
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = ["ldreg", "queue", "tiny.yaml", "table1_simclr", "--side-by-side", "1", "--nice"]

    # It is ended as soon as the first run is measured, so that the second is not begun.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment |= {
        "PYTHONPATH": path,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with subprocess.Popen(
        command, cwd=workflow.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as job:
        lines = []
        for line in job.stderr:
            lines.append(line)
            if "finished measure" in line:
                assert os.getpriority(os.PRIO_PROCESS, job.pid) == 19
                job.send_signal(signal.SIGTERM)
    assert job.returncode == 75, lines
    assert "ended by SIGTERM" in lines[-1]

    done = workflow._command(*command, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    again = workflow._command(*command, PYTHONPATH=path)
    assert (again.returncode, again.stderr.splitlines()) == (
        0,
        ["queue: nothing to be done; 2 runs are finished"],
    )
    runs = [f"simclr-small_cnn/{arm}/seed0" for arm in ("none", "ldreg_l1-beta0.1-k8")]
    for run in runs:
        files = {path.name for path in workflow.path("results/tiny/runs", run).iterdir()}
        assert {"encoder.safetensors", "history.csv", "summary.json", "spec.yaml", "linear.json"} <= files
    assert not workflow.path("results/mlflow.db").exists()
    left = workflow.jobs("table1_simclr")  # Snakemake takes the runs as if it had made them
    assert set(left) == {"table1_simclr"}


@pytest.mark.long
def test_a_run_that_the_queue_left_unfinished_comes_to_the_same(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path, data_root: Path
) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    workflow.edit(lambda content: (content.update(seeds=[0]), content["run"].update(epochs=20)))
    workflow.path("data").symlink_to(data_root)
    first = "results/tiny/runs/simclr-small_cnn/none/seed0"
    command = ["ldreg", "queue", "tiny.yaml", "table1_simclr", "--side-by-side", "1"]
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    }
    with subprocess.Popen(
        command, cwd=workflow.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as job:
        for line in job.stderr:
            if "/20 epochs" in line:
                job.send_signal(signal.SIGTERM)
    assert job.returncode == 75
    assert not workflow.path(first, "summary.json").exists()
    assert list(workflow.path("results/tiny/checkpoints").rglob("*.safetensors"))
    other = workflow.copy(tmp_path / "other")
    shutil.rmtree(other.path("results/tiny/checkpoints"))

    with subprocess.Popen(
        command, cwd=workflow.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as job:
        for line in job.stderr:
            if "finished pretrain" in line:
                job.send_signal(signal.SIGTERM)
    other.ldreg("pretrain", f"{first}/spec.yaml", "--data", "data/digits/dataset.json")
    encoders = [each.path(first, "encoder.safetensors").read_bytes() for each in (workflow, other)]
    assert encoders[0] == encoders[1]


def test_mistakes(fresh_workflow: Callable[[Path], Workflow], tmp_path: Path) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    for arguments, told in (
        (["tiny.yaml"], "error: data/digits/dataset.json: no such file; prepare the data"),
        (["tiny.yaml", "figur5"], "error: tiny.yaml: target: 'figur5' is unknown; did you mean 'figure5'?"),
        (["tiny.yaml", "--budget", "1"], "'1' is not allowed; it should be a time with its unit"),
        (["tiny.yaml", "--side-by-side", "0"], "'0' is not allowed; it should be a whole number from 1"),
    ):
        done = workflow._command("ldreg", "queue", *arguments)
        assert done.returncode == 2 and told in done.stderr, done.stderr
    content = yaml.safe_load(workflow.path("tiny.yaml").read_text())
    content["execution"]["nodes"] = 2
    workflow.path("tiny.yaml").write_text(yaml.safe_dump(content))
    done = workflow._command("ldreg", "queue", "tiny.yaml")
    assert done.returncode == 2 and "execution.nodes: 2 is not allowed with the queue" in done.stderr
