"""What `test_two_ranks.py` runs under torchrun: `two_ranks.py FOLDER DATASET_JSON`.

Trains each `equivalence/*.yaml` of the folder on the ranks and, before, in one process; keeps the results in
`equivalence/{one,rank0,rank1}.pt`. Then does the whole job of `job/spec.yaml`.
"""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ldreg.jobs
import ldreg.pretrain
from ldreg.config import Execution
from ldreg.data.datasets import ImageData, load
from ldreg.distributed import process_group, rank
from ldreg.methods import build_method
from ldreg.spec import RunSpec, read_spec

CPU = torch.device("cpu")


def main(folder: Path, dataset: Path) -> None:
    float64_stays_float64()
    equivalence = folder / "equivalence"
    specs = {path.stem: read_spec(path)[1] for path in sorted(equivalence.glob("*.yaml"))}
    data = {name: load("digits", dataset.parent.parent, spec.train_images) for name, spec in specs.items()}
    one = {name: train(spec, data[name], CPU) for name, spec in specs.items()}
    torch.save(one, equivalence / "one.pt")
    with process_group(gpus=0) as device:
        found = {name: train(spec, data[name], device) for name, spec in specs.items()}
        torch.save(found, equivalence / f"rank{rank()}.pt")
        ldreg.pretrain.build_method = build_method
        ldreg.jobs.Tracker = NoTracker
        # Processes meet once: a second group would look for the first one's addresses.
        ldreg.jobs.process_group = lambda gpus: nullcontext(device)
        with (folder / "terminal.txt").open("a") as terminal:
            ldreg.jobs.pretrain_job(folder / "job/spec.yaml", dataset, 0, 1, "float32", folder, terminal)


def float64_stays_float64() -> None:
    """Let `Tensor.float` leave float64 alone: rounding must not hide a difference between the two ways."""
    to_float32 = torch.Tensor.float
    torch.Tensor.float = lambda tensor: tensor if tensor.dtype == torch.float64 else to_float32(tensor)


def train(spec: RunSpec, data: ImageData, device: torch.device) -> dict[str, Any]:
    """`pretrain` with networks in float64 and without norms; every rank's history, weights, last gradients.

    SyncBatchNorm does not run on a CPU, and without it batch norm would see half the batch on each rank.
    """
    built = []

    def build(spec: RunSpec, channels: int) -> nn.Module:
        method = build_method(spec, channels).double()
        for parent in list(method.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                    setattr(parent, name, nn.Identity())
        method.encoder.register_forward_pre_hook(lambda module, views: (views[0].double(),))
        built.append(method)
        return method

    ldreg.pretrain.build_method = build
    _, history = ldreg.pretrain.pretrain(spec, data, Execution(), device, on_epoch=lambda row: None)
    own = ("images_per_second", "knn_top1")  # the time, and what rank 0 alone measures
    return {
        "history": [{key: value for key, value in row.items() if key not in own} for row in history],
        "weights": built[0].state_dict(),
        "gradients": {name: parameter.grad for name, parameter in built[0].named_parameters()},
    }


class NoTracker:
    """Stands for MLflow, which has tests of its own; leaves a file that says which rank tracks."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        folder.with_name(f"tracked_by_rank{rank()}").touch()

    def __enter__(self) -> "NoTracker":
        return self

    def __exit__(self, *arguments: Any) -> None:
        pass

    def log(self, metrics: dict[str, Any], step: int) -> None:
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
