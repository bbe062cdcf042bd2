"""Logging of finished jobs from their files, for a run or for a whole scale."""

from collections.abc import Iterator
from pathlib import Path

from ldreg.errors import LdregError
from ldreg.files import read_keys
from ldreg.tracking import run_files
from ldreg.tracking.job_record import read_record, records_in
from ldreg.tracking.store import Store, import_mlflow
from ldreg.tracking.uri import public, reason, tracking_uri


def log_folder(folder: Path, results: Path) -> list[str]:
    """Log the finished jobs of a run's or a scale's folder that MLflow does not have yet.

    A run has its pretraining and its measurements. A scale has all its runs, its exhibits and the experiments
    with points in the plane.

    Returns a line for each MLflow run that was made or completed, and no line if nothing was missing.

    Raises:
        LdregError: a file of a run is missing (spec.yaml, summary.json) or broken, or MLflow fails.
    """
    uri = tracking_uri(results)
    try:
        import_mlflow(uri)
        from mlflow.utils.logging_utils import suppress_logs_in_thread

        with suppress_logs_in_thread():
            return list(_log_all(Path(folder), uri))
    except LdregError:
        raise
    except Exception as error:
        raise LdregError(f"{folder}: not logged to MLflow at {public(uri)}: {reason(error, uri)}") from error


def _log_all(folder: Path, uri: str) -> Iterator[str]:
    """Log a folder's jobs one by one, each run's pretraining before what is shown below it."""
    is_scale = (folder / "runs").is_dir() or (folder / "exhibits").is_dir()
    runs = sorted(path.parent for path in folder.glob("runs/*/*/*/spec.yaml")) if is_scale else [folder]
    stores: dict[str, Store] = {}

    def store_of(scale: str) -> Store:
        if scale not in stores:
            stores[scale] = Store(uri, scale)
            stores[scale].end_abandoned()
        return stores[scale]

    for run in runs:
        scale = read_keys(run / "spec.yaml", "scale")["scale"]
        # Some runs of a scale may not have been pretrained.
        if not is_scale or (run / "summary.json").is_file():
            read_keys(run / "summary.json")
            for kind in run_files.FILES:
                if kind == "pretrain" or run_files.present(run, kind):
                    line = store_of(scale).log_files(run, kind)
                    yield from [line] if line else []
    for place in [*runs, folder / "exhibits"]:
        for path in records_in(place):
            line = store_of(read_record(path)["scale"]).log_record(path)
            yield from [line] if line else []
