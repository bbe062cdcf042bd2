"""The MLflow run of one job of a run folder: client calls whose errors pass through."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldreg.files import read_keys
from ldreg.tracking import run_files
from ldreg.tracking.run_files import Point

SYSTEM = "system/"  # how MLflow's names of metrics of the machine begin

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from ldreg.tracking.store import Store


class Run:
    """The MLflow run of one job of a run folder."""

    def __init__(self, store: "Store", folder: Path, kind: str, run_id: str):
        self.run_id = run_id
        self._store, self._client, self._folder, self._kind = store, store.client, folder, kind
        self._logged: set[tuple[str, int]] = set()  # metric and step

    @property
    def system_step(self) -> int:
        """The last step of the system metrics that are logged; 0 before the first."""
        return max((step for key, step in self._logged if key.startswith(SYSTEM)), default=0)

    def note(self, complete: bool, ended: str | None = None) -> None:
        """Write down in mlflow.json which MLflow run this is, and as what it ended if the job failed."""
        entry = {"uri": self._store.uri, "experiment": self._store.experiment, "run_id": self.run_id}
        entry |= {"ended": ended} if ended else {}
        run_files.note(self._folder, self._kind, entry | {"complete": complete})

    def recall(self) -> None:
        """Read which metrics an earlier process has logged, and log again what else it may have missed."""
        for key in self._client.get_run(self.run_id).data.metrics:
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
        """End the run at `end` (ms). If it FINISHED, first log from its files whatever is not logged yet.

        If it did not, mlflow.json still names it, so that a job that continues from a checkpoint finds it.
        """
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
            self.note(complete=False, ended=status if status == "FAILED" else None)


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
