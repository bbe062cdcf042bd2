"""Compute the points in the plane of Figures 1 and 3, which need no networks."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from ldreg.config.result_paths import asked
from ldreg.files import read_keys, write_text
from ldreg.plane.experiments import figure1, figure3
from ldreg.tracking import JobRecord


def synthetic_job(figure: str, seeds: Sequence[int], output: Path) -> None:
    """Write the JSON of "figure1" or "figure3": {"figure", "seeds", "k", ..., "panels": {name: panel}}.

    A panel holds the "points" of the first seed, which are drawn, and each number as a list over the seeds
    (`mlid_over_k`: a list of lists). Equal seeds give equal files.

    Args:
        output: lies in the folder of exhibits. If the scale declares the figure, the job leaves a record.
    """
    torch.set_num_threads(1)  # sums in another order would be rounded differently
    compute = {"figure1": figure1, "figure3": figure3}[figure]
    spec = asked(output.with_name(f"{figure}.spec.yaml"))
    with _record(figure, spec, output.parent) if spec.is_file() else nullcontext() as record:
        content = compute(seeds)
        write_text(output, json.dumps(content, allow_nan=False) + "\n")
        if record:
            record.files.append(output.name)
            record.settings |= {key: value for key, value in content.items() if key != "panels"}
            record.results |= _results(content["panels"])


def _record(figure: str, spec: Path, folder: Path) -> JobRecord:
    scale = read_keys(spec, "scale")["scale"]
    record = JobRecord(folder, "synthetic", f"{figure} synthetic", scale, part=figure)
    record.tags["exhibit"] = figure
    return record


def _results(panels: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """The numbers of all panels, each as a list over the seeds; curves and points stay in the file."""
    return {
        f"{name}_{key}": values
        for name, panel in panels.items()
        for key, values in panel.items()
        if not isinstance(values[0], list)
    }
