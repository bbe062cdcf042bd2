"""Train and test a linear classifier on crops, on a run's frozen encoder, as in the paper."""

from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from ldreg.catalogue.backbones import WITH_PATCHES
from ldreg.config.execution import Execution
from ldreg.config.scale_file import Evaluation
from ldreg.data.decode import CorruptImages
from ldreg.evaluation.classifier import ClassifierSettings
from ldreg.evaluation.linear_paper import Row, linear_paper
from ldreg.files import digest, write_json
from ldreg.jobs.shared import data_tags, images_of, on_device, open_run, read_settings, resumable
from ldreg.models.load import load_encoder, trained_weights
from ldreg.runtime.console import Progress
from ldreg.runtime.distributed import device_name, rank, world_size
from ldreg.runtime.provenance import versions
from ldreg.runtime.slices import WHOLE, Slot
from ldreg.tracking import Tracker

NORM_EPS = {False: 1e-5, True: 1e-6}  # by whether the encoder has patches, as in the authors' code


def linear_paper_job(
    spec_path: Path,
    settings_path: Path,
    data: Path,
    execution: Execution,
    results: Path,
    terminal: TextIO,
    slot: Slot = WHOLE,
) -> None:
    """Evaluate the run of `spec_path` by the paper's protocol; writes linear_paper.json beside it.

    Args:
        settings_path: the scale's `linear_paper.yaml`.
        data: dataset.json of the run's data set.
        results: the folder that all scales share.
        terminal: takes the progress, though all other output may go to a log.
        slot: the time that the job has.

    Raises:
        LdregError: at a file that is missing or broken, before anything is trained.
        SliceEnded: if the job ended itself with a checkpoint.
    """
    run, spec, spec_path = open_run(spec_path, trained=True)
    settings = classifier_settings(read_settings(settings_path, Evaluation), spec.backbone)
    weights, folder = trained_weights(spec_path), spec_path.parent
    images, corrupt = images_of(spec, data), CorruptImages(execution.corrupt_images)
    identity = {
        "spec": spec.hash,
        "encoder": digest(weights),
        "data": images.digest,
        "settings": asdict(settings) | {"view": settings.view.model_dump(mode="json")},
    }
    with (
        on_device(execution) as device,
        resumable(results / spec.scale, "linear_paper", identity, execution, device, slot) as resumption,
    ):
        encoder = load_encoder(weights, spec, images.test.channels, device)
        about = (encoder, images, spec.image_size, settings, spec.seed, device, execution.workers, corrupt)
        if rank() != 0:
            linear_paper(*about, resumption=resumption)
            corrupt.gather()
            return
        checkpoint = resumption.checkpoint
        progress = Progress(terminal, f"{run} linear", settings.epochs, checkpoint.seconds)
        with Tracker(folder, "linear_paper", results, data_tags(images), resumption.resumed) as tracker:

            def on_epoch(row: Row) -> None:
                progress(row | {"mlid": None})
                tracker.log(row, int(row["epoch"] or 0))

            for row in checkpoint.history:
                tracker.log(row, int(row["epoch"] or 0))
            found = linear_paper(*about, on_epoch, resumption)
            corrupt.gather()
            corrupt.warn_of_total()
            found |= {"spec_hash": spec.hash, "seed": spec.seed, **data_tags(images)}
            found |= {"corrupt_images": len(corrupt.reasons), "wall_seconds": checkpoint.seconds}
            found |= {"device": device_name(device), "world_size": world_size(), "versions": versions()}
            write_json(folder / "linear_paper.json", found)


def classifier_settings(evaluation: Evaluation, backbone: str) -> ClassifierSettings:
    """What of a scale's `evaluation` the classifier of an encoder is told."""
    block = evaluation.linear_paper
    return ClassifierSettings(
        epochs=block.epochs,
        batch_size=block.batch_size,
        base_lr=block.base_lr,
        final_lr_factor=block.final_lr_factor,
        view=block.view,
        test_view=evaluation.test_view,
        norm_eps=NORM_EPS[backbone in WITH_PATCHES],
    )
