"""Import of weights that were trained elsewhere, as a finished run of a scale that can then be measured."""

import csv
import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ldreg.catalogue.measurements import MEASUREMENTS, PRETRAINED
from ldreg.catalogue.methods import METHODS
from ldreg.config.result_paths import run_folder
from ldreg.config.run_spec import RunSpec, write_spec
from ldreg.errors import LdregError, unknown
from ldreg.files import replacing, write_json
from ldreg.models.load import channels_of
from ldreg.models.networks import build_encoder
from ldreg.runtime.provenance import git_tags
from ldreg.tracking import run_files
from ldreg.training.monitors import empty_row
from ldreg.workflow.scale import Scale

SUFFIXES = (".pth", ".pt", ".tar", ".bin", ".safetensors")
NESTED = ("state_dict", "model_state_dict", "model")  # keys under which checkpoints hold a state dict
WRAPPERS = (
    "module.",
    "encoder.",
)  # prefixes that DistributedDataParallel and methods add to keys
# Parts of a file that do not belong to an encoder: heads of the authors, torchvision and timm; MAE's decoder.
HEADS = ("projector", "predictor", "online_cls", "linear", "fc", "head")
DECODER = ("mask_token", *(f"decoder_{part}" for part in ("embed", "pos_embed", "blocks", "norm", "pred")))
PROFILE = ("total_ops", "total_params")  # entries that the authors' profiler left in every layer
HISTORY = (
    *("epoch", "loss", "ssl_loss", "regularizer", *empty_row()),
    *("lr", "images_per_second", "knn_top1"),
)
_SHOWN = 3  # the number of keys that an error names


def import_weights(weights: Path, scale_file: Path, run: str, results: Path, force: bool = False) -> str:
    """Make the folder of the run `run` of a scale from a file of weights; returns what to tell the user.

    The folder gets spec.yaml, encoder.safetensors, history.csv without rows and a summary.json that says
    where the weights came from. Nothing in the file is executed.

    Args:
        weights: a state dict, by torch.save or safetensors, of an encoder with torchvision's or timm's names,
            with or without heads; also one as the authors of LDReg released them.
        scale_file: e.g. config/imagenet.yaml.
        run: its folder name.
        results: the folder that all scales share.
        force: replace a finished run, and remove its measurements.

    Raises:
        LdregError: a mistake in the scale or the run's name, a finished run in the folder, data that is not
            prepared, or a file that does not hold the run's encoder; nothing is written then.
    """
    scale = Scale.read(scale_file)
    if run not in scale.runs:
        raise unknown(f"{scale.file}: --run", run, scale.runs)
    spec = scale.runs[run]
    folder = run_folder(results, scale.name, run)
    done = [name for name in PRETRAINED if (folder / name).exists()]
    if done and not force:
        raise LdregError(f"{folder}: holds {', '.join(done)} already; --force replaces the run")
    found = read_weights(weights)
    # The data set must be prepared before. Otherwise Snakemake would prepare it afterwards, take the run to
    # be older than its data, and train it.
    channels = channels_of(Path(scale.content.execution.data, spec.dataset, "dataset.json"))
    with torch.device("meta"):
        encoder, _ = build_encoder(spec, channels)
    encoder_weights, left_out = fit(found, encoder.state_dict(), str(weights), spec.backbone)
    _write(folder, run, spec, encoder_weights, _summary(run, spec, weights, left_out))
    measured = folder / scale.measured[-1]
    return _report(weights, scale_file, measured, spec, len(encoder_weights), left_out)


def read_weights(path: Path) -> Mapping[Any, Any]:
    """The state dict in a file, on the CPU; nothing in the file is executed.

    Raises:
        LdregError: there is no such file, its suffix is none of `SUFFIXES`, or it holds something else.
    """
    if not path.is_file():
        raise LdregError(f"{path}: no such file")
    if path.suffix not in SUFFIXES:
        raise LdregError(f"{path}: {path.suffix!r} is not allowed; it should end in {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # the error says enough
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise LdregError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a file with other content may raise anything in the reader
        raise LdregError(f"{path}: {_why_unreadable(error)}") from error
    return _state_dict(content, path)


def _why_unreadable(error: Exception) -> str:
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return (
            f"holds {code[1]}, which could run code and is not loaded;"
            " save the weights alone: torch.save(model.state_dict(), FILE)"
        )
    return "holds no weights; it should be a state dict saved by torch.save or safetensors"


def _state_dict(content: Any, path: Path) -> Mapping[Any, Any]:
    """The state dict that a file's content is or holds."""
    nested = [content[key] for key in NESTED if isinstance(content, Mapping) and key in content]
    for found in (*nested, content):
        if isinstance(found, Mapping) and any(isinstance(value, Tensor) for value in found.values()):
            return found
    what = f"the keys {_few(list(content))}" if isinstance(content, Mapping) else type(content).__name__
    raise LdregError(
        f"{path}: holds {what} and no state dict; allowed: a state dict itself, or under {', '.join(NESTED)}"
    )


def fit(
    found: Mapping[Any, Any], expected: Mapping[str, Tensor], where: str, backbone: str
) -> tuple[dict[str, Tensor], Counter[str]]:
    """The encoder's part of a state dict, under the encoder's names, and the number of entries left out.

    Args:
        found: a file's state dict.
        expected: the encoder's own state dict, which gives names, shapes and types.
        where, backbone: file and encoder, for errors.

    Returns:
        Finite tensors with the names, shapes and types of `expected`; and the number of entries of each part
        that does not belong to an encoder. If the file lacks the counter of a batch norm's batches, it is 0;
        it has no effect on an encoder that is only measured.

    Raises:
        LdregError: naming missing and unknown keys, a key that comes twice, or one whose value has another
            shape or type or is not finite.
    """
    keys: dict[str, Any] = {}  # the file's, by the encoder's
    left_out: Counter[str] = Counter()
    extra = []
    for key in found:
        name = _unwrapped(str(key))
        part, last = name.split(".")[0], name.split(".")[-1]
        if name in keys:
            raise LdregError(f"{where}: {keys[name]} and {key} are both {name} of {backbone}")
        if name in expected:
            keys[name] = key
        elif part in (*HEADS, *DECODER):
            left_out[part] += 1
        elif last in PROFILE:
            left_out[last] += 1
        else:
            extra.append(key)
    counters = {name for name in expected if name.endswith(".num_batches_tracked")}
    missing = [name for name in expected if name not in keys and name not in counters]
    if missing or extra:
        problems = [f"missing {_few(missing)}"] if missing else []
        if extra:
            problems += [
                f"unknown {_few(extra)}",
                f"allowed besides: {', '.join(f'{part}.*' for part in HEADS)}",
            ]
        raise LdregError(f"{where}: these are not {backbone}'s weights: {'; '.join(problems)}")
    fitted = {name: torch.zeros((), dtype=expected[name].dtype) for name in counters - keys.keys()}
    for name, key in keys.items():
        fitted[name] = _checked(found[key], expected[name], f"{where}: {key}", backbone)
    return {name: fitted[name] for name in expected}, left_out


def _unwrapped(key: str) -> str:
    """`conv1.weight` of `module.encoder.conv1.weight`."""
    while key.startswith(WRAPPERS):
        key = key.partition(".")[2]
    return key


def _checked(value: Any, expected: Tensor, where: str, backbone: str) -> Tensor:
    """A copy of `value` in the type of `expected`."""
    if not isinstance(value, Tensor) or value.is_floating_point() != expected.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise LdregError(f"{where}: {kind} is not allowed; {backbone} has {expected.dtype}")
    if value.shape != expected.shape:
        raise LdregError(f"{where}: shape {tuple(value.shape)}, but {backbone} has {tuple(expected.shape)}")
    value = value.to(expected.dtype, copy=True, memory_format=torch.contiguous_format)
    if not value.isfinite().all():
        bad = int((~value.isfinite()).sum())
        raise LdregError(f"{where}: {bad} of {value.numel()} values are not finite {value.dtype} numbers")
    return value


def _few(keys: Sequence[Any]) -> str:
    """The first of these keys, and how many more there are."""
    more = [f"{len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else []
    return ", ".join([*map(str, keys[:_SHOWN]), *more]) or "none"


def _summary(run: str, spec: RunSpec, weights: Path, left_out: Counter[str]) -> dict[str, Any]:
    """The summary of an imported run. How it was trained is unknown."""
    with weights.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "scale": spec.scale,
        "run": run,
        "spec_hash": spec.hash,
        "dataset": spec.dataset,
        "imported": {"file": weights.name, "sha256": sha256, "left_out": dict(left_out)},
        **git_tags(),
        "versions": {package: version(package) for package in ("ldreg", "torch")},
    }


def _write(
    folder: Path, run: str, spec: RunSpec, weights: Mapping[str, Tensor], summary: Mapping[str, Any]
) -> None:
    """Write the folder as a pretraining leaves it; summary.json comes last."""
    write_spec(folder / "spec.yaml", spec, run)
    of_the_encoder = [name for each in MEASUREMENTS.values() if each.needs_encoder for name in each.files]
    with replacing(folder / "encoder.safetensors") as temporary:
        save_file(dict(weights), temporary)
        # Files about an earlier encoder are deleted before this one appears.
        for pattern in (*PRETRAINED[1:], *of_the_encoder):
            for path in folder.glob(pattern):
                path.unlink()
    # The MLflow run of an earlier pretraining no longer belongs to this folder.
    run_files.note(folder, "pretrain", None)
    with replacing(folder / "history.csv") as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerow(HISTORY)
    write_json(folder / "summary.json", summary)


def _report(
    weights: Path, scale_file: Path, measured: Path, spec: RunSpec, tensors: int, left_out: Counter[str]
) -> str:
    """Words for the user: what was made, and the next command."""
    parts = ", ".join(f"{count} of {part}" for part, count in left_out.items()) or "nothing"
    lines = [
        f"{measured.parent}: {spec.backbone} of {weights.name}, {tensors} tensors; left out: {parts}",
        f"next: snakemake {measured} --configfile {scale_file}",
    ]
    if "online_cls" not in left_out and not METHODS[spec.method].masks_patches:  # not the authors'
        lines.append(
            "note: images reach the encoder with values in [0, 1], as in LDReg; torchvision's and timm's "
            "own weights were trained on normalised ones"
        )
    return "\n".join(lines)
