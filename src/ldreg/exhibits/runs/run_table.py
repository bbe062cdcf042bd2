"""The inputs of an exhibit: its spec, its settings, and its runs as one table."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ldreg.catalogue.measurements import LINEAR_FILES
from ldreg.config.grids import SETTINGS
from ldreg.config.result_paths import copy_of_exhibit
from ldreg.errors import LdregError, explain, unknown
from ldreg.exhibits.output.labels import both, listed, present, same, seeds
from ldreg.exhibits.settings import Settings
from ldreg.files import read_json, read_yaml

# The keys of a spec that make a run's setting: all that a user may set, except those of live measurements,
# which do not change a run. The views are left out, because they follow from the augmentation and its jitter.
SETTING_KEYS = tuple(key for key in SETTINGS if key not in ("monitor_k", "knn_every"))


class ExhibitSpec(BaseModel):
    """The contents of a `.spec.yaml`, and the path that it has beside the exhibit's outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    exhibit: str
    scale: str
    renderer: str
    title: str = ""
    caption: str = ""
    category: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    runs: tuple[Path, ...]
    spec_hashes: tuple[str, ...] = ()  # of the runs, in their order
    measured_by: dict[str, Path] = Field(default_factory=dict)  # the settings of measurements, by file name
    paper: Path


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_exhibit(spec_path: str | Path) -> ExhibitSpec:
    """Read `<name>.spec.yaml`; LdregError when it is missing, no mapping, or has a wrong key."""
    values = read_yaml(Path(spec_path))
    try:
        return ExhibitSpec(path=copy_of_exhibit(Path(spec_path)), **values)
    except ValidationError as error:
        raise explain(error, ExhibitSpec, lambda location: (str(spec_path), location)) from None


def settings_of(exhibit: ExhibitSpec, kind: type[AnySettings]) -> AnySettings:
    """The exhibit's settings checked against its renderer's; LdregError names file, key and value."""
    try:
        return kind(**exhibit.settings)
    except ValidationError as error:
        raise explain(error, kind, lambda location: (str(exhibit.path), ("settings", *location))) from None


def load_runs(exhibit: ExhibitSpec, metrics: tuple[str, ...], settings: Settings) -> pd.DataFrame:
    """One row per run: every key of its spec.yaml, its folder, and the metrics asked for.

    Accuracies are in percent. beta, k and target are floats, NaN where a regulariser has none. Raises
    LdregError when a file, a key or the chosen LID measurement is missing.
    """
    if not exhibit.runs:
        raise LdregError(f"{exhibit.path}: runs: none are named; at least one is needed")
    rows = []
    for folder in exhibit.runs:
        spec = {key: _hashable(value) for key, value in read_yaml(folder / "spec.yaml").items()}
        measured = {metric: _measured(folder, metric, settings) for metric in metrics}
        rows.append({**spec, **measured, "folder": str(folder)})
    frame = pd.DataFrame(rows)
    for key in ("beta", "k", "target"):
        frame[key] = frame[key].astype(float)
    return frame


def add_columns(frame: pd.DataFrame, read: Callable[[Path], Mapping[str, Any]]) -> pd.DataFrame:
    """The runs with further columns, which `read` returns for each run's folder.

    A column that `read` does not return for some of the runs is NaN there.
    """
    rows = [dict(read(Path(folder))) for folder in frame["folder"]]
    return frame.join(pd.DataFrame(rows, index=frame.index))


def setting_keys(frame: pd.DataFrame) -> list[str]:
    """The columns that make a run's setting, with the regulariser's; not its name, seed or results."""
    return [key for key in frame.columns if key in SETTING_KEYS]


def check_keys(exhibit: ExhibitSpec, frame: pd.DataFrame, keys: Iterable[str]) -> None:
    """Raise LdregError when an exhibit's settings name a key that its runs do not have."""
    known = setting_keys(frame)
    for key in keys:
        if key not in known:
            raise unknown(f"{exhibit.path}: settings", key, known)


def matches(column: pd.Series, value: Any) -> np.ndarray:
    """Whether each cell equals the value, numbers compared as numbers: (rows,) booleans."""
    return np.array([same(cell, value) for cell in column], dtype=bool)


def by_seed(rows: pd.DataFrame, metric: str) -> pd.Series:
    """`metric` of runs of one setting, indexed and sorted by seed; LdregError if a seed comes twice."""
    twice = rows[rows["seed"].duplicated(keep=False)]
    if not twice.empty:
        folders = ", ".join(twice["folder"])
        raise LdregError(f"seed {twice['seed'].iloc[0]} comes twice in one setting: {folders}")
    return rows.set_index("seed")[metric].sort_index()


def _hashable(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, (list, dict)) else value


def read_measured(path: Path) -> dict[str, Any]:
    """A job's measurements of a run; LdregError when the file is missing (naming those there) or broken."""
    if path.is_file():
        return read_json(path)
    if not path.parent.is_dir():
        raise LdregError(f"{path}: not measured yet; there is no folder {path.parent}")
    there = ", ".join(sorted(entry.name for entry in path.parent.iterdir())) or "nothing"
    raise LdregError(f"{path}: not measured yet; the folder holds {there}")


def _measured(folder: Path, metric: str, settings: Settings) -> float:
    """One number of one run; see `load_runs`."""
    if metric in ("linear_top1", "linear_top5", "knn_top1"):
        source, key = metric.split("_")
        path = folder / (LINEAR_FILES[settings.linear] if source == "linear" else f"{source}.json")
        return finite_number(path, read_measured(path), key)
    path = folder / "dimensionality.json"
    content = read_measured(path)
    if metric == "effective_rank":
        return finite_number(path, content.get("effective_rank", {}), settings.effective_rank)
    if metric == "rankme":
        return finite_number(path, content, "rankme")
    wanted = settings.mlid.model_dump()
    entries = content.get("lid", [])
    for entry in entries:
        if all(entry[key] == value for key, value in wanted.items()):
            return finite_number(path, entry, "mlid")
    there = "; ".join(_lid_words(entry) for entry in entries) or "nothing"
    raise LdregError(f"{path}: lid: no entry with {_lid_words(wanted)}; there is {there}")


def _lid_words(entry: dict[str, Any]) -> str:
    rows = "null" if entry["batch_rows"] is None else entry["batch_rows"]
    return f"estimator {entry['estimator']}, k {entry['k']}, batch_rows {rows}"


def finite_number(path: Path, content: dict[str, Any], key: str) -> float:
    """`content[key]`; LdregError, naming `path`, when it is no finite number."""
    value = content.get(key)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LdregError(f"{path}: {key}: no finite number ({value}); the keys are {', '.join(content)}")
    return float(value)


def describe(frame: pd.DataFrame) -> str:
    """The runs in one line: data, encoder, epochs, batch size and seeds, for captions and notes."""
    word = {key: both(frame[key]) for key in ("dataset", "image_size", "backbone", "epochs", "batch_size")}
    images = both(value if present(value) else "all" for value in frame["train_images"])
    settings = [str(values) for values in frame[setting_keys(frame)].itertuples(index=False)]
    counts = frame["seed"].groupby(settings).nunique()
    fewest = f"{counts.min()} to " if counts.min() < counts.max() else ""
    return (
        f"{word['dataset']} ({images} training images, {word['image_size']} pixels wide), "
        f"{word['backbone']}, {word['epochs']} epochs, batch size {word['batch_size']}, "
        f"{fewest}{seeds(frame['seed'].nunique())} ({listed(sorted(frame['seed']))})" + _imported(frame)
    )


def _imported(frame: pd.DataFrame) -> str:
    """Words for the encoders that were not trained here, whose specs say nothing of epochs and batches."""
    paths = [Path(folder) / "summary.json" for folder in frame["folder"]]
    files = [read_measured(path).get("imported", {}).get("file") for path in paths if path.is_file()]
    names = [name for name in files if name]
    return (
        f"; {len(names)} of {len(frame)} encoders imported ({listed(names)}), not trained here"
        if names
        else ""
    )
