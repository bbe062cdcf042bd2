"""Fine-tune a detector from a run's encoder and test it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ldreg.config.execution import Execution
from ldreg.config.scale_file import Detection
from ldreg.data.decode import CorruptImages
from ldreg.detection.coco import CocoSet, annotation_digests, read_coco_2017
from ldreg.detection.composed import MANIFEST, read_composed
from ldreg.detection.fine_tuning import train_and_evaluate
from ldreg.errors import LdregError
from ldreg.files import digest, read_json, write_json
from ldreg.jobs.shared import on_device, open_run, read_settings, resumable
from ldreg.models.load import channels_of, load_encoder, trained_weights
from ldreg.runtime.console import tell
from ldreg.runtime.distributed import device_name, rank, world_size
from ldreg.runtime.provenance import git_tags, versions
from ldreg.runtime.slices import WHOLE, Slot
from ldreg.tracking import Tracker


def detect_job(
    spec_path: Path,
    settings_path: Path,
    pretrained_on: Path,
    data: Path,
    execution: Execution,
    results: Path,
    terminal: TextIO,
    slot: Slot = WHOLE,
) -> None:
    """Fine-tune Mask R-CNN from a run's encoder and test it; writes detection.json beside the spec.

    If the job was interrupted, it goes on from its last checkpoint (`ldreg.runtime.checkpoint`).

    Args:
        settings_path: the scale's `detection.yaml`.
        pretrained_on: as for `transfer_job`.
        data: composed.json of a composed set, or COCO's annotations/instances_train2017.json.
        results: the folder that all scales share.
        terminal: receives the progress, even where all other output goes to a log.
        slot: the time that the job has.

    Raises:
        LdregError: a file is missing, broken or belongs to another run; then nothing is trained.
        SliceEnded: if the job ended itself with a checkpoint.
    """
    run, spec, spec_path = open_run(spec_path, trained=True)
    settings, weights = read_settings(settings_path, Detection), trained_weights(spec_path)
    parts = _splits(settings, settings_path, data)
    digests = annotation_digests(*parts)
    if settings.dataset != "coco":
        digests["images"] = digest(data)  # this file holds a digest of all pixels
    channels, folder = channels_of(pretrained_on), spec_path.parent
    corrupt = CorruptImages(execution.corrupt_images)
    identity = {
        "spec": spec.hash,
        "encoder": digest(weights),
        "settings": settings.settings.model_dump(mode="json"),
        "data": digests,
        "precision": execution.precision,
    }
    with (
        on_device(execution) as device,
        resumable(results / spec.scale, "detect", identity, execution, device, slot) as resumption,
    ):
        encoder = load_encoder(weights, spec, channels, device)
        about = (encoder, spec.backbone, settings.settings, *parts, device, spec.seed, execution.precision)
        if rank() != 0:
            train_and_evaluate(*about, execution.workers, corrupt=corrupt, resumption=resumption)
            return
        with Tracker(folder, "detect", results, git_tags(), resumption.resumed) as tracker:
            on_row = _progress(run, settings.settings.iterations, terminal, tracker)
            found = train_and_evaluate(*about, execution.workers, on_row, corrupt, resumption)
            corrupt.warn_of_total()
            found |= {"spec_hash": spec.hash, "annotations": digests, **git_tags()}
            found |= {"device": device_name(device), "world_size": world_size()}
            found |= {"precision": execution.precision, "versions": versions()}
            write_json(folder / "detection.json", {"dataset": settings.dataset, **found})


def _progress(run: str, total: int, terminal: TextIO, tracker: Tracker) -> Callable[[dict[str, float]], None]:
    """A function that logs each row of the training's course, and prints a line after every fifth of it."""
    fifths = 0

    def on_row(row: dict[str, float]) -> None:
        nonlocal fifths
        iteration = int(row["iteration"])
        line = f"{run}  detection {iteration}/{total}  loss {row['loss']:.2f}"
        print(line, file=sys.stderr, flush=True)
        if terminal is not sys.stderr and (iteration * 5 // total > fifths or iteration == total):
            fifths = iteration * 5 // total
            tell(terminal, line)
        tracker.log({key: value for key, value in row.items() if key != "iteration"}, iteration)

    return on_row


def _splits(settings: Detection, settings_path: Path, data: Path) -> tuple[CocoSet, CocoSet]:
    """Both splits of the data set that a scale's detection.yaml names; `data` describes the set."""
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
