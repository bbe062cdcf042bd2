"""Loading the trained encoder of a run, for the jobs that measure it."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from ldreg.config.run_spec import RunSpec
from ldreg.errors import LdregError
from ldreg.models.networks import build_encoder


def trained_weights(spec_path: Path) -> Path:
    """Return the file with the encoder's weights beside a `spec.yaml`.

    Raises:
        LdregError: if the run has not been trained.
    """
    weights = spec_path.parent / "encoder.safetensors"
    if not weights.is_file():
        raise LdregError(f"{weights}: no such file; train it first: ldreg pretrain {spec_path}")
    return weights


def load_encoder(weights: Path, spec: RunSpec, channels: int, device: torch.device) -> nn.Module:
    """Build the encoder of a run for images of `channels` channels, and load the file `weights` into it."""
    encoder, _ = build_encoder(spec, channels)
    encoder.load_state_dict(load_file(weights))
    return encoder.to(device)


def channels_of(manifest: Path) -> int:
    """Return the number of channels of a prepared data set, 1 or 3, from its dataset.json.

    Raises:
        LdregError: if the data set has not been prepared.
    """
    try:
        return json.loads(manifest.read_text(encoding="utf-8")).get("shape", (3,))[0]
    except (OSError, ValueError) as error:
        name = manifest.parent.name
        raise LdregError(
            f"{manifest}: not found or damaged; prepare it first: ldreg data {name} --output {manifest}"
        ) from error
