"""Kills at random moments, each followed by the same command again."""

import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from folder import Folder


@dataclass(frozen=True)
class Kind:
    """A kind of job to kill: its command, what it makes, and the targets that make it again."""

    command: str
    removed: tuple[str, ...]
    targets: tuple[str, ...]


_RUNS = ("simclr-small_cnn/none/seed0", "simclr-small_cnn/ldreg_l1-beta0.1-k8/seed0")
EXHIBITS = ("table1_simclr", "figure5")


def _of_runs(*names: str) -> tuple[str, ...]:
    return tuple(f"results/faults/runs/{run}/{name}" for run in _RUNS for name in names)


_PRETRAINED = ("encoder.safetensors", "history.csv", "summary.json")
_MEASURED = ("dimensionality.json", "knn.json", "linear.json")
KINDS = {
    "pretraining": Kind(
        "ldreg pretrain", tuple(f"runs/**/{name}" for name in _PRETRAINED), _of_runs(_PRETRAINED[0])
    ),
    "measuring": Kind(
        "ldreg measure", tuple(f"runs/**/{name}" for name in _MEASURED), _of_runs(_MEASURED[0])
    ),
    "detection": Kind("ldreg detect", ("runs/**/detection.json",), _of_runs("detection.json")),
    "rendering": Kind("ldreg exhibit", tuple(f"exhibits/{name}.[!s]*" for name in EXHIBITS), EXHIBITS),
}
KINDS["snakemake"] = Kind(
    "bin/snakemake", tuple(pattern for kind in KINDS.values() for pattern in kind.removed), ("all",)
)
# What dies: the job alone; Snakemake alone, which leaves its jobs running; both, as when a machine goes down.
VICTIMS = ("job", "snakemake", "machine")


@dataclass
class Kill:
    """One kill, and what came of it."""

    kind: str
    victim: str
    after_seconds: float
    half: list[str]  # outputs that were there after the kill, but not whole
    again_seconds: float
    equal: bool
    wrong: list[str]
    tracking: list[str]


class Campaign:
    """Kills over a finished folder, whose results each trial must come to again."""

    def __init__(self, reference: Folder, scratch: Path, seed: int) -> None:
        self.reference, self.scratch = reference, scratch
        self.expected = reference.contents()
        self.random = random.Random(seed)
        self.longest: dict[str, float] = {}

    def kills(self, number: int) -> Iterator[dict[str, Any]]:
        """The kinds and victims by turns, the moments at random; a moment after the end is drawn again."""
        detects = "exhibits/table3.csv" in self.expected
        kinds = [kind for kind in KINDS if detects or kind != "detection"]
        for index in range(number):
            kind, victim = kinds[index % len(kinds)], VICTIMS[sum(divmod(index, len(kinds))) % len(VICTIMS)]
            if kind == "snakemake" and victim == "job":
                victim = "snakemake"
            while (kill := self._trial(kind, victim, index)) is None:
                pass
            yield asdict(kill)

    def _trial(self, kind: str, victim: str, index: int) -> Kill | None:
        what = KINDS[kind]
        folder = self.reference.copy(self.scratch / f"kill{index}-{time.monotonic_ns()}")
        folder.remove(*what.removed)
        process = folder.start(*what.targets)
        if not _appears(folder, what.command, process):
            raise RuntimeError(f"{kind}: its job did not start: {folder.finish(process).told}")
        began = time.monotonic()
        delay = self.random.uniform(0.0, self.longest.get(kind, 6.0))
        while time.monotonic() < began + delay and process.poll() is None:
            time.sleep(0.01)
        alive = folder.processes(what.command)
        if not alive or process.poll() is not None:
            self.longest[kind] = max(0.7 * delay, 0.3)
            folder.finish(process)
            return None
        if victim == "job":
            folder.kill(alive[:1])
            folder.finish(process)
        elif victim == "snakemake":
            folder.kill([process.pid])
        else:
            folder.kill([*folder.processes(), process.pid])
        process.wait()
        left = folder.contents()
        half = [
            name for name, value in left.items() if name in self.expected and value != self.expected[name]
        ]
        outcome = folder.again(*what.targets)
        wrong = self._wrong(folder, outcome.told if outcome.code else "")
        return Kill(
            kind,
            victim,
            round(delay, 2),
            half,
            round(outcome.seconds, 1),
            not wrong,
            wrong,
            doubled(folder),
        )

    def _wrong(self, folder: Folder, told: str) -> list[str]:
        """What is not as in the undisturbed folder, by name."""
        wait_for_orphans(folder)
        found = folder.contents()
        names = sorted(self.expected.keys() | found.keys())
        wrong = [name for name in names if self.expected.get(name) != found.get(name)]
        return wrong + ([told[-2000:]] if told else [])


def wait_for_orphans(folder: Folder, seconds: float = 120.0) -> None:
    """Jobs whose Snakemake was killed may still be writing."""
    end = time.monotonic() + seconds
    while folder.processes("ldreg ") and time.monotonic() < end:
        time.sleep(0.1)


def doubled(folder: Folder, database: Path | None = None) -> list[str]:
    """What is wrong in MLflow: steps twice, runs that never end, several current runs of one name."""
    runs = folder.tracked(database)
    wrong = [f"{run['name']}: a step twice" for run in runs if len(run["steps"]) != len({*run["steps"]})]
    wrong += [f"{run['name']}: still {run['status']}" for run in runs if run["status"] == "RUNNING"]
    current = [run["name"] for run in runs if not run["superseded"] and run["status"] == "FINISHED"]
    return wrong + [
        f"{name}: {current.count(name)} current runs" for name in {*current} if current.count(name) > 1
    ]


def _appears(folder: Folder, command: str, process: Any) -> bool:
    while process.poll() is None:
        if folder.processes(command):
            return True
        time.sleep(0.01)
    return False
