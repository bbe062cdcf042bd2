"""A job shown in MLflow while it runs."""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ldreg.files import read_keys
from ldreg.runtime.slices import SliceEnded
from ldreg.tracking import run_files
from ldreg.tracking.logged_run import SYSTEM, Run
from ldreg.tracking.run_files import Point
from ldreg.tracking.store import Store, import_mlflow
from ldreg.tracking.uri import public, reason, tracking_uri

_OPENING_SECONDS = 30.0  # time that MLflow may take to open its store, even if the job is shorter
_CLOSING_SECONDS = 10.0  # the longest time that a finished job waits for MLflow
_TICK_SECONDS = (5.0, 60.0)  # time between two transfers to MLflow, in a young and in an old job

_logger = logging.getLogger(__name__)


class Tracker:
    """A job's MLflow run, open for as long as the `with` block.

    `run_folder` holds spec.yaml, `results` is the folder that all scales share, and `tags` are facts known
    before summary.json is written (dataset_digest, git_commit, git_dirty). The job must write its files
    inside the block: they are logged at its end. An exception in the block ends the MLflow run as FAILED, an
    interrupt by the user as KILLED; a job that ended itself with a checkpoint leaves it SCHEDULED.

    A job that continues from a checkpoint says that it is `resumed`. It goes on in the MLflow run of the
    attempt before it, which mlflow.json names, and logs no step a second time. Any other job begins an MLflow
    run of its own.

    A thread talks to MLflow. Any error there causes one warning, after which the tracker does nothing. The
    job waits for MLflow only at its end, for at most 10 seconds. A job that ends in its first 30 seconds, in
    which a database may have to be made, waits until second 40 at most.

    >>> with Tracker(run_folder, "pretrain", Path("results")) as tracker:  # doctest: +SKIP
    ...     tracker.log({"loss": 4.2, "lr": 0.1}, step=1)
    """

    def __init__(
        self,
        run_folder: Path,
        kind: str,
        results: Path,
        tags: Mapping[str, Any] | None = None,
        resumed: bool = False,
    ):
        self._folder, self._kind, self._tags = Path(run_folder), kind, dict(tags or {})
        self._resumed = resumed
        self._uri = tracking_uri(results)
        self._points: deque[Point] = deque()
        self._status = "FINISHED"
        self._end = threading.Event()
        self._gave_up = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._start = time.time()
        try:
            if self._resumed:
                self._earlier = run_files.notes(self._folder).get(self._kind)
            else:  # from here on the MLflow run of an earlier attempt no longer belongs to this folder
                self._earlier = run_files.note(self._folder, self._kind, None)
            # The import comes before the thread starts, since two threads that import at once can fail.
            import_mlflow(self._uri)
        except Exception as error:
            self._give_up(error)
        else:
            self._thread = threading.Thread(target=self._work, name="ldreg-tracking", daemon=True)
            self._thread.start()
        return self

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log an epoch's metrics under its number (from 1, as in history.csv); None and NaN are left out."""
        self._points.extend(run_files.as_points(metrics, int(time.time() * 1000), step))

    def __exit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        self._status = _status(exception_type)
        self._end.set()
        if self._thread is not None:
            opening = max(0.0, self._start + _OPENING_SECONDS - time.time())
            self._thread.join(opening + _CLOSING_SECONDS)
            if self._thread.is_alive():
                self._give_up(TimeoutError("no answer in time"))

    def _give_up(self, error: Exception) -> None:
        if not self._gave_up:
            self._gave_up = True
            why = reason(error, self._uri)
            _logger.warning(
                f"MLflow: {self._kind} of {self._folder} is not fully logged to {public(self._uri)} ({why});"
                f" when it is finished: ldreg track {self._folder}"
            )

    def _work(self) -> None:
        from mlflow.utils.logging_utils import suppress_logs_in_thread

        try:
            with suppress_logs_in_thread():  # messages of migrations and tracebacks; one warning is enough
                self._stream()
        except Exception as error:
            self._give_up(error)

    def _stream(self) -> None:
        store = Store(self._uri, read_keys(self._folder / "spec.yaml", "scale")["scale"])
        store.end_abandoned()
        if self._kind != "pretrain":
            store.log_files(self._folder, "pretrain")  # if this was missed: there must be a parent run
        run = self._open(store)
        sampler = _SystemSampler(run.run_id, store.client.tracking_uri, run.system_step)
        shortest, longest = _TICK_SECONDS
        ended = False
        while not ended:
            ended = self._end.wait(min(longest, max(shortest, (time.time() - self._start) / 30)))
            points = [self._points.popleft() for _ in range(len(self._points))]
            run.write(points + sampler.points())
        run.close(self._status, int(time.time() * 1000))

    def _open(self, store: Store) -> Run:
        """Begin the job's MLflow run, or go on in that of the attempt that this one continues."""
        earlier = self._earlier
        if store.has(earlier):
            if self._resumed:
                return store.resume(self._folder, self._kind, earlier["run_id"])
            if not earlier["complete"] and "ended" not in earlier:
                store.client.set_terminated(earlier["run_id"], "KILLED")
        return store.create(self._folder, self._kind, int(self._start * 1000), self._tags)


def _status(exception_type: type[BaseException] | None) -> str:
    """MLflow's status of a job whose block ended with this exception."""
    if exception_type is None:
        return "FINISHED"
    if issubclass(exception_type, SliceEnded):  # it goes on in its next slot
        return "SCHEDULED"
    return "FAILED" if issubclass(exception_type, Exception) else "KILLED"


class _SystemSampler:
    """MLflow's system metrics (psutil, NVML), read with every transfer instead of from one more thread."""

    def __init__(self, run_id: str, uri: str, step: int):
        self._step = step  # the last one that is logged
        self._monitor = None
        try:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            monitor = SystemMetricsMonitor(run_id, tracking_uri=uri)
            monitor.collect_metrics()  # the first reading of the processors' load covers no time
            self._monitor = monitor
        except Exception:  # an unreadable machine must not cost the loss curve
            pass

    def points(self) -> list[Point]:
        """The machine's state now; nothing where it cannot be read."""
        if self._monitor is None:
            return []
        try:
            for part in self._monitor.monitors:
                part.clear_metrics()
            self._monitor.collect_metrics()
            state = self._monitor.aggregate_metrics()
        except Exception:
            self._monitor = None
            return []
        self._step += 1
        metrics = {f"{SYSTEM}{key}": value for key, value in state.items()}
        return run_files.as_points(metrics, int(time.time() * 1000), self._step)
