"""Settings of object detection: how a detector is built, trained and tested, and the composed images."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ldreg.config.run_spec import Count, Positive, Probability, Strength

Sizes = Annotated[tuple[Count, ...], Field(min_length=1)]


class DetectionSettings(BaseModel):
    """Settings of a Mask R-CNN detector; the defaults are the paper's.

    The defaults are those of ResNet-50-C4 on COCO with the 2x schedule of MoCo (He et al. 2020). Schedule,
    image sizes, precise batch norm and the 6000 and 1000 proposals in testing come from
    `coco_R_50_C4_2x.yaml`, which LDReg and MoCo released. Everything else comes from detectron2's
    `config/defaults.py`. `batch_size` is that of the paper's text; LDReg's released configuration for SimCLR
    has 8 at the same learning rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # schedule
    iterations: Count = 180_000
    steps: tuple[Count, ...] = (120_000, 160_000)  # iterations at which the rate is divided by ten
    batch_size: Count = 16  # images, over all ranks
    learning_rate: Positive = 0.02
    # The rate rises linearly from `warmup_factor` times itself.
    warmup_iterations: Annotated[int, Field(ge=0)] = 1000
    warmup_factor: Probability = 0.001
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Strength = 1e-4  # not applied to norm layers
    # Number of training batches from which batch norm's statistics are computed before testing; 0 keeps the
    # running statistics.
    precise_norm_batches: Annotated[int, Field(ge=0)] = 200
    # images
    # Lengths of the shorter side in pixels: training draws one at random, testing uses the last.
    min_sizes: Sizes = (640, 672, 704, 736, 768, 800)
    max_size: Count = 1333  # limit for the longer side, pixels
    flip: Probability = 0.5
    # region proposals
    anchor_sizes: Sizes = (32, 64, 128, 256, 512)  # square roots of the areas, in pixels of the resized image
    anchors_per_image: Count = 256  # number sampled for the loss
    pre_nms_train: Count = 12_000
    pre_nms_test: Count = 6000
    proposals_train: Count = 2000
    proposals_test: Count = 1000
    # regions
    regions_per_image: Count = 512  # number sampled for the loss
    region_size: Annotated[int, Field(ge=2)] = 14  # height and width of the pooled features
    mask_channels: Count = 256
    score_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.05
    detections_per_image: Count = 100

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)) or any(step >= self.iterations for step in self.steps):
            raise ValueError(
                f"steps: {list(self.steps)} is not allowed; they must rise and stay below iterations"
                f" ({self.iterations})"
            )
        if self.max_size < max(self.min_sizes):
            raise ValueError(
                f"max_size: {self.max_size} is not allowed; min_sizes go up to {max(self.min_sizes)}"
            )
        return self

    def rate(self, iteration: int) -> float:
        """Learning rate of an iteration, counted from 0, as detectron2's WarmupMultiStepLR computes it."""
        rate = self.learning_rate * 0.1 ** sum(iteration >= step for step in self.steps)
        if iteration < self.warmup_iterations:
            done = iteration / self.warmup_iterations
            rate *= self.warmup_factor * (1 - done) + done
        return rate


class ComposedSettings(BaseModel):
    """Number and look of the images of `ldreg.detection.composed`; equal settings give equal files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_images: Count = 600
    val_images: Count = 200
    canvas: Annotated[int, Field(ge=16)] = 64  # height and width, pixels
    digits: tuple[Count, Count] = (1, 4)  # smallest and largest number in an image
    sides: tuple[Count, Count] = (14, 26)  # smallest and largest side of a digit, pixels
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _ranges_fit(self) -> Self:
        for key in ("digits", "sides"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(
                    f"{key}: [{low}, {high}] is not allowed; the first must not exceed the second"
                )
        if self.sides[1] > self.canvas:
            raise ValueError(f"sides: {self.sides[1]} is more than the canvas ({self.canvas})")
        return self
