"""The record of a short job, for which importing MLflow would take longer than the job itself.

The record is a small JSON file in the folder `records` beside the job's files. `ldreg track` logs it, and
then notes in it which MLflow run that is.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ldreg.files import read_keys, write_json
from ldreg.runtime.provenance import git_tags

FOLDER = "records"
_KEYS = ("kind", "name", "scale", "start", "end", "tags", "settings", "results", "files")


class JobRecord:
    """A job's record, written when its `with` block ends without an error.

    An earlier record of the same job is deleted when the block begins, so that a repeated job becomes an
    MLflow run of its own.

    Args:
        folder: where the job's files appear.
        kind: of the job, such as "tsne".
        name: what the MLflow run is called.
        scale: whose experiment it belongs to.
        part: distinguishes several records of one kind in the same folder.

    `tags` hold git_commit and git_dirty from the start. The block adds the names of the files that it wrote
    to `files`, the settings behind the results to `settings`, and numbers by name to `results`. A list of
    numbers is logged as the values of steps 0, 1, and so on.

    >>> with JobRecord(run_folder, "tsne", "simclr tsne", "demo") as record:  # doctest: +SKIP
    ...     record.files.append("tsne.csv")
    """

    def __init__(self, folder: Path, kind: str, name: str, scale: str, part: str = "") -> None:
        self.kind, self.name, self.scale = kind, name, scale
        self.tags: dict[str, Any] = git_tags()
        self.settings: dict[str, Any] = {}
        self.results: dict[str, float | list[float] | None] = {}
        self.files: list[str] = []
        self._path = folder / FOLDER / f"{kind}{f'-{part}' if part else ''}.json"

    def __enter__(self) -> Self:
        self._start = time.time()
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        if exception_type is not None:
            return
        times = {"start": int(self._start * 1000), "end": int(time.time() * 1000)}
        about = {"kind": self.kind, "name": self.name, "scale": self.scale, **times, "tags": self.tags}
        write_json(
            self._path, {**about, "settings": self.settings, "results": self.results, "files": self.files}
        )


def records_in(folder: Path) -> list[Path]:
    """The records of the jobs that wrote into `folder`."""
    return sorted((folder / FOLDER).glob("*.json"))


def read_record(path: Path) -> dict[str, Any]:
    """A record's keys and values; `mlflow` is among them once it has been logged.

    Raises:
        LdregError: the file is broken or lacks a key.
    """
    return read_keys(path, *_KEYS)


def note_run(path: Path, entry: Mapping[str, Any]) -> None:
    """Write into a record which MLflow run (uri, experiment, run_id, complete) logs it."""
    write_json(path, {**read_record(path), "mlflow": dict(entry)})


def files_of(path: Path, record: Mapping[str, Any]) -> list[Path]:
    """The job's files that a record names."""
    return [path.parents[1] / name for name in record["files"]]
