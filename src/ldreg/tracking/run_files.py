"""The content of a run folder's files, with the names and in the form in which MLflow receives it."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldreg.catalogue.measurements import MEASUREMENTS
from ldreg.errors import LdregError
from ldreg.files import read_keys, write_json
from ldreg.runtime.locks import locked

Point = tuple[str, float, int, int]  # a metric's name, its value, the time (ms since 1970) and the step

# Patterns of the files that MLflow receives from jobs that it shows while they run. The encoder is too large.
# spec.yaml, which all share, exists before they start.
FILES: dict[str, tuple[str, ...]] = {
    "pretrain": ("summary.json", "history.csv"),
    **{key: measurement.files for key, measurement in MEASUREMENTS.items() if measurement.live},
}
_SPEC_TAGS = ("scale", "run", "method", "regularizer", "beta", "k", "seed", "spec_hash", "dataset")
_GIT_TAGS = ("git_commit", "git_dirty")


def present(folder: Path, kind: str) -> list[Path]:
    """The files of a job that the folder holds."""
    return [path for pattern in FILES[kind] for path in sorted(folder.glob(pattern))]


def as_points(metrics: Mapping[str, Any], time: int, step: int) -> list[Point]:
    """The finite numbers among `metrics`; the epoch is left out, because it is the step."""
    points = []
    for key, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError):  # None, or an empty cell
            continue
        if math.isfinite(number) and key != "epoch":
            points.append((key, number, time, step))
    return points


def series(results: Mapping[str, Any], time: int) -> list[Point]:
    """A job's results as points at one time: a number as step 0, a list of numbers as steps 0, 1, ...."""
    return [
        point
        for key, value in results.items()
        for step, number in enumerate(value if isinstance(value, list) else [value])
        for point in as_points({key: number}, time, step)
    ]


def history(folder: Path, time: int) -> list[Point]:
    """history.csv, if there is one, as points at one time: the file does not say when an epoch ended."""
    path = folder / "history.csv"
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LdregError(f"{path}: cannot be read as CSV: {error}") from error
    try:
        return [point for row in rows for point in as_points(row, time, int(row["epoch"]))]
    except (KeyError, TypeError, ValueError):
        raise LdregError(f"{path}: every row must have a whole number in the column epoch") from None


def measured(folder: Path, kind: str = "measure") -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and results in the files that a job on a trained encoder writes, by the name of the file.

    Results are mLID, ranks, accuracies and average precisions in percent.
    """
    settings: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for path in present(folder, kind):
        found = read_keys(path)
        name = f"transfer_{path.stem}" if kind == "transfer" else path.stem
        for lid in found.pop("lid", ()):
            reference = "" if lid["batch_rows"] is None else f"_rows{lid['batch_rows']}"
            results[f"mlid_{lid['estimator']}_k{lid['k']}{reference}"] = lid["mlid"]
        for matrix, rank in found.pop("effective_rank", {}).items():
            results[f"effective_rank_{matrix}"] = rank
        results["rankme"] = found.pop("rankme", results.get("rankme"))
        for top in ("top1", "top5", "mean_per_class"):
            results[f"{name}_{top}"] = found.pop(top, None)
        for what in ("box", "mask"):
            precisions = found.pop(what, None) or {}
            results |= {f"{name}_{what}_{key}": value for key, value in precisions.items()}
        # Candidates of settings and curves are left to the file itself, and tags are logged as tags.
        for other in ("holdout", "history", *_GIT_TAGS):
            found.pop(other, None)
        settings |= {f"{name}_{key}": value for key, value in found.items()}
    return settings, results


def spec_tags(spec: Mapping[str, Any]) -> dict[str, str]:
    """Tags from a run's spec, by which the run can be found again."""
    return texts({key: spec.get(key) for key in _SPEC_TAGS})


def job_tags(folder: Path, kind: str) -> dict[str, str]:
    """The training data's digest and the commit of the code that did this job, as far as files hold them."""
    written = summary = read_keys(folder / "summary.json")
    if kind == "measure":
        path = folder / "dimensionality.json"
        written = read_keys(path) if path.exists() else {}
    tags = {"dataset_digest": summary.get("dataset_digest")}
    tags |= {"imported": summary.get("imported", {}).get("file")}  # weights that were not trained here
    return texts(tags | {key: written.get(key) for key in _GIT_TAGS})


def params(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings as MLflow's parameters.

    >>> params({"k": None, "views": {"crop_scale": [0.2, 1.0], "flip": 0.5}})
    {'k': 'null', 'views.crop_scale': '[0.2,1.0]', 'views.flip': '0.5'}
    """
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= params(value, f"{prefix}{key}.")
        else:
            flat |= texts({f"{prefix}{key}": "null" if value is None else value})
    return flat


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow takes them: text as it is, else compact JSON; None is left out."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
        for key, value in values.items()
        if value is not None
    }


def notes(folder: Path) -> dict[str, dict[str, Any]]:
    """mlflow.json: for each kind of job the MLflow run (uri, experiment, run_id, complete) that logs it."""
    return read_keys(folder / "mlflow.json") if (folder / "mlflow.json").exists() else {}


def note(folder: Path, kind: str, entry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Put an entry into mlflow.json, or take it out (None); returns the one that was there."""
    path = folder / "mlflow.json"
    if entry is None and not path.exists():
        return None
    lock = folder / ".mlflow.json.lock"
    with locked(lock):  # several jobs of a run may begin or end at once
        entries = notes(folder)
        old: dict[str, Any] | None = entries.pop(kind, None)
        if entry or old:
            write_json(path, entries | ({kind: dict(entry)} if entry else {}))
        lock.unlink(missing_ok=True)  # who waits for it makes another
    return old
