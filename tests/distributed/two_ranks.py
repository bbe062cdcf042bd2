"""What `test_two_ranks.py` runs under torchrun: `two_ranks.py FOLDER DATASET_JSON`.

Trains each `equivalence/*.yaml` of the folder in one process (half of them in each of the two, before they
meet) and then on both ranks; keeps the results in `equivalence/{one,rank,cached}{0,1}.pt`. Then does the
whole job of `job/spec.yaml` and times a step of `timed/spec.yaml`.
"""

import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch
from norm_free import build_norm_free, float64_batches, float_keeping_float64
from torch import nn

import ldreg.jobs.pretrain
import ldreg.jobs.shared
import ldreg.jobs.step_cost
import ldreg.runtime.resumption
import ldreg.training.pretrain
import ldreg.training.step_cost
from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec, read_spec
from ldreg.data.batches import batches
from ldreg.data.datasets import ImageData, load
from ldreg.methods import build_method
from ldreg.runtime.checkpoint import Checkpoint
from ldreg.runtime.distributed import process_group, rank
from ldreg.runtime.resumption import Resumption

CPU = torch.device("cpu")
RESUMED = "simclr-ldreg_l1"  # the case whose training is interrupted


def main(folder: Path, dataset: Path) -> None:
    torch.Tensor.float = float_keeping_float64
    equivalence = folder / "equivalence"
    specs = {path.stem: read_spec(path)[1] for path in sorted(equivalence.glob("*.yaml"))}
    data = {name: load("digits", dataset.parent.parent, spec.train_images) for name, spec in specs.items()}
    number = int(os.environ["RANK"])
    one = {name: train(specs[name], data[name], CPU) for name in list(specs)[number::2]}
    torch.save(one, equivalence / f"one{number}.pt")
    ldreg.runtime.resumption._AGREE = 0.0  # the ranks agree after every step
    if number == 0:
        interrupted(folder / "one-two", specs[RESUMED], data[RESUMED], CPU)
    with process_group(gpus=0) as device:
        found = {name: train(spec, data[name], device) for name, spec in specs.items()}
        torch.save(found, equivalence / f"rank{rank()}.pt")
        # 16 images on each rank, in parts of 10 and 6.
        cached = {name: train(spec, data[name], device, micro_batch=10) for name, spec in specs.items()}
        torch.save(cached, equivalence / f"cached{rank()}.pt")
        for name in ("two-two", "two-one"):
            interrupted(folder / name, specs[RESUMED], data[RESUMED], device)
        resumed = {name: go_on(folder / name, specs, data, device) for name in ("two-two", "one-two")}
        torch.save(resumed, folder / f"resumed{rank()}.pt")
        ldreg.training.pretrain.build_method, ldreg.training.pretrain.batches = build_method, batches
        ldreg.jobs.pretrain.Tracker = NoTracker
        # Processes meet once: a second group would look for the first one's addresses.
        ldreg.jobs.shared.process_group = lambda gpus: nullcontext(device)
        with (folder / "terminal.txt").open("a") as terminal:
            ldreg.jobs.pretrain.pretrain_job(folder / "job/spec.yaml", dataset, Execution(), folder, terminal)
        ldreg.training.step_cost.BUDGET = float(rank())  # the ranks would take different numbers of steps
        ldreg.jobs.step_cost.step_cost_job(folder / "timed/spec.yaml", dataset, Execution())
    if number == 0:  # the group is closed: one process goes on with what two have begun
        torch.save({"two-one": go_on(folder / "two-one", specs, data, CPU)}, folder / "resumed.pt")


class Interrupted(Exception):
    pass


def interrupted(folder: Path, spec: RunSpec, data: ImageData, device: torch.device) -> None:
    """A training that is saved after each step and ends after the third of its four."""
    checkpoint = Checkpoint(folder, "pretrain", {"spec": spec.hash})
    resumption = Resumption(checkpoint, device, minutes=1e-9)
    after_step = resumption.after_step

    def stopping(step: int, *arguments: Any) -> None:
        after_step(step, *arguments)
        if step == 3:
            raise Interrupted

    resumption.after_step = stopping
    with suppress(Interrupted):
        train(spec, data, device, resumption)


def go_on(folder: Path, specs: dict[str, RunSpec], data: dict[str, ImageData], device: torch.device) -> Any:
    """The result of the training that was interrupted in `folder`, by the ranks that there are now."""
    checkpoint = Checkpoint(folder, "pretrain", {"spec": specs[RESUMED].hash})
    assert checkpoint.load()
    return train(specs[RESUMED], data[RESUMED], device, Resumption(checkpoint, device))


def train(
    spec: RunSpec,
    data: ImageData,
    device: torch.device,
    resumption: Resumption | None = None,
    **execution: Any,
) -> dict[str, Any]:
    """`pretrain` with networks in float64 and without norms; every rank's history, weights, last gradients.

    SyncBatchNorm does not run on a CPU, and without it batch norm would see half the batch on each rank.
    """
    built = []

    def build(spec: RunSpec, channels: int) -> nn.Module:
        built.append(build_norm_free(spec, channels))
        return built[-1]

    ldreg.training.pretrain.build_method = build
    ldreg.training.pretrain.batches = float64_batches(batches)
    _, history = ldreg.training.pretrain.pretrain(
        spec, data, Execution(**execution), device, lambda row: None, None, resumption
    )
    # The time, what rank 0 alone measures, and what each rank standardises by its own rows.
    own = ("images_per_second", "knn_top1", "probe_top1")
    trained = {name: p.grad for name, p in built[0].named_parameters() if p.requires_grad}
    return {
        "history": [{k: v for k, v in row.items() if k not in own and v is not None} for row in history],
        "weights": built[0].state_dict(),
        "gradients": trained,
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
