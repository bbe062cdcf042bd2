"""How a detector is built, trained and tested (the defaults are the paper's), and on what composed images."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ldreg.config.run_spec import Count, Positive, Probability, Strength

Sizes = Annotated[tuple[Count, ...], Field(min_length=1)]


class DetectionSettings(BaseModel):
    """Mask R-CNN, ResNet-50-C4, with the 2x schedule of MoCo (He et al. 2020), on COCO.

    Sources of the defaults: LDReg's and MoCo's released `coco_R_50_C4_2x.yaml` (schedule, sizes, precise
    batch norm, 6000 and 1000 proposals in testing), and detectron2's `config/defaults.py` for all that these
    leave open. `batch_size` is the text's; LDReg's released SimCLR configuration has 8, at the same rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # schedule
    iterations: Count = 180_000
    steps: tuple[Count, ...] = (120_000, 160_000)  # iterations after which the rate falls to a tenth
    batch_size: Count = 16  # images, over all ranks
    learning_rate: Positive = 0.02
    warmup_iterations: Annotated[int, Field(ge=0)] = 1000  # linear from `warmup_factor`
    warmup_factor: Probability = 0.001
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Strength = 1e-4  # norms have none
    # Training batches over which batch norm's statistics are averaged before testing; 0 keeps running ones.
    precise_norm_batches: Annotated[int, Field(ge=0)] = 200
    # images
    min_sizes: Sizes = (
        640,
        672,
        704,
        736,
        768,
        800,
    )  # of the shorter side; one is drawn, tests take the last
    max_size: Count = 1333  # of the longer side
    flip: Probability = 0.5
    # region proposals
    anchor_sizes: Sizes = (32, 64, 128, 256, 512)  # pixels of the resized image, roots of the areas
    anchors_per_image: Count = 256  # that are sampled for the loss
    pre_nms_train: Count = 12_000
    pre_nms_test: Count = 6000
    proposals_train: Count = 2000
    proposals_test: Count = 1000
    # regions
    regions_per_image: Count = 512  # that are sampled for the loss
    region_size: Annotated[int, Field(ge=2)] = 14  # of the pooled features, height and width
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
        """The learning rate of the iteration (0 is the first): detectron2's WarmupMultiStepLR."""
        rate = self.learning_rate * 0.1 ** sum(iteration >= step for step in self.steps)
        if iteration < self.warmup_iterations:
            done = iteration / self.warmup_iterations
            rate *= self.warmup_factor * (1 - done) + done
        return rate


class ComposedSettings(BaseModel):
    """Images of `ldreg.detection.composed`, how they look and how many; equal settings give equal files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_images: Count = 600
    val_images: Count = 200
    canvas: Annotated[int, Field(ge=16)] = 64  # height and width, pixels
    digits: tuple[Count, Count] = (1, 4)  # fewest and most in an image
    sides: tuple[Count, Count] = (14, 26)  # of a digit's square, pixels
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
