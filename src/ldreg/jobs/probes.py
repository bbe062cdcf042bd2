"""Jobs that look at a trained encoder beyond what every run is measured by; each writes beside its spec."""

import platform
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import torch
from pydantic import ValidationError

from ldreg.config.run_spec import read_spec
from ldreg.config.scale_file import Detection, Execution, Transfer
from ldreg.data.datasets import load
from ldreg.data.decode import CorruptImages
from ldreg.errors import LdregError, explain
from ldreg.evaluation.transfer import TransferSettings, transfer
from ldreg.files import digest, read_json, read_yaml, write_json
from ldreg.models.load import channels_of, load_encoder, trained_weights
from ldreg.runtime.console import tell
from ldreg.runtime.distributed import device_name, process_group, rank, world_size
from ldreg.tracking import Tracker, git_state
from ldreg.workflow.availability import read_availability

if TYPE_CHECKING:
    from ldreg.detection.coco import CocoSet

Block = TypeVar("Block", Detection, Transfer)


def transfer_job(
    spec_path: Path,
    settings_path: Path,
    pretrained_on: Path,
    data: Sequence[Path],
    execution: Execution,
    results: Path,
) -> None:
    """Linear classifiers on other data sets; writes transfer/<data set>.json for each of `data`.

    A set that cannot be had is said to be unavailable there, with the reason.

    Args:
        settings_path: the scale's `transfer.yaml`.
        pretrained_on: dataset.json of the run's own data set, which says how many channels its encoder takes.
        data: for each data set what `ldreg data --offer` wrote of it.

    Raises:
        LdregError: at a file that is missing, broken or another's; before anything is written.
    """
    _, spec = read_spec(spec_path)
    offers = [read_availability(path) for path in data]
    torch.set_num_threads(execution.threads)
    settings, weights = job_settings(_read(settings_path, Transfer)), trained_weights(spec_path)
    commit, dirty = git_state()
    tags = {"git_commit": commit, "git_dirty": dirty}
    channels = channels_of(pretrained_on)
    folder = spec_path.parent
    with process_group(execution.gpus) as device, Tracker(folder, "transfer", results, tags):
        encoder = load_encoder(weights, spec, channels, device)
        for offer in offers:
            name = offer["dataset"]
            if "unavailable" in offer:
                write_json(folder / "transfer" / f"{name}.json", offer)
                continue
            corrupt = CorruptImages(execution.corrupt_images)
            images = load(name, Path(offer["manifest"]).parent.parent)
            found = transfer(
                encoder, channels, images, spec.image_size, settings, device, execution.workers, corrupt
            )
            corrupt.tell_total()
            measured_on = {
                "corrupt_images": len(corrupt.reasons),
                "device": device_name(device),
                "versions": {package: version(package) for package in ("ldreg", "torch", "torchvision")},
            }
            write_json(folder / "transfer" / f"{name}.json", found | measured_on)


def compose_job(settings_path: Path, digits: Path, output: Path) -> None:
    """Compose a small set in COCO's format of digits; `output` is its composed.json, which appears last.

    Args:
        settings_path: the scale's `detection.yaml`.
        digits: dataset.json of the set whose images are pasted.
    """
    from ldreg.detection.composed import compose

    settings = _read(settings_path, Detection)
    compose(output.parent, load(digits.parent.name, digits.parent.parent), settings.composed)


def coco_job(folder: Path, output: Path) -> None:
    """Check COCO's files, and that a detector can be trained and tested on them; writes what is there.

    Args:
        folder: holds train2017, val2017 and annotations.
        output: {"train_images" (with objects), "val_images", "categories": counts, "annotations": digests}.
    """
    from ldreg.detection.coco import read_coco_2017
    from ldreg.detection.fine_tuning import check_splits

    train, val = read_coco_2017(folder)
    check_splits(train, val)
    found = {
        "train_images": len(train.trainable()),
        "val_images": len(val.image_ids),
        "categories": len(train.categories),
        "annotations": _digests(train, val),
    }
    write_json(output, found)


def detect_job(
    spec_path: Path,
    settings_path: Path,
    pretrained_on: Path,
    data: Path,
    execution: Execution,
    results: Path,
    terminal: TextIO,
) -> None:
    """Fine-tune Mask R-CNN from a run's encoder and test it; writes detection.json beside the spec.

    On the way detection.pt there holds where the training stands, until detection.json is written.

    Args:
        settings_path: the scale's `detection.yaml`.
        pretrained_on: as of `transfer_job`.
        data: composed.json of a composed set, or COCO's annotations/instances_train2017.json.
    """
    # Imported here: torchvision's detection takes seconds, which other jobs need not spend.
    from ldreg.detection.checkpoint import Checkpoint
    from ldreg.detection.fine_tuning import train_and_evaluate

    run, spec = read_spec(spec_path)
    settings, weights = _read(settings_path, Detection), trained_weights(spec_path)
    parts = _detection_data(settings, settings_path, data)
    digests = _digests(*parts)
    if settings.dataset != "coco":
        digests["images"] = digest(data)  # which holds one of all pixels
    channels, folder = channels_of(pretrained_on), spec_path.parent
    commit, dirty = git_state()
    corrupt = CorruptImages(execution.corrupt_images)
    with process_group(execution.gpus) as device:
        torch.set_num_threads(max(1, execution.threads * execution.nodes // world_size()))
        belongs = {
            "spec": spec.hash,
            "encoder": digest(weights),
            "settings": settings.settings.model_dump(mode="json"),
            "data": digests,
            "precision": execution.precision,
            "number of ranks": world_size(),
            "kind of device": device.type,
        }
        checkpoint = Checkpoint(folder / "detection.pt", belongs)
        encoder = load_encoder(weights, spec, channels, device)
        about = (encoder, spec.backbone, settings.settings, *parts, device, spec.seed, execution.precision)
        if rank() != 0:
            train_and_evaluate(*about, execution.workers, corrupt=corrupt, checkpoint=checkpoint)
            return
        with Tracker(folder, "detect", results, {"git_commit": commit, "git_dirty": dirty}) as tracker:
            total, shown = settings.settings.iterations, [0]

            def on_row(row: dict[str, float]) -> None:
                iteration = int(row["iteration"])
                line = f"{run}  detection {iteration}/{total}  loss {row['loss']:.2f}"
                print(line, file=sys.stderr, flush=True)
                if terminal is not sys.stderr and (iteration * 5 // total > shown[0] or iteration == total):
                    shown[0] = iteration * 5 // total  # every fifth of the way
                    tell(terminal, line)
                tracker.log({key: value for key, value in row.items() if key != "iteration"}, iteration)

            found = train_and_evaluate(*about, execution.workers, on_row, corrupt, checkpoint)
            corrupt.tell_total()
            found |= {
                "spec_hash": spec.hash,
                "annotations": digests,
                "git_commit": commit,
                "git_dirty": dirty,
            }
            found |= _executed(device, execution)
            write_json(folder / "detection.json", {"dataset": settings.dataset, **found})
            checkpoint.remove()


def _detection_data(settings: Detection, settings_path: Path, data: Path) -> "tuple[CocoSet, CocoSet]":
    """Both splits of the data set that a scale's detection.yaml names, by the file that stands for it."""
    from ldreg.detection.coco import read_coco_2017
    from ldreg.detection.composed import MANIFEST, read_composed

    name = {"coco": "instances_train2017.json", "composed_digits": MANIFEST}[settings.dataset]
    if data.name != name:
        raise LdregError(
            f"--data: {data} is not allowed; with dataset {settings.dataset} in {settings_path} it should be"
            f" its {name}"
        )
    if settings.dataset == "coco":
        return read_coco_2017(data.parent.parent)
    read_json(data, f"no such file; compose it first: ldreg compose --output {data}")
    return read_composed(data.parent)


def _digests(train: "CocoSet", val: "CocoSet") -> dict[str, str]:
    return {"train": digest(train.annotations), "val": digest(val.annotations)}


def _executed(device: torch.device, execution: Execution) -> dict[str, Any]:
    """On what and how the job ran."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
    return {
        "device": name,
        "world_size": world_size(),
        "precision": execution.precision,
        "versions": {package: version(package) for package in ("ldreg", "torch", "torchvision")},
    }


def job_settings(given: Transfer) -> TransferSettings:
    """What of a scale's `transfer` the classifiers are told."""
    return TransferSettings(**{field.name: getattr(given, field.name) for field in fields(TransferSettings)})


def _read(path: Path, kind: type[Block]) -> Block:
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        raise explain(error, kind, lambda location: (str(path), location)) from error
