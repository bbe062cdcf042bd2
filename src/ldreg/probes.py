"""Jobs that look at a trained encoder beyond what every run is measured by; each writes into its run folder."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch
from pydantic import ValidationError

from ldreg.config import Execution, Transfer
from ldreg.data.datasets import load
from ldreg.data.decode import CorruptImages
from ldreg.distributed import process_group
from ldreg.errors import explain
from ldreg.evaluate.transfer import TransferSettings, transfer
from ldreg.files import read_yaml, write_json
from ldreg.frozen import channels_of, frozen_encoder, trained_weights
from ldreg.spec import read_spec
from ldreg.tracking import Tracker, git_state


def transfer_job(
    spec_path: Path,
    settings_path: Path,
    pretrained_on: Path,
    data: Sequence[Path],
    execution: Execution,
    results: Path,
) -> None:
    """Linear classifiers on other data sets; writes transfer/<data set>.json for each of `data`.

    Args:
        settings_path: the scale's `transfer.yaml`.
        pretrained_on: dataset.json of the run's own data set, which says how many channels its encoder takes.
        data: dataset.json of each data set.
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
        for manifest in data:
            corrupt = CorruptImages(execution.corrupt_images)
            name = manifest.parent.name
            images = load(name, manifest.parent.parent)
            found = transfer(
                encoder, channels, images, spec.image_size, settings, device, execution.workers, corrupt
            )
            corrupt.tell_total()
            write_json(folder / "transfer" / f"{name}.json", found | {"corrupt_images": len(corrupt.reasons)})


def _settings(path: Path) -> TransferSettings:
    try:
        given = Transfer.model_validate(read_yaml(path))
    except ValidationError as error:
        raise explain(error, Transfer, lambda location: (str(path), location)) from error
    return TransferSettings(**{field.name: getattr(given, field.name) for field in fields(TransferSettings)})
