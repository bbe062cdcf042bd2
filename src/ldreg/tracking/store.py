"""An MLflow store, one scale's experiment in it, and its runs: client calls whose errors pass through."""

import gc
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldreg.files import read_keys
from ldreg.runtime.locks import locked
from ldreg.runtime.process import has_ended, identity
from ldreg.tracking import run_files
from ldreg.tracking.job_record import files_of, note_run, read_record
from ldreg.tracking.logged_run import Run, log_batch
from ldreg.tracking.uri import public

if TYPE_CHECKING:
    from mlflow import entities

# By default MLflow waits 120 s, retries 7 times, reports its use to its makers, and at a run's end prints the
# server's address with user and password. A user's own settings take precedence over these.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LOCK_SECONDS = 5.0  # the longest wait for a database that another program has locked
# Of the MLflow runs of one job on one spec, the tag is "false" for the newest and "true" for the others.
_SUPERSEDED = "superseded"
_PROCESS = "process."  # begins the tags that identify the process that logs to a run


def import_mlflow(uri: str) -> None:
    """Import what logging to `uri` needs: about 0.8 s for a server, 1.2 s for a database, after torch."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    collecting = gc.isenabled()
    gc.disable()  # saves a quarter of the time, since each search visits all that torch has loaded
    try:
        import mlflow.tracking
        from mlflow.utils.logging_utils import SuppressLogFilter

        if not uri.startswith(("http:", "https:")):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    retries = logging.getLogger("urllib3.connectionpool")  # it must be silent where MLflow's own loggers are
    if not any(isinstance(known, SuppressLogFilter) for known in retries.filters):
        retries.addFilter(SuppressLogFilter())


class Store:
    """The MLflow store at a tracking URI, and in it the experiment of one scale."""

    def __init__(self, uri: str, scale: str):
        from mlflow.tracking import MlflowClient

        self.uri, self.experiment = public(uri), f"ldreg-{scale}"
        if not uri.startswith("sqlite:///"):
            self.client = MlflowClient(uri)
            self.experiment_id = self._experiment_id()
            return
        name, mark, query = uri.removeprefix("sqlite:///").partition("?")
        database = Path(name).absolute()
        # Jobs that find no database at the same time would fail in each other's schema migration.
        with locked(database.with_name(".mlflow.lock")):
            # MLflow retries for minutes to open a file that is locked, not writable or not a database.
            with closing(sqlite3.connect(database, timeout=_LOCK_SECONDS)) as connection:
                connection.execute("BEGIN IMMEDIATE")
            self.client = MlflowClient(f"sqlite:///{database}{mark}{query}")
            self.experiment_id = self._experiment_id(database.with_name("mlflow-artifacts").as_uri())

    def _experiment_id(self, artifacts: str | None = None) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            try:
                return self.client.create_experiment(self.experiment, artifact_location=artifacts)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            experiment = self.client.get_experiment_by_name(self.experiment)  # another job has just made it
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def has(self, entry: Mapping[str, Any] | None) -> bool:
        """Whether a run that mlflow.json notes is in this store, which may have been emptied since."""
        from mlflow.exceptions import MlflowException

        if not entry:
            return False
        try:
            return self.client.get_run(entry["run_id"]).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def end_abandoned(self) -> None:
        """Mark as KILLED the experiment's runs that are RUNNING in MLflow while their process has ended."""
        for run in self._search("attributes.status = 'RUNNING'"):
            # The process may have closed its run since the search, so the status is read once more.
            if _has_ended(run.data.tags) and self.client.get_run(run.info.run_id).info.status == "RUNNING":
                self.client.set_terminated(run.info.run_id, "KILLED", self._last_sign(run))

    def _last_sign(self, run: "entities.Run") -> int | None:
        """When a run logged its last metric, in ms; None if it logged none."""
        key = next((key for key in run.data.metrics if key.startswith("system/")), None)
        key = key or next(iter(run.data.metrics), None)
        if key is None:
            return None
        return max(point.timestamp for point in self.client.get_metric_history(run.info.run_id, key))

    def create(self, folder: Path, kind: str, start: int, tags: Mapping[str, Any]) -> Run:
        """Begin the MLflow run of a job that started at `start` (ms), and note it in mlflow.json."""
        spec = read_keys(folder / "spec.yaml", "run")
        tags = {"kind": kind} | run_files.spec_tags(spec) | run_files.texts(tags)
        name = spec["run"]
        if kind != "pretrain":
            name = f"{name} {kind}"
            # An earlier measurement's files may still be there.
            tags = run_files.job_tags(folder, kind) | tags | self._parent_tags(folder)
        run = Run(self, folder, kind, self._begin(name, start, tags))
        run.note(complete=False)
        # A measurement also has its run's settings, so that results can be filtered by them.
        run.write([], params=spec)
        return run

    def resume(self, folder: Path, kind: str, run_id: str) -> Run:
        """Go on in the MLflow run of a job that was interrupted and now continues from a checkpoint."""
        run = Run(self, folder, kind, run_id)
        self.client.update_run(run_id, "RUNNING")
        run.note(complete=False)
        run.recall()
        run.write([], tags=_process_tags())
        return run

    def _begin(self, name: str, start: int, tags: Mapping[str, str]) -> str:
        """Begin an MLflow run, which supersedes older ones of the same job; returns its id."""
        own = {**_process_tags(), _SUPERSEDED: "false", **tags}
        run_id: str = self.client.create_run(
            self.experiment_id, start_time=start, tags=own, run_name=name
        ).info.run_id
        for older in self._older(run_id, tags):
            self.client.set_tag(older, _SUPERSEDED, "true")
            self.client.set_tag(older, "superseded_by", run_id)
        return run_id

    def _older(self, run_id: str, tags: Mapping[str, str]) -> list[str]:
        """The ids of other runs of the same job on the same spec, and of what was measured on them.

        What is done again for an exhibit, which has no spec of a run, is found by the exhibit's name.
        """
        key = next((key for key in ("spec_hash", "exhibit") if key in tags), None)
        if key is None:
            return []
        found = self._search(f"tags.kind = '{tags['kind']}' and tags.{key} = '{tags[key]}'")
        older = [run for run in found if run.info.run_id != run_id]
        if tags["kind"] == "pretrain":
            older += [
                each
                for run in list(older)
                for each in self._search(f"tags.pretrain_run_id = '{run.info.run_id}'")
            ]
        return [run.info.run_id for run in older if run.data.tags.get(_SUPERSEDED) != "true"]

    def _search(self, condition: str) -> Iterator["entities.Run"]:
        """The experiment's runs that meet a condition."""
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], condition, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def log_files(self, folder: Path, kind: str) -> str | None:
        """Log a finished job from its files unless it is logged; complete an MLflow run that broke off."""
        entry = run_files.notes(folder).get(kind)
        begun = self.has(entry) and "ended" not in entry  # an attempt that failed stays as it is
        if begun and entry["complete"]:
            return None
        summary = read_keys(folder / "summary.json")
        end = int(max(path.stat().st_mtime for path in run_files.present(folder, kind)) * 1000)
        if begun:
            run = Run(self, folder, kind, entry["run_id"])
            run.recall()
        else:
            seconds = summary.get("wall_seconds", 0) if kind == "pretrain" else 0
            run = self.create(folder, kind, end - int(seconds * 1000), {})
        run.close("FINISHED", end)
        return self._told(kind, begun, run.run_id)

    def log_record(self, path: Path) -> str | None:
        """Log a job from its record, unless it is logged or its files no longer exist."""
        record = read_record(path)
        files = files_of(path, record)
        entry = record.get("mlflow")
        begun = self.has(entry)
        if (begun and entry["complete"]) or not all(file.is_file() for file in files):
            return None
        settings, tags = self._of_the_run(path.parents[1])
        tags |= run_files.texts({"kind": record["kind"], "scale": record["scale"]} | record["tags"])
        run_id = entry["run_id"] if begun else self._begin(record["name"], record["start"], tags)
        entry = {"uri": self.uri, "experiment": self.experiment, "run_id": run_id}
        note_run(path, entry | {"complete": False})
        settings |= {f"{record['kind']}_{key}": value for key, value in record["settings"].items()}
        points = run_files.series(record["results"], record["end"])
        log_batch(self.client, run_id, points, run_files.params(settings))
        for file in files:
            self.client.log_artifact(run_id, str(file))
        self.client.set_terminated(run_id, "FINISHED", record["end"])
        note_run(path, entry | {"complete": True})
        return self._told(record["name"], begun, run_id)

    def _of_the_run(self, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
        """Settings of the run whose folder this is, and tags that lead to it; none in other folders."""
        if not (folder / "spec.yaml").is_file():
            return {}, {}
        spec = read_keys(folder / "spec.yaml", "run")
        return dict(spec), run_files.spec_tags(spec) | self._parent_tags(folder)

    def _parent_tags(self, folder: Path) -> dict[str, str]:
        """Tags that show an MLflow run below the pretraining of the same run folder, where that is logged."""
        if not self.has(parent := run_files.notes(folder).get("pretrain")):
            return {}
        return {"mlflow.parentRunId": parent["run_id"], "pretrain_run_id": parent["run_id"]}

    def _told(self, what: str, begun: bool, run_id: str) -> str:
        done = "completed" if begun else "logged"
        return f"{what}: {done} as run {run_id} in experiment {self.experiment} at {self.uri}"


def _process_tags() -> dict[str, str]:
    """Tags that identify this process."""
    return {f"{_PROCESS}{key}": value for key, value in identity().items()}


def _has_ended(tags: Mapping[str, str]) -> bool | None:
    """Whether the process that these tags identify has ended; None if that cannot be told."""
    own = {key.removeprefix(_PROCESS): value for key, value in tags.items() if key.startswith(_PROCESS)}
    return has_ended(own)
