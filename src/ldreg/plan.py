"""What a scale needs before anything of it runs: jobs, hours and disk."""

import statistics
from pathlib import Path
from typing import Any

from ldreg.files import read_json
from ldreg.inputs import PRETRAINED, run_folder
from ldreg.networks import build_backbone
from ldreg.scale import Scale


def plan(path: Path, results: Path) -> str:
    """The plan of the scale file `path` as text.

    Hours come from the scale's own finished runs in `results` if there are any, else from its `cost`.

    Raises:
        LdregError: a mistake in the configuration.
    """
    scale = Scale.read(path)
    cost, execution = scale.content.cost, scale.content.execution
    # `cost` is of a run with the scale's own number of epochs; others take as much longer.
    usual = scale.content.run.get("epochs") or next(iter(scale.runs.values())).epochs
    finished = _finished(scale, results)
    hours, source = cost.pretrain_hours, cost.source
    timed = [each for each in finished if "wall_seconds" in each]  # imported runs have no time of their own
    if timed:
        hours = statistics.median(each["wall_seconds"] / each["epochs"] for each in timed) * usual / 3600
        where = results / scale.name
        source = f"pretraining: median of {len(timed)} finished runs in {where}; rest: {source}"
    runs = sum(spec.epochs / usual for spec in scale.runs.values())
    count = len(scale.runs)
    unit, units = ("GPU", execution.gpus) if execution.gpus else ("core", execution.threads)
    units *= execution.nodes
    pretraining = runs * hours * units
    measuring = count * cost.measure_hours * min(units, 1)
    seeds = len({spec.seed for spec in scale.runs.values()})
    lines = [
        f"{scale.name} ({scale.file}): exhibits {', '.join(scale.exhibits)}",
        f"  runs         {count} to pretrain and to measure, {seeds} seed(s);"
        f" {len(finished)} pretrained already",
        f"  {unit + '-hours':<12} {_number(pretraining)} pretraining ({_number(runs)} times {usual} epochs"
        f" x {_number(hours)} h x {units})"
        f" + {_number(measuring)} measuring = {_number(pretraining + measuring)}",
        f"               {source}",
        f"  disk         {_number(_encoders_gb(scale))} GB of encoders"
        f" and {_number(cost.dataset_gb)} GB of data in {execution.data}/",
    ]
    return "\n".join(lines)


def _finished(scale: Scale, results: Path) -> list[dict[str, Any]]:
    """Summaries of the runs that have been pretrained as the scale now says."""
    found = []
    for run, spec in scale.runs.items():
        folder = run_folder(results, scale.name, run)
        if all((folder / name).is_file() for name in PRETRAINED):
            summary = read_json(folder / "summary.json")
            found += [summary] if summary["spec_hash"] == spec.hash else []
    return found


def _encoders_gb(scale: Scale) -> float:
    """Size of all encoders, from the networks themselves, made without memory."""
    import torch

    sizes = {}
    for backbone in {spec.backbone for spec in scale.runs.values()}:
        with torch.device("meta"):
            encoder, _ = build_backbone(backbone, channels=3)
        sizes[backbone] = sum(value.numel() * value.element_size() for value in encoder.state_dict().values())
    return sum(sizes[spec.backbone] for spec in scale.runs.values()) / 1e9


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
