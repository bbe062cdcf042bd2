"""What a run is: every setting that changes its result, as one value, and the folder name made from it.

How a run is executed (number of GPUs, threads, precision, workers) is no part of it; see
`ldreg.config.scale_file`.
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
from ldreg.files import read_yaml, write_text

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
LISTS = ("projector", "predictor")  # settings that are lists themselves, where lists else are a sweep's axes
WATCHING = ("monitor_k", "knn_every")  # settings of the live monitors, which change no result
# Names become folder names, in which "-" separates the parts.
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]  # of a head's layers
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


# Which code made a run. Raised by every change of the code that alters what a run comes to, with a line in
# CHANGELOG.md: runs of another recipe are then made again. Runs that name none are of recipe 1.
RECIPE = 2


class ViewSettings(BaseModel):
    """How one augmented view is made from an image; the defaults make a plain copy (no augmentation)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_scale: tuple[Probability, Probability] = (1.0, 1.0)  # area of the crop relative to the image
    crop_ratio: tuple[Positive, Positive] = (1.0, 1.0)  # width / height of the crop, log-uniform
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    rotation: Strength = 0.0  # greatest angle either way, degrees
    flip: Probability = 0.0
    jitter: Probability = 0.0  # probability that an image is jittered at all
    brightness: Strength = 0.0  # factors uniform in [max(0, 1 - x), 1 + x]
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # shift uniform in [-x, x], in turns
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
    """One pretraining run. Two runs with equal specs (but for `scale`) give the same result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Name
    # data
    dataset: Literal[tuple(DATA_SETS)]
    train_images: Count | None = None  # class-balanced subset of the training split; null means all
    image_size: Annotated[int, Field(ge=8)]
    augmentation: Name  # a block of config/augmentations.yaml
    jitter: Strength = 1.0  # scales the colour jitter of that block
    # What the two settings above come to.
    views: Annotated[tuple[ViewSettings, ...], Field(min_length=1, max_length=2)]
    # method
    method: Literal[tuple(METHODS)]
    backbone: Literal[tuple(BACKBONES)]
    projector: Widths | None = None
    predictor: Widths | None = None
    temperature: Positive | None = None
    # of the momentum encoder at the start; rises to 1
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
    # fraction of the epochs before the term is added
    regularizer_start: Annotated[float, Field(ge=0, lt=1)] = 0.1
    # optimisation
    batch_size: Annotated[int, Field(ge=4)]  # images in the global batch, over all ranks
    epochs: Count
    warmup_epochs: Annotated[int, Field(ge=0)]  # of the learning rate
    optimizer: Literal[tuple(OPTIMIZERS)]
    base_lr: Positive
    lr_scaling: Literal["sqrt", "linear", "none"]  # x sqrt(batch), x batch / 256, or as it stands
    final_lr_factor: Annotated[float, Field(ge=0, le=1)] = 0.0  # where the cosine ends, of its beginning
    bias_lr_factor: Positive = 1.0  # the rate of biases and norms, of the weights'
    weight_decay: Strength
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999  # of AdamW
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
        # LID needs two neighbours beside the k-th among the batch's rows.
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
        """Whether the loss of a batch is more than the mean of its images' own losses."""
        return self.regularizer != "none" or METHODS[self.method].couples_images

    @property
    def hash(self) -> str:
        """Hash of all that changes the result: 12 hexadecimal digits."""
        value = self.model_dump(mode="json", exclude={"scale"})
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def spec_text(spec: RunSpec, run: str) -> str:
    """What `spec.yaml` says of a run."""
    value = {"run": run, "spec_hash": spec.hash, **spec.model_dump(mode="json")}
    head = "# One run of ldreg, made from the scale file: edit that one.\n"
    return head + yaml.safe_dump(value, sort_keys=False)


def write_spec(path: Path, spec: RunSpec, run: str) -> None:
    """Write `spec.yaml`, a run's only input besides data; a file that says the same stays as it is."""
    text = spec_text(spec, run)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def recipe_of(path: Path) -> int:
    """The recipe that a `spec.yaml` names, 1 where it names none."""
    return int(read_yaml(path).get("recipe", 1))


def read_spec(path: Path) -> tuple[str, RunSpec]:
    """Name and spec of the run that `path` (a `spec.yaml`) describes.

    Raises:
        LdregError: if it cannot be read, was edited, or is of another recipe than this code's.
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
