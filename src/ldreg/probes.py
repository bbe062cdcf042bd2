"""Jobs that look at a trained encoder beyond what every run is measured by; each writes beside its spec."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TextIO, TypeVar

import torch
from pydantic import ValidationError

from ldreg.config import Detection, Execution, Transfer
from ldreg.console import tell
from ldreg.data.datasets import load
from ldreg.data.decode import CorruptImages
from ldreg.distributed import process_group, rank, world_size
from ldreg.errors import explain
from ldreg.evaluate.transfer import TransferSettings, transfer
from ldreg.files import read_json, read_yaml, write_json
from ldreg.frozen import channels_of, frozen_encoder, trained_weights
from ldreg.spec import read_spec
from ldreg.tracking import Tracker, git_state

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
    """
    _, spec = read_spec(spec_path)
    torch.set_num_threads(execution.threads)
    settings, weights = _settings(settings_path), trained_weights(spec_path)
    commit, dirty = git_state()
    tags = {"git_commit": commit, "git_dirty": dirty}
    channels = channels_of(pretrained_on)
    folder = spec_path.parent
    with process_group(execution.gpus) as device, Tracker(folder, "transfer", results, tags):
        encoder = frozen_encoder(weights, spec, channels, device)
        for offer in data:
            found = read_json(offer)
            name = found["dataset"]
            if "unavailable" in found:
                write_json(folder / "transfer" / f"{name}.json", found)
                continue
            corrupt = CorruptImages(execution.corrupt_images)
            images = load(name, Path(found["manifest"]).parent.parent)
            found = transfer(
                encoder, channels, images, spec.image_size, settings, device, execution.workers, corrupt
            )
            corrupt.tell_total()
            write_json(folder / "transfer" / f"{name}.json", found | {"corrupt_images": len(corrupt.reasons)})


def compose_job(settings_path: Path, digits: Path, output: Path) -> None:
    """Compose a small set in COCO's format of digits; `output` is its composed.json, which appears last.

    Args:
        settings_path: the scale's `detection.yaml`.
        digits: dataset.json of the set whose images are pasted.
    """
    from ldreg.detection.composed import compose

    settings = _read(settings_path, Detection)
    compose(output.parent, load(digits.parent.name, digits.parent.parent), settings.composed)


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

    Args:
        settings_path: the scale's `detection.yaml`.
        pretrained_on: as of `transfer_job`.
        data: composed.json of a composed set, or COCO's annotations/instances_train2017.json.
    """
    # Imported here: torchvision's detection takes seconds, which other jobs need not spend.
    from ldreg.detection.coco import read_coco
    from ldreg.detection.composed import read_composed
    from ldreg.detection.train import train_and_evaluate

    run, spec = read_spec(spec_path)
    settings, weights = _read(settings_path, Detection), trained_weights(spec_path)
    if settings.dataset == "coco":
        parts = [
            read_coco(data.parents[1] / split, data.parent / f"instances_{split}.json")
            for split in ("train2017", "val2017")
        ]
    else:
        parts = list(read_composed(data.parent))
    channels, folder = channels_of(pretrained_on), spec_path.parent
    commit, dirty = git_state()
    with process_group(execution.gpus) as device:
        torch.set_num_threads(max(1, execution.threads * execution.nodes // world_size()))
        encoder = frozen_encoder(weights, spec, channels, device)
        about = (encoder, spec.backbone, settings.settings, *parts, device, spec.seed, execution.precision)
        if rank() != 0:
            train_and_evaluate(*about, execution.workers)
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

            found = train_and_evaluate(*about, execution.workers, on_row)
            write_json(folder / "detection.json", {"dataset": settings.dataset, **found})


def _settings(path: Path) -> TransferSettings:
    given = _read(path, Transfer)
    return TransferSettings(**{field.name: getattr(given, field.name) for field in fields(TransferSettings)})


def _read(path: Path, kind: type[Block]) -> Block:
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        raise explain(error, kind, lambda location: (str(path), location)) from error
