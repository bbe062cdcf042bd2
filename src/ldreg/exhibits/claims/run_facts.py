"""What the files of a run's folder say for the claims, beside the measurements that every exhibit reads."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldreg.exhibits.claims.declared import LedgerSettings
from ldreg.exhibits.runs.csv_columns import read_columns
from ldreg.exhibits.runs.execution import execution
from ldreg.exhibits.runs.summaries import read_summary
from ldreg.files import read_json

MONITOR = "mlid_mle_32"  # the authors' own monitor
LATE = 0.5  # the share of the epochs after which a course is late
TRAINED = "mom"  # the estimator that LDReg trains with


def run_facts(folder: Path, settings: LedgerSettings) -> dict[str, Any]:
    """A run's time, course, transfer, detection, and the errors of its LIDs.

    A fact is NaN if its file is missing or lacks it, as for encoders that were trained elsewhere.
    """
    summary = read_summary(folder) if (folder / "summary.json").is_file() else {}
    detected = _read(folder / "detection.json") if settings.detection else {}
    errors = _read(folder / "lid_error.json") if str(folder) in settings.lid_errors else {}
    k = settings.base.get("k")
    return {
        "wall_seconds": summary.get("wall_seconds", math.nan),
        "execution": execution(summary),
        "course_change": course_change(folder / "history.csv"),
        "late_change": course_change(folder / "history.csv", LATE),
        **_transferred(folder, settings.transfer),
        **{f"{kind}_ap": detected.get(kind, {}).get("ap", math.nan) for kind in ("box", "mask")},
        "batch_error_slope": batch_error_slope(errors.get("entries", []), k),
        "tf32_error": tf32_error(errors.get("tf32", []), k),
    }


def _transferred(folder: Path, datasets: Sequence[str]) -> dict[str, Any]:
    """The mean accuracy over the available data sets, and their names; NaN until all have been tested."""
    contents = {dataset: _read(folder / "transfer" / f"{dataset}.json") for dataset in datasets}
    available = {dataset: found for dataset, found in contents.items() if "unavailable" not in found}
    known = bool(available) and all(available.values())
    mean = float(np.mean([found[found["metric"]] for found in available.values()])) if known else math.nan
    return {"transfer": mean, "transfer_sets": tuple(available)}


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def course_change(history: Path, after: float = 0.0) -> float:
    """The change of mLID in per cent over the epochs after a share of them; NaN where it was not measured.

    It is taken from the least-squares line through ln mLID, from the first of these epochs to the last.
    """
    if not history.is_file():
        return math.nan
    rows = read_columns(history, ("epoch", MONITOR))
    chosen = rows[rows["epoch"] > after * rows["epoch"].max()].dropna(subset=[MONITOR])
    if len(chosen) < 3:
        return math.nan
    epochs, values = (chosen[column].to_numpy(dtype=float) for column in ("epoch", MONITOR))
    slope = np.polyfit(epochs - epochs.mean(), np.log(values), 1)[0]
    return 100 * math.expm1(slope * (epochs[-1] - epochs[0]))


def batch_error_slope(entries: Sequence[Mapping[str, Any]], k: float | None) -> float:
    """By how much the RMS error of ln LID changes for each doubling of the mini-batch, at one k.

    entries: those of lid_error.json. NaN where fewer than three sizes of mini-batch were measured at this k.
    """
    errors = {
        entry["batch_rows"]: entry["rms"]
        for entry in entries
        if entry["estimator"] == TRAINED and entry["k"] == k
    }
    if len(errors) < 3:
        return math.nan
    return float(np.polyfit(np.log2(list(errors)), list(errors.values()), 1)[0])


def tf32_error(entries: Sequence[Mapping[str, Any]], k: float | None) -> float:
    """The RMS change of LID by TF32 in per cent at one k; NaN where it was not measured.

    entries: `tf32` of lid_error.json, which only a GPU that has TF32 can give.
    """
    found = [entry["rms"] for entry in entries if entry["k"] == k]
    return 100 * math.expm1(found[0]) if found else math.nan
