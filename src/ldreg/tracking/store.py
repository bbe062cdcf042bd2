"""An MLflow store, one scale's experiment in it, and its runs: client calls whose errors pass through."""

import gc
import logging
import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldreg.files import read_keys
from ldreg.runtime.locks import locked
from ldreg.tracking import run_files
from ldreg.tracking.job_record import files_of, note_run, read_record
from ldreg.tracking.run_files import Point

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# By default MLflow waits 120 s, retries 7 times, reports its use to its makers, and at a run's end prints the
# server's address with user and password. A user's own settings take precedence over these.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LOCK_SECONDS = 5.0  # the longest wait for a database that another program has locked


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

    def create(self, folder: Path, kind: str, start: int, tags: Mapping[str, Any]) -> "Run":
        """Begin the MLflow run of a job that started at `start` (ms), and note it in mlflow.json."""
        spec = read_keys(folder / "spec.yaml", "run")
        tags = {"kind": kind} | run_files.spec_tags(spec) | run_files.texts(tags)
        name = spec["run"]
        if kind != "pretrain":
            name = f"{name} {kind}"
            # An earlier measurement's files may still be there.
            tags = run_files.job_tags(folder, kind) | tags | self._parent_tags(folder)
        created = self.client.create_run(self.experiment_id, start_time=start, tags=tags, run_name=name)
        run = Run(self, folder, kind, created.info.run_id)
        run.note(complete=False)
        # A measurement also has its run's settings, so that results can be filtered by them.
        run.write([], params=spec)
        return run

    def log_files(self, folder: Path, kind: str) -> str | None:
        """Log a finished job from its files unless it is logged; complete an MLflow run that broke off."""
        entry = run_files.notes(folder).get(kind)
        begun = self.has(entry)
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
        if begun:
            run_id = entry["run_id"]
        else:
            created = self.client.create_run(
                self.experiment_id, start_time=record["start"], tags=tags, run_name=record["name"]
            )
            run_id = created.info.run_id
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


class Run:
    """The MLflow run of one job of a run folder."""

    def __init__(self, store: Store, folder: Path, kind: str, run_id: str):
        self.run_id = run_id
        self._store, self._client, self._folder, self._kind = store, store.client, folder, kind
        self._logged: set[tuple[str, int]] = set()  # metric and step

    def note(self, complete: bool) -> None:
        """Write down in mlflow.json which MLflow run this is."""
        entry = {"uri": self._store.uri, "experiment": self._store.experiment, "run_id": self.run_id}
        run_files.note(self._folder, self._kind, entry | {"complete": complete})

    def recall(self) -> None:
        """Read which metrics an earlier process has logged, and log again what else it may have missed."""
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
        points = [point for point in points if (point[0], point[3]) not in self._logged]
        log_batch(self._client, self.run_id, points, run_files.params(params or {}), tags)
        self._logged |= {(key, step) for key, _, _, step in points}

    def close(self, status: str, end: int) -> None:
        """End the run at `end` (ms). If it FINISHED, first log from its files whatever is not logged yet."""
        files = []
        if status == "FINISHED":
            tags = run_files.job_tags(self._folder, self._kind)
            if self._kind == "pretrain":
                self.write(run_files.history(self._folder, end), tags=tags)
            else:
                settings, results = run_files.measured(self._folder, self._kind)
                self.write(run_files.as_points(results, end, 0), settings, tags)
            files = [self._folder / "spec.yaml", *run_files.present(self._folder, self._kind)]
        self._client.set_terminated(self.run_id, status, end)
        for path in files:
            self._client.log_artifact(self.run_id, str(path))
        if status == "FINISHED":
            self.note(complete=True)
        else:
            run_files.note(self._folder, self._kind, None)  # nothing is left that could be completed later


def log_batch(
    client: "MlflowClient",
    run_id: str,
    points: Sequence[Point],
    params: Mapping[str, str],
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log metrics, parameters and tags at once, without those that the run has already."""
    from mlflow.entities import Metric, Param, RunTag

    client.log_batch(
        run_id,
        [Metric(*point) for point in points],
        [Param(*pair) for pair in params.items()],
        [RunTag(*pair) for pair in (tags or {}).items()],
    )


def tracking_uri(results: Path) -> str:
    """Where runs are logged: `MLFLOW_TRACKING_URI`, else the SQLite database `mlflow.db` in `results`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(results) / 'mlflow.db'}"


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
