"""Pretrain a run: from its spec and its data to the encoder and the history of its training."""

import csv
import platform
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
from safetensors.torch import save_file
from torch import nn

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec
from ldreg.data.datasets import ImageData
from ldreg.data.decode import CorruptImages
from ldreg.data.folder import ImageFiles
from ldreg.files import replacing, write_json
from ldreg.jobs.shared import data_tags, images_of, on_device, open_run, resumable, trained_as
from ldreg.runtime.advice import advice
from ldreg.runtime.console import Progress, say
from ldreg.runtime.distributed import device_name, rank, world_size
from ldreg.runtime.provenance import versions
from ldreg.runtime.slices import WHOLE, Slot
from ldreg.tracking import Tracker

if TYPE_CHECKING:
    from ldreg.training.pretrain import HistoryRow


def pretrain_job(
    spec_path: Path,
    data: Path,
    execution: Execution,
    results: Path,
    terminal: TextIO,
    slot: Slot = WHOLE,
) -> None:
    """Train the run of `spec_path`; writes encoder.safetensors, history.csv and summary.json beside it.

    If the job was interrupted, it goes on from its last checkpoint (`ldreg.runtime.checkpoint`).

    Args:
        data: dataset.json of the run's data set.
        results: the folder that all scales share.
        terminal: receives the progress, even where all other output goes to a log.
        slot: the time that the job has.

    Raises:
        LdregError: if the attempt before failed, or in the cases of `pretrain`.
        SliceEnded: if the job ended itself with a checkpoint.
    """
    # These are imported here because the methods' libraries take seconds, which other jobs need not spend.
    from ldreg.training.pretrain import pretrain

    run, spec, spec_path = open_run(spec_path)
    images, corrupt = images_of(spec, data), CorruptImages(execution.corrupt_images)
    folder = spec_path.parent
    identity = _identity(spec, images, execution)
    with (
        on_device(execution) as device,
        resumable(results / spec.scale, "pretrain", identity, execution, device, slot) as resumption,
    ):
        if rank() != 0:
            pretrain(spec, images, execution, device, lambda row: None, corrupt, resumption)
            return
        in_files = isinstance(images.train.images, ImageFiles)
        share = spec.batch_size // world_size()
        how = (execution.precision, execution.threads, execution.workers, execution.micro_batch)
        for line in advice(device, *how, share, in_files):
            say(terminal, line)
        progress = Progress(terminal, run, spec.epochs, resumption.checkpoint.seconds)
        with Tracker(folder, "pretrain", results, data_tags(images), resumption.resumed) as tracker:

            def log(row: "HistoryRow") -> None:
                values = {key: value for key, value in row.items() if key != "epoch"}
                tracker.log(values, int(row["epoch"] or 0))

            def on_epoch(row: "HistoryRow") -> None:
                progress(row)
                log(row)

            for row in resumption.checkpoint.history:
                log(row)
            encoder, history = pretrain(spec, images, execution, device, on_epoch, corrupt, resumption)
            corrupt.warn_of_total()
            summary = _summary(run, spec, images, execution, device, history, resumption.checkpoint.seconds)
            summary |= {"corrupt_images": len(corrupt.reasons)}
            _write(folder, encoder, history, summary)


def _identity(spec: RunSpec, images: ImageData, execution: Execution) -> dict[str, Any]:
    """All on which the result depends, beyond rounding that differs between machines and numbers of ranks."""
    keys = ("precision", "micro_batch", "accumulation", "monitors")
    return {
        "spec": spec.hash,
        "data": images.digest,
        **{key: getattr(execution, key) for key in keys},
    }


def _write(folder: Path, encoder: nn.Module, history: "list[HistoryRow]", summary: dict[str, Any]) -> None:
    """The files of a finished pretraining; summary.json comes last."""
    with replacing(folder / "encoder.safetensors") as temporary:
        weights = {key: value.cpu().contiguous() for key, value in encoder.state_dict().items()}
        save_file(weights, temporary)
    with replacing(folder / "history.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, history[0])
        writer.writeheader()
        writer.writerows(history)
    write_json(folder / "summary.json", summary)


def _summary(
    run: str,
    spec: RunSpec,
    images: ImageData,
    execution: Execution,
    device: torch.device,
    history: "list[HistoryRow]",
    seconds: float,
) -> dict[str, Any]:
    """The time, machine and memory of the run; no result depends on them."""
    return {
        "scale": spec.scale,
        "run": run,
        "spec_hash": spec.hash,
        "dataset": spec.dataset,
        **data_tags(images),
        "wall_seconds": seconds,
        "images_per_second": statistics.median(row["images_per_second"] or 0.0 for row in history),
        "epochs": spec.epochs,
        "steps": spec.epochs * (len(images.train.images) // spec.batch_size),
        "device": device_name(device),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        **trained_as(execution),
        "versions": {"python": platform.python_version(), **versions()},
        "final": history[-1],
    }
