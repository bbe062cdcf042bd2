"""A working folder in which the workflow runs, its processes, and its results apart from their times."""

import csv
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "workflow", "config", "profiles", "environment.yml")
SCALE = Path(__file__).with_name("scale.yaml")
# Of results, what depends on the machine and the hour; everything else is compared to the last bit.
TIMES = ("seconds", "images_per_second", "hours", "git_", "versions", "device", "time", "resumed", "slots")
# What is a record of how jobs went, and no result.
RECORDS = ("logs", "records", "checkpoints", "tracked", "mlflow.json", "set_aside")


@dataclass
class Outcome:
    """How a call of Snakemake has ended."""

    code: int
    told: str
    seconds: float


class Folder:
    """A copy of the workflow with the scale of this campaign (or another one) as its configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def fresh(cls, path: Path, scale: Path = SCALE) -> "Folder":
        """A folder in which nothing has run."""
        path.mkdir(parents=True)
        for name in COPIED:
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, path / name)
        shutil.copy2(scale, path / "scale.yaml")
        return cls(path)

    def copy(self, path: Path) -> "Folder":
        """The same at another place, with the times of its files and Snakemake's records."""
        shutil.copytree(self.path, path)
        return Folder(path)

    @property
    def results(self) -> Path:
        """The scale's results."""
        return self.path / "results/faults"

    def start(self, *arguments: str, prefix: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
        """`snakemake` with these arguments, in a session of its own; it writes into a log of its own."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        options = ["--cores", "2", "--configfile", "scale.yaml"]
        with (self.path / f"told-{time.monotonic_ns()}.txt").open("w") as told:
            process = subprocess.Popen(
                [*prefix, "snakemake", *arguments, *options],
                cwd=self.path,
                env=kept | environment,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                text=True,
                start_new_session=True,
            )
        process.told = Path(told.name)  # type: ignore[attr-defined]
        process.began = time.monotonic()  # type: ignore[attr-defined]
        return process

    def finish(self, process: subprocess.Popen[str], seconds: float = 1200.0) -> Outcome:
        """Wait for a started Snakemake."""
        code = process.wait(seconds)
        told = process.told.read_text()  # type: ignore[attr-defined]
        return Outcome(code, told, time.monotonic() - process.began)  # type: ignore[attr-defined]

    def run(self, *arguments: str, prefix: Sequence[str] = (), **environment: str) -> Outcome:
        """`snakemake` with these arguments, to its end."""
        return self.finish(self.start(*arguments, prefix=prefix, **environment))

    def again(self, *arguments: str, **environment: str) -> Outcome:
        """What a user does after an accident: the same again, after `ldreg unlock` where it is locked."""
        outcome = self.run(*arguments, **environment)
        if outcome.code and "--unlock" in outcome.told:
            self.ldreg("unlock")
            outcome = self.run(*arguments, **environment)
        return outcome

    def ldreg(self, *arguments: str, **environment: str) -> None:
        """`ldreg` with these arguments, which must succeed."""
        command = [Path(sys.executable).with_name("ldreg"), *arguments]
        subprocess.run(
            command, cwd=self.path, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL
        )

    def remove(self, *patterns: str) -> None:
        """Remove results, as if their jobs had never run."""
        for pattern in patterns:
            for path in self.results.glob(pattern):
                path.unlink()

    def contents(self) -> dict[str, str]:
        """The digest of each result, without times; of a file that cannot be read, what is wrong with it.

        Files whose name begins with a dot are no results: a kill may leave the temporary file of an output.
        """
        paths = (path for path in self.results.rglob("*") if path.is_file())
        found = {str(path.relative_to(self.results)): path for path in sorted(paths)}
        return {
            name: _digest(path)
            for name, path in found.items()
            if not {*Path(name).parts} & {*RECORDS} and not Path(name).name.startswith(".")
        }

    def processes(self, command: str = "") -> list[int]:
        """The processes of this folder whose command line has `command`: `ldreg measure`, for example."""
        return [pid for pid, line in _commands(self.path) if command in line]

    def kill(self, pids: list[int]) -> None:
        """SIGKILL, which no process can answer."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def tracked(self, database: Path | None = None) -> list[dict[str, Any]]:
        """The MLflow runs: name, status, whether a later one took their place, the steps of their loss."""
        database = database or self.path / "results/mlflow.db"
        if not database.is_file():
            return []
        with closing(sqlite3.connect(database)) as opened:
            opened.row_factory = sqlite3.Row
            runs = opened.execute("select run_uuid, name, status from runs where lifecycle_stage = 'active'")
            return [_tracked_run(opened, dict(run)) for run in runs.fetchall()]


def _tracked_run(database: sqlite3.Connection, run: dict[str, Any]) -> dict[str, Any]:
    key = run.pop("run_uuid")
    tags = dict(database.execute("select key, value from tags where run_uuid = ?", (key,)).fetchall())
    steps = database.execute("select step from metrics where run_uuid = ? and key = 'loss'", (key,))
    superseded = tags.get("superseded", "false").lower() == "true"
    return {**run, "superseded": superseded, "steps": [step for (step,) in steps]}


def _commands(folder: Path) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # Not the shells that Snakemake starts: they wait for the job.
            if Path(os.readlink(entry / "cwd")) == folder and "sh" not in os.readlink(entry / "exe")[-4:]:
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended
            continue


def _digest(path: Path) -> str:
    try:
        if path.suffix == ".json":
            content = json.dumps(_timeless(json.loads(path.read_text())), sort_keys=True).encode()
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                content = json.dumps(_timeless(list(csv.DictReader(file)))).encode()
        elif path.name == "index.html":  # it shows how long all runs were trained
            lines = path.read_text().splitlines()
            content = "\n".join(line for line in lines if "Training time" not in line).encode()
        else:
            content = path.read_bytes()
    except ValueError as error:
        return f"not whole: {error}"
    return hashlib.sha256(content).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if not any(part in key for part in TIMES)}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
