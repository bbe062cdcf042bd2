"""The specification of a run: every setting that changes its result.

How a run is executed (number of GPUs, threads, precision, workers) is not part of it, see
`ldreg.config.scale_file`. `ldreg.config.run_names` makes the folder name of a run from its specification.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ldreg.catalogue.backbones import BACKBONES, WITH_PATCHES
from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.methods import METHOD_SETTINGS, METHODS
from ldreg.catalogue.optimizers import OPTIMIZERS
from ldreg.catalogue.regularizers import REGULARIZER_SETTINGS, REGULARIZERS
from ldreg.errors import LdregError, explain
from ldreg.files import read_json, read_yaml, write_text

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
# Settings whose values are lists themselves. For any other setting a list is an axis of a sweep.
LIST_SETTINGS = ("projector", "predictor")
MONITOR_SETTINGS = ("monitor_k", "knn_every")  # settings of the live monitors, which change no result
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]  # of the layers of a projector or predictor
# Names become parts of folder names, in which "-" separates the parts.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


# Which code made a run. Raised by every change of the code that alters what a run comes to, with a line in
# CHANGELOG.md: runs of another recipe are then made again. Runs that name none are of recipe 1.
RECIPE = 3


class ViewSettings(BaseModel):
    """How one augmented view of an image is made; the defaults apply no augmentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_scale: tuple[Probability, Probability] = (1.0, 1.0)  # area of the crop relative to the image
    crop_ratio: tuple[Positive, Positive] = (1.0, 1.0)  # width / height of the crop, log-uniform
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    rotation: Strength = 0.0  # largest angle in either direction, degrees
    flip: Probability = 0.0
    jitter: Probability = 0.0  # probability that an image is jittered at all
    # A value x of the next three draws a factor uniformly from [max(0, 1 - x), 1 + x].
    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    # A value x draws a shift uniformly from [-x, x], in turns of the colour circle.
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    grayscale: Probability = 0.0
    blur: Probability = 0.0
    blur_sigma: tuple[Positive, Positive] = (0.1, 2.0)  # pixels
    blur_kernel: Annotated[float, Field(gt=0, le=1)] = 0.1  # kernel width relative to the view's width
    solarize: Probability = 0.0

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "ViewSettings":
        for key in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(
                    f"{key}: [{low}, {high}] is not allowed; the first must not exceed the second"
                )
        return self


class RunSpec(BaseModel):
    """One pretraining run. Runs whose specs differ at most in `scale` give the same result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Name
    # data
    dataset: Literal[tuple(DATA_SETS)]
    train_images: Count | None = None  # class-balanced subset of the training split; null means all
    image_size: Annotated[int, Field(ge=8)]
    augmentation: Name  # a block of config/augmentations.yaml
    jitter: Strength = 1.0  # scales the colour jitter of that block
    # The views that `augmentation` and `jitter` result in.
    views: Annotated[tuple[ViewSettings, ...], Field(min_length=1, max_length=2)]
    # method
    method: Literal[tuple(METHODS)]
    backbone: Literal[tuple(BACKBONES)]
    projector: Widths | None = None
    predictor: Widths | None = None
    temperature: Positive | None = None
    # Initial momentum of the momentum encoder, which rises to 1.
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    invariance_weight: Strength | None = None
    variance_weight: Strength | None = None
    covariance_weight: Strength | None = None
    redundancy_weight: Strength | None = None
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    decoder_dim: Count | None = None
    decoder_depth: Count | None = None
    decoder_heads: Count | None = None
    # regulariser
    regularizer: Literal[tuple(REGULARIZERS)]
    beta: Strength | None = None
    k: Annotated[int, Field(ge=2)] | None = None
    target: Positive | None = None  # LID
    acts_on: Literal["representations", "embeddings"] = "representations"
    # Fraction of the epochs after which the regulariser is added to the loss.
    regularizer_start: Annotated[float, Field(ge=0, lt=1)] = 0.1
    # optimisation
    batch_size: Annotated[int, Field(ge=4)]  # images in the global batch, over all ranks
    epochs: Count
    warmup_epochs: Annotated[int, Field(ge=0)]  # with a rising learning rate
    optimizer: Literal[tuple(OPTIMIZERS)]
    base_lr: Positive
    lr_scaling: Literal["sqrt", "linear", "none"]  # factor: sqrt(batch_size), batch_size / 256 or 1
    # Final learning rate, relative to that after the warm-up.
    final_lr_factor: Annotated[float, Field(ge=0, le=1)] = 0.0
    bias_lr_factor: Positive = 1.0  # learning rate of biases and norms, relative to that of weights
    weight_decay: Strength
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999  # second beta of AdamW
    # monitors, which fill history.csv
    monitor_k: Annotated[int, Field(ge=2)]
    knn_every: Count  # epochs
    seed: Annotated[int, Field(ge=0)]
    recipe: Annotated[int, Field(ge=1)] = RECIPE  # of the code, which no file sets

    @model_validator(mode="after")
    def _method_has_its_settings(self) -> "RunSpec":
        method = METHODS[self.method]
        for key in METHOD_SETTINGS:
            if key in method.settings and getattr(self, key) is None:
                raise ValueError(f"{key}: missing; method {self.method} needs it")
            if key not in method.settings and getattr(self, key) is not None:
                raise ValueError(
                    f"{key}: method {self.method} has none; its own are {', '.join(method.settings)}"
                )
        if len(self.views) != method.views:
            raise ValueError(
                f"augmentation: {self.augmentation} has {len(self.views)}, {self.method} needs {method.views}"
            )
        if method.masks_patches and self.backbone not in WITH_PATCHES:
            raise ValueError(
                f"backbone: {self.backbone} has no patches to mask; allowed: {', '.join(WITH_PATCHES)}"
            )
        return self

    @model_validator(mode="after")
    def _sizes_divide(self) -> "RunSpec":
        patch = BACKBONES[self.backbone].patch or 1
        if self.image_size % patch:
            raise ValueError(
                f"image_size: {self.image_size} is no multiple of {self.backbone}'s patches, {patch}"
            )
        if check := METHODS[self.method].check:
            check(self)
        return self

    @model_validator(mode="after")
    def _regularizer_has_its_settings(self) -> "RunSpec":
        needed = REGULARIZERS[self.regularizer].settings
        for key in REGULARIZER_SETTINGS:
            if key in needed and getattr(self, key) is None:
                raise ValueError(f"{key}: missing; regularizer {self.regularizer} needs it")
            if key not in needed and getattr(self, key) is not None:
                raise ValueError(f"{key}: regularizer {self.regularizer} has none; remove it")
        # A row is not its own neighbour, and the estimator needs one neighbour more than k.
        rows = len(self.views) * self.batch_size
        for key in ("k", "monitor_k"):
            if (value := getattr(self, key)) is not None and value > rows - 2:
                raise ValueError(
                    f"{key}: {value} is more than {len(self.views)} x batch_size - 2 = {rows - 2} rows allow"
                )
        return self

    @model_validator(mode="after")
    def _optimizer_has_its_settings(self) -> "RunSpec":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs: {self.warmup_epochs} must be less than epochs ({self.epochs})")
        if self.optimizer == "adamw" and self.bias_lr_factor != 1:
            raise ValueError(f"bias_lr_factor: {self.bias_lr_factor} is not allowed with adamw; allowed: 1")
        return self

    @property
    def couples_images(self) -> bool:
        """Whether the loss of an image, regulariser included, depends on the other images of the batch."""
        return self.regularizer != "none" or METHODS[self.method].couples_images

    @property
    def hash(self) -> str:
        """Hash of every setting that changes the result, as 12 hexadecimal digits."""
        value = self.model_dump(mode="json", exclude={"scale"})
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def spec_text(spec: RunSpec, run: str) -> str:
    """The content of a run's `spec.yaml`."""
    value = {"run": run, "spec_hash": spec.hash, **spec.model_dump(mode="json")}
    head = "# One run of ldreg, made from the scale file: edit that one.\n"
    return head + yaml.safe_dump(value, sort_keys=False)


def write_spec(path: Path, spec: RunSpec, run: str) -> None:
    """Write `spec.yaml`, the only input of a run besides its data. An equal file is not written again."""
    text = spec_text(spec, run)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def recipe_of(path: Path) -> int:
    """The recipe that a `spec.yaml` names, 1 where it names none."""
    return int(read_yaml(path).get("recipe", 1))


def check_trained(folder: Path, spec_hash: str) -> None:
    """Refuse a run that was trained by another spec than the one asked for; one without a summary passes.

    Raises:
        LdregError: naming both hashes.
    """
    path = folder / "summary.json"
    if path.is_file() and (found := read_json(path).get("spec_hash")) != spec_hash:
        raise LdregError(
            f"{path}: spec_hash: {found!r} is not the one asked for ({spec_hash}): the run was trained with"
            " other settings; train it again, or set the settings back"
        )


def read_spec(path: Path) -> tuple[str, RunSpec]:
    """Return the name and the spec of the run that `path` (a `spec.yaml`) describes.

    Raises:
        LdregError: if the file is missing or invalid, if its settings do not match its `spec_hash`, or if it
            is of another recipe than this code's.
    """
    value = read_yaml(path)
    if (recipe := value.get("recipe", 1)) != RECIPE:
        raise LdregError(
            f"{path}: recipe: {recipe!r} is not this code's ({RECIPE}), which trains otherwise;"
            " run snakemake, which has the run made again and sets the old one aside"
        )
    run, digest = value.pop("run", None), value.pop("spec_hash", None)
    try:
        spec = RunSpec.model_validate(value)
    except ValidationError as error:
        raise explain(error, RunSpec, lambda location: (str(path), location)) from error
    if not isinstance(run, str):
        raise LdregError(
            f"{path}: run: {run!r} is not allowed; it should be the run's name; edit the scale file"
        )
    if spec.hash != digest:
        raise LdregError(
            f"{path}: spec_hash: {digest!r} does not fit the settings ({spec.hash}); edit the scale file"
        )
    return run, spec
