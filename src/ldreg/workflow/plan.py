"""The plan of a scale before anything runs: jobs, hours and disk."""

import statistics
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.measurements import MEASUREMENTS, PRETRAINED
from ldreg.config.result_paths import run_folder
from ldreg.config.run_spec import RunSpec
from ldreg.files import read_json
from ldreg.workflow.inputs import files_of_runs
from ldreg.workflow.scale import Scale


@dataclass(frozen=True)
class Kind:
    """Jobs of one kind: their number, the GPUs or cores of each, and its hours, if they are known."""

    name: str
    count: int
    units: int
    hours: float | None


def plan(path: Path, results: Path) -> str:
    """The plan of the scale file `path` as text.

    Hours come from the scale's finished runs in `results` if there are any, and otherwise from its `cost`.

    Raises:
        LdregError: a mistake in the configuration.
    """
    scale = Scale.read(path)
    cost, execution = scale.content.cost, scale.content.execution
    usual = scale.usual_epochs
    finished = _finished(scale, results)
    hours, source = cost.pretrain_hours, cost.source
    timed = [each for each in finished if "wall_seconds" in each]  # imported runs have no time of their own
    if timed:
        hours = statistics.median(each["wall_seconds"] / each["epochs"] for each in timed) * usual / 3600
        where = results / scale.name
        source = f"pretraining: median of {len(timed)} finished runs in {where}; rest: {source}"
    runs = sum(spec.epochs / usual for spec in scale.runs.values())
    unit, units = ("GPU", execution.gpus) if execution.gpus else ("core", execution.threads)
    units *= execution.nodes
    pretraining = runs * hours * units
    kinds = _kinds(scale, results, units)
    known = [kind for kind in kinds if kind.hours is not None]
    total = pretraining + sum(kind.count * kind.units * kind.hours for kind in known)
    counted = "".join(
        f" + {_number(kind.count * kind.units * kind.hours)} {kind.name}"
        f" ({kind.count} x {_number(kind.hours)} h x {kind.units})"
        for kind in known
    )
    others = [f"{kind.count} {kind.name}" for kind in kinds if kind.hours is None]
    without = ", ".join([*others, f"{len(scale.exhibits)} exhibits", "fetching data"])
    seeds = len({spec.seed for spec in scale.runs.values()})
    longest = max(map(scale.hours_of, scale.runs), default=execution.hours)
    sliced = "" if execution.slot is None else f", in slots of at most {_number(execution.slot)} h"
    checkpoint = max(map(_checkpoint_gb, scale.runs.values()), default=0.0)
    lines = [
        f"{scale.name} ({scale.file}): exhibits {', '.join(scale.exhibits)}",
        f"  runs         {len(scale.runs)} to pretrain and to measure, {seeds} seed(s);"
        f" {len(finished)} pretrained already",
        f"  {unit + '-hours':<12} {_number(pretraining)} pretraining ({_number(runs)} times {usual} epochs"
        f" x {_number(hours)} h x {units}){counted} = {_number(total)}",
        f"               not in it: {without}",
        f"               {source}",
        f"  time limit   {_number(execution.hours)} h a job,"
        f" of a pretraining at most {_number(longest)} h{sliced}",
        f"  disk         {_number(_encoders_gb(scale))} GB of encoders,"
        f" about {_number(2 * checkpoint)} GB of checkpoints for each pretraining that runs,"
        f" and {_number(cost.dataset_gb)} GB of data to pretrain on in {execution.data}/",
    ]
    return "\n".join(lines)


def _kinds(scale: Scale, results: Path, units: int) -> list[Kind]:
    """All measurements, each with the number of runs for which an exhibit reads its files."""
    read = {found for name in scale.exhibits for found in files_of_runs(results, scale, name)}
    datasets = len(scale.content.transfer.datasets) if scale.content.transfer else 0
    kinds = []
    for measurement in MEASUREMENTS.values():
        measured = {run for run, name in read if measurement.writes(name)}
        kinds.append(
            Kind(
                measurement.label.format(datasets=datasets),
                len(scale.runs if measurement.for_every_run else measured),
                units if measurement.runs_like_pretraining else min(units, 1),
                getattr(scale.content.cost, measurement.cost) if measurement.cost else None,
            )
        )
    return [kind for kind in kinds if kind.count]


def _finished(scale: Scale, results: Path) -> list[dict[str, Any]]:
    """Summaries of the runs that were pretrained with the scale's current settings."""
    found = []
    for run, spec in scale.runs.items():
        folder = run_folder(results, scale.name, run)
        if all((folder / name).is_file() for name in PRETRAINED):
            summary = read_json(folder / "summary.json")
            found += [summary] if summary["spec_hash"] == spec.hash else []
    return found


def _encoders_gb(scale: Scale) -> float:
    """Size of all encoders."""
    return sum(BACKBONES[spec.backbone].encoder_bytes for spec in scale.runs.values()) / 1e9


def _checkpoint_gb(spec: RunSpec) -> float:
    """Size of a checkpoint of a pretraining; there are two while the new one is read back.

    It holds the trained networks, their momentum copies, what the optimiser keeps of each weight, and the
    monitors' latest representations. Heads are counted for representations of 2048 dimensions, which no
    encoder exceeds; MAE's decoder is left out.
    """
    widths = (2048, *(spec.projector or ()), *(spec.predictor or ()))
    heads = 4 * sum(first * second for first, second in pairwise(widths))
    trained = BACKBONES[spec.backbone].encoder_bytes + heads
    buffers = 2 if spec.optimizer == "adamw" else 1
    return (trained * (1 + buffers + (spec.momentum is not None)) + 4 * 2048 * 4096) / 1e9


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
