"""Steps that jobs share: reading settings, loading images, opening the device, and facts for the record."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from pydantic import BaseModel, ValidationError

from ldreg.config.execution import Execution
from ldreg.config.result_paths import asked, scale_of_spec
from ldreg.config.run_spec import RunSpec, check_trained, read_spec, write_spec
from ldreg.data.datasets import ImageData, load
from ldreg.errors import explain
from ldreg.files import read_yaml
from ldreg.runtime.checkpoint import Checkpoint
from ldreg.runtime.container import available_cpus
from ldreg.runtime.distributed import process_group, rank, world_size
from ldreg.runtime.provenance import git_tags
from ldreg.runtime.resumption import Resumption
from ldreg.runtime.slices import Slot, time_limit
from ldreg.tracking import JobRecord

Block = TypeVar("Block", bound=BaseModel)


def read_settings(path: Path, kind: type[Block]) -> Block:
    """The block of a scale's settings, such as its `evaluation`, that the workflow wrote to `path`.

    Raises:
        LdregError: the file is missing or broken, or has a setting that the block does not allow.
    """
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        raise explain(error, kind, lambda location: (str(path), location)) from error


def images_of(spec: RunSpec, manifest: Path) -> ImageData:
    """The images that a run trains and is tested on; `manifest` is the dataset.json of its data set."""
    return load(spec.dataset, manifest.parent.parent, spec.train_images)


class OpenedRun(NamedTuple):
    """What a job on a run is asked for: the run's name, its spec, and the copy of it in the run's folder."""

    run: str
    spec: RunSpec
    spec_path: Path


def open_run(spec_path: Path, trained: bool = False) -> OpenedRun:
    """Read what a job on a run is asked for, and copy it to the run's folder, where the outputs appear.

    Args:
        spec_path: a file of results/<scale>/specs, as the workflow has it, or spec.yaml in a run's folder.
        trained: whether the job takes the run's encoder.

    Raises:
        LdregError: the spec is missing, broken or of another recipe, or the run has been trained by another.
    """
    spec_path = asked(spec_path)
    run, spec = read_spec(spec_path)
    scale = scale_of_spec(spec_path)
    copy = scale / "runs" / run / "spec.yaml" if scale else spec_path
    if trained:
        check_trained(copy.parent, spec.hash)
    if scale and int(os.environ.get("RANK", 0)) == 0:
        write_spec(copy, spec, run)
    return OpenedRun(run, spec, copy)


@contextmanager
def on_device(execution: Execution, threads: int | None = None) -> Iterator[torch.device]:
    """Join the job's ranks, if it has several, and yield this rank's device.

    The ranks of a node share its `execution.threads`; the argument `threads` takes precedence over them.
    """
    with process_group(execution.gpus) as device:
        # More threads than processors, which a container's quota may limit, only slow each other down.
        shared = max(1, min(execution.threads, available_cpus()) * execution.nodes // world_size())
        torch.set_num_threads(threads or shared)
        yield device


@contextmanager
def resumable(
    scale: Path, job: str, identity: dict[str, Any], execution: Execution, device: torch.device, slot: Slot
) -> Iterator[Resumption]:
    """A job that is saved and goes on from its checkpoint, which is removed when the block ends.

    Every rank must enter and leave the block, at whose end the job's outputs must be complete.

    Args:
        scale: the folder results/<scale>.
        job, identity: as for `ldreg.runtime.checkpoint.Checkpoint`.

    Raises:
        LdregError: if the attempt before failed.
        SliceEnded: if the job ended itself with a checkpoint.
    """
    checkpoint = Checkpoint(scale, job, identity)
    with checkpoint.attempt(slot.attempt):
        checkpoint.load()
        limit = time_limit(slot.budget) if rank() == 0 else None
        yield Resumption(checkpoint, device, execution.checkpoint_minutes, limit)
        checkpoint.remove()


def data_tags(images: ImageData) -> dict[str, Any]:
    """The digest of the data and the commit of the code, by which an MLflow run is found again."""
    return {"dataset_digest": images.digest, **git_tags()}


def trained_as(execution: Execution) -> dict[str, Any]:
    """How a job with training steps was executed, apart from its device."""
    return {
        "world_size": world_size(),
        "threads": execution.threads,
        "precision": execution.precision,
        "micro_batch": execution.micro_batch,
        "accumulation": execution.accumulation if execution.micro_batch else None,
    }


def record_of_run(spec_path: Path, kind: str, run: str, spec: RunSpec, images: ImageData) -> JobRecord:
    """The record of a short job on a run, whose folder holds `spec_path` and takes the job's files."""
    record = JobRecord(spec_path.parent, kind, f"{run} {kind}", spec.scale)
    record.tags["dataset_digest"] = images.digest
    record.files.append("spec.yaml")
    return record
