"""The workflow's two long jobs: from the files of a run folder to more files there, tracked on the way."""

import csv
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from ldreg.config.run_spec import RunSpec, read_spec
from ldreg.config.scale_file import Evaluation, Execution
from ldreg.data.datasets import ImageData, load
from ldreg.data.decode import CorruptImages
from ldreg.errors import explain
from ldreg.evaluation.measure import measure
from ldreg.files import read_yaml, replacing, write_json
from ldreg.models.load import load_encoder, trained_weights
from ldreg.runtime.console import Progress
from ldreg.runtime.distributed import device_name, process_group, rank, world_size
from ldreg.tracking import Tracker, git_state

if TYPE_CHECKING:
    from ldreg.training.pretrain import Row


def pretrain_job(spec_path: Path, data: Path, execution: Execution, results: Path, terminal: TextIO) -> None:
    """Train the run of `spec_path`; writes encoder.safetensors, history.csv and summary.json beside it."""
    # Imported here: the method's libraries take seconds, which a measuring job need not spend.
    from ldreg.training.pretrain import pretrain

    run, spec = read_spec(spec_path)
    images, corrupt = _load(data, spec), CorruptImages(execution.corrupt_images)
    folder = spec_path.parent
    with process_group(execution.gpus) as device:
        torch.set_num_threads(max(1, execution.threads * execution.nodes // world_size()))
        if rank() != 0:
            pretrain(spec, images, execution, device, on_epoch=lambda row: None, corrupt=corrupt)
            return
        began = time.perf_counter()
        progress = Progress(terminal, run, spec.epochs)
        with Tracker(folder, "pretrain", results, _tags(images)) as tracker:

            def on_epoch(row: "Row") -> None:
                progress(row)
                tracker.log(
                    {key: value for key, value in row.items() if key != "epoch"}, int(row["epoch"] or 0)
                )

            encoder, history = pretrain(spec, images, execution, device, on_epoch, corrupt)
            corrupt.tell_total()
            summary = _summary(run, spec, images, execution, device, history, time.perf_counter() - began)
            summary |= {"corrupt_images": len(corrupt.reasons)}
            with replacing(folder / "encoder.safetensors") as temporary:
                save_file(
                    {key: value.cpu().contiguous() for key, value in encoder.state_dict().items()}, temporary
                )
            with replacing(folder / "history.csv") as temporary, temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, history[0])
                writer.writeheader()
                writer.writerows(history)
            write_json(folder / "summary.json", summary)


def measure_job(
    spec_path: Path,
    evaluation: Path,
    data: Path,
    execution: Execution,
    results: Path,
    terminal: TextIO,
) -> None:
    """Measure the run of `spec_path`; writes dimensionality.json, knn.json and linear.json beside it."""
    _, spec = read_spec(spec_path)
    torch.set_num_threads(execution.threads)
    settings = _read_evaluation(evaluation)
    folder = spec_path.parent
    weights = trained_weights(spec_path)
    images, corrupt = _load(data, spec), CorruptImages(execution.corrupt_images)
    tags = _tags(images)
    with process_group(execution.gpus) as device, Tracker(folder, "measure", results, tags):
        encoder = load_encoder(weights, spec, images.test.channels, device)
        measured = measure(encoder, images, spec.image_size, settings, device, execution.workers, corrupt)
        corrupt.tell_total()
        measured["dimensionality"] |= {key: tags[key] for key in ("git_commit", "git_dirty")}
        measured["dimensionality"]["corrupt_images"] = len(corrupt.reasons)
        for name, content in measured.items():
            write_json(folder / f"{name}.json", content)


def _tags(images: ImageData) -> dict[str, Any]:
    commit, dirty = git_state()
    return {"dataset_digest": images.digest, "git_commit": commit, "git_dirty": dirty}


def _read_evaluation(path: Path) -> Evaluation:
    try:
        return Evaluation.model_validate(read_yaml(path))
    except ValidationError as error:
        raise explain(error, Evaluation, lambda location: (str(path), location)) from error


def _load(data: Path, spec: RunSpec) -> ImageData:
    return load(spec.dataset, data.parent.parent, spec.train_images)


def _summary(
    run: str,
    spec: RunSpec,
    images: ImageData,
    execution: Execution,
    device: torch.device,
    history: "list[Row]",
    seconds: float,
) -> dict[str, Any]:
    """How the run went and on what: nothing of it is an input to any result."""
    return {
        "scale": spec.scale,
        "run": run,
        "spec_hash": spec.hash,
        "dataset": spec.dataset,
        **_tags(images),
        "wall_seconds": seconds,
        "images_per_second": statistics.median(row["images_per_second"] or 0.0 for row in history),
        "epochs": spec.epochs,
        "steps": spec.epochs * (len(images.train.images) // spec.batch_size),
        "device": device_name(device),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "world_size": world_size(),
        "threads": execution.threads,
        "precision": execution.precision,
        "micro_batch": execution.micro_batch,
        "accumulation": execution.accumulation if execution.micro_batch else None,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("ldreg", "torch", "torchvision")},
        },
        "final": history[-1],
    }
