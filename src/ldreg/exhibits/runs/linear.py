"""The linear accuracy of runs by one protocol or the other: where it stands and how it was measured."""

from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.catalogue.measurements import LINEAR_FILES
from ldreg.exhibits.output.labels import both
from ldreg.exhibits.runs.run_table import read_measured

# What a linear evaluation is, by its `protocol`.
PROTOCOLS = {
    "cached": " (a linear classifier on stored representations, without crops, whose learning rate is chosen "
    "on a hold-out of the training split)",
    "paper": " (a linear classifier that is trained on random crops of the training images with LARS, and "
    "tested after its last epoch)",
}


def read_linear(folder: Path, protocol: str) -> dict[str, Any]:
    """What a protocol measured of a run; LdregError where it did not."""
    return read_measured(folder / LINEAR_FILES[protocol])


def linear_protocol(frame: pd.DataFrame, protocol: str) -> str:
    """How the linear accuracies of the runs were measured and how the paper's were, for notes."""
    probes = [read_linear(Path(folder), protocol) for folder in frame["folder"]]
    kinds = dict.fromkeys(probe["protocol"] for probe in probes)
    ours = " and ".join(f"protocol {kind}{PROTOCOLS.get(kind, '')}" for kind in kinds)
    details = _of_paper(probes) if protocol == "paper" else _of_cached(probes)
    return f"Linear accuracy is measured by {ours}. {details}"


def _of_cached(probes: list[dict[str, Any]]) -> str:
    edge = sum(probe["at_grid_edge"] for probe in probes)
    warning = (
        f" In {edge} of {len(probes)} runs the rate is the lowest or highest that was tried." if edge else ""
    )
    return f"The paper trains on random crops with LARS.{warning}"


def _of_paper(probes: list[dict[str, Any]]) -> str:
    epochs, batch, rate = (
        both(probe[key] for probe in probes) for key in ("epochs", "batch_size", "base_lr")
    )
    return (
        f"Here it takes {epochs} epochs in batches of {batch} at base rate {rate}; Table 9 shows the paper's"
        " settings beside these. The authors' code also tells the best test epoch, which is not shown here."
    )
