"""An MLflow store, one scale's experiment in it, and its runs: client calls whose errors pass through."""

import fcntl
import gc
import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ldreg.files import read_keys
from ldreg.tracking import record
from ldreg.tracking.record import Kind, Point

# MLflow by itself waits 120 s, retries 7 times, reports its use to its makers, and at a run's end prints the
# server's address with user and password. What a user sets wins.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LOCK_SECONDS = 5.0  # to wait for a database that another program has locked


def import_mlflow(uri: str) -> None:
    """Import what logging to `uri` needs: about 0.8 s for a server, 1.2 s for a database, after torch."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    collecting = gc.isenabled()
    gc.disable()  # saves a quarter: there is no garbage to find, but each search visits all that torch loaded
    try:
        import mlflow.tracking
        from mlflow.utils.logging_utils import SuppressLogFilter

        if not uri.startswith(("http:", "https:")):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    retries = logging.getLogger("urllib3.connectionpool")  # to be silent where MLflow's own loggers are
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
        with _locked(database.with_name(".mlflow.lock")):
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
            experiment = self.client.get_experiment_by_name(self.experiment)  # another job was quicker
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

    def create(self, folder: Path, kind: Kind, start: int, tags: Mapping[str, Any]) -> "Run":
        """Begin the MLflow run of a job that started at `start` (ms), and note it in mlflow.json."""
        spec = read_keys(folder / "spec.yaml", "run")
        tags = {"kind": kind} | record.spec_tags(spec) | record.texts(tags)
        name = spec["run"]
        if kind != "pretrain":
            name = f"{name} {kind}"
            tags = record.job_tags(folder, kind) | tags  # an earlier measurement's files may still be there
            if self.has(parent := record.notes(folder).get("pretrain")):
                tags |= {"mlflow.parentRunId": parent["run_id"], "pretrain_run_id": parent["run_id"]}
        created = self.client.create_run(self.experiment_id, start_time=start, tags=tags, run_name=name)
        run = Run(self, folder, kind, created.info.run_id)
        run.note(complete=False)
        # A measurement has its run's settings too: results are filtered by them.
        run.write([], params=spec)
        return run

    def log_exhibit(self, spec: Path, files: Sequence[Path], tags: Mapping[str, Any]) -> None:
        """Log a rendered exhibit as a new MLflow run, which is FINISHED once it has all files."""
        name = spec.name.removesuffix(".spec.yaml")
        tags = record.texts({"kind": "exhibit", "exhibit": name} | dict(tags))
        run_id = self.client.create_run(self.experiment_id, tags=tags, run_name=name).info.run_id
        for path in [spec, *files]:
            self.client.log_artifact(run_id, str(path))
        self.client.set_terminated(run_id)

    def log_files(self, folder: Path, kind: Kind) -> str | None:
        """Log a finished job from its files unless that is done; complete an MLflow run that broke off."""
        entry = record.notes(folder).get(kind)
        begun = self.has(entry)
        if begun and entry["complete"]:
            return None
        summary = read_keys(folder / "summary.json")
        end = int(max(path.stat().st_mtime for path in record.present(folder, kind)) * 1000)
        if begun:
            run = Run(self, folder, kind, entry["run_id"])
            run.recall()
        else:
            seconds = summary.get("wall_seconds", 0) if kind == "pretrain" else 0
            run = self.create(folder, kind, end - int(seconds * 1000), {})
        run.close("FINISHED", end)
        done = "completed" if begun else "logged"
        return f"{kind}: {done} as run {run.run_id} in experiment {self.experiment} at {self.uri}"


class Run:
    """The MLflow run of one job of a run folder."""

    def __init__(self, store: Store, folder: Path, kind: Kind, run_id: str):
        self.run_id = run_id
        self._store, self._client, self._folder, self._kind = store, store.client, folder, kind
        self._logged: set[tuple[str, int]] = set()  # metric and step

    def note(self, complete: bool) -> None:
        """Write down in mlflow.json which MLflow run this is."""
        entry = {"uri": self._store.uri, "experiment": self._store.experiment, "run_id": self.run_id}
        record.note(self._folder, self._kind, entry | {"complete": complete})

    def recall(self) -> None:
        """Learn which metrics an earlier process has logged, and repeat what else it may have missed."""
        for key in self._client.get_run(self.run_id).data.metrics:
            if not key.startswith("system/"):
                history = self._client.get_metric_history(self.run_id, key)
                self._logged |= {(key, point.step) for point in history}
        self.write([], params=read_keys(self._folder / "spec.yaml"))

    def write(
        self,
        points: Sequence[Point],
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log those metrics that are not logged yet, parameters and tags."""
        from mlflow.entities import Metric, Param, RunTag

        points = [point for point in points if (point[0], point[3]) not in self._logged]
        self._client.log_batch(
            self.run_id,
            [Metric(*point) for point in points],
            [Param(*pair) for pair in record.params(params or {}).items()],
            [RunTag(*pair) for pair in (tags or {}).items()],
        )
        self._logged |= {(key, step) for key, _, _, step in points}

    def close(self, status: str, end: int) -> None:
        """End the run at `end` (ms). If it FINISHED, first log from its files whatever is not logged yet."""
        files = []
        if status == "FINISHED":
            tags = record.job_tags(self._folder, self._kind)
            if self._kind == "pretrain":
                self.write(record.history(self._folder, end), tags=tags)
            else:
                settings, results = record.measured(self._folder, self._kind)
                self.write(record.as_points(results, end, 0), settings, tags)
            files = [self._folder / "spec.yaml", *record.present(self._folder, self._kind)]
        self._client.set_terminated(self.run_id, status, end)
        for path in files:
            self._client.log_artifact(self.run_id, str(path))
        if status == "FINISHED":
            self.note(complete=True)
        else:
            record.note(self._folder, self._kind, None)  # there is nothing that could be completed later


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for a lock that one process at a time can hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing would not do where a data-loading worker was forked meanwhile: it has the file open too.
            fcntl.flock(file, fcntl.LOCK_UN)


def public(uri: str) -> str:
    """A URI without user, password and query.

    >>> public("https://ann:secret@host:5000/mlflow?token=1")
    'https://host:5000/mlflow'
    """
    return re.sub(r"//[^/\s]*@", "//", uri).partition("?")[0]


def reason(error: Exception, uri: str) -> str:
    """Why logging to `uri` failed: the first cause, in one short line without credentials."""
    cause: BaseException | None = error
    while cause is not None:
        error, cause = cause, cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    text = re.sub(r"//[^/\s]*@", "//", str(error).replace(uri, public(uri)))
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
