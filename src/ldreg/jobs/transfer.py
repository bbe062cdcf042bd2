"""Test a run's encoder on other data sets, by linear classifiers on its representations."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from ldreg.config.scale_file import Execution, Transfer
from ldreg.data.availability import read_availability
from ldreg.data.datasets import load
from ldreg.data.decode import CorruptImages
from ldreg.evaluation.transfer import TransferSettings, transfer
from ldreg.files import write_json
from ldreg.jobs.shared import on_device, open_run, read_settings
from ldreg.models.load import channels_of, load_encoder, trained_weights
from ldreg.runtime.distributed import device_name
from ldreg.runtime.provenance import git_tags, versions
from ldreg.tracking import Tracker


def transfer_job(
    spec_path: Path,
    settings_path: Path,
    pretrained_on: Path,
    data: Sequence[Path],
    execution: Execution,
    results: Path,
) -> None:
    """Linear classifiers on other data sets; writes transfer/<data set>.json for each of `data`.

    For a set that is not available, this file gives the reason.

    Args:
        settings_path: the scale's `transfer.yaml`.
        pretrained_on: dataset.json of the run's own data set, which says how many channels its encoder takes.
        data: for each data set the file that `ldreg data --offer` wrote.
        results: the folder that all scales share.

    Raises:
        LdregError: a file is missing, broken or belongs to another run; then nothing is written.
    """
    _, spec, spec_path = open_run(spec_path, trained=True)
    available = [read_availability(path) for path in data]
    settings = classifier_settings(read_settings(settings_path, Transfer))
    weights, channels, folder = trained_weights(spec_path), channels_of(pretrained_on), spec_path.parent
    with on_device(execution) as device, Tracker(folder, "transfer", results, git_tags()):
        encoder = load_encoder(weights, spec, channels, device)
        for found in available:
            name = found["dataset"]
            if "unavailable" in found:
                write_json(folder / "transfer" / f"{name}.json", found)
                continue
            corrupt = CorruptImages(execution.corrupt_images)
            images = load(name, Path(found["manifest"]).parent.parent)
            measured = transfer(
                encoder, channels, images, spec.image_size, settings, device, execution.workers, corrupt
            )
            corrupt.warn_of_total()
            measured_on = {
                "corrupt_images": len(corrupt.reasons),
                "device": device_name(device),
                "versions": versions(),
            }
            write_json(folder / "transfer" / f"{name}.json", measured | measured_on)


def classifier_settings(block: Transfer) -> TransferSettings:
    """The settings of the classifiers, from a scale's `transfer`."""
    return TransferSettings(**{field.name: getattr(block, field.name) for field in fields(TransferSettings)})
