"""The blocks of a scale file, which are validated before any job runs."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.config.detection import ComposedSettings, DetectionSettings
from ldreg.config.execution import Block, Execution
from ldreg.config.run_spec import Count, Name, Positive, Probability, Strength, ViewSettings
from ldreg.errors import check_once

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Rates = Annotated[tuple[Positive, ...], Field(min_length=1)]
Neighborhoods = Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]


class _Seeded(Block):
    """A block with `seeds`; each seed is one repetition of a run."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        seeds = getattr(self, "seeds", None) or ()
        for seed in seeds:
            if seeds.count(seed) > 1:
                raise ValueError(f"seeds: {list(seeds)} is not allowed; {seed} should be there once")
        return self


class LinearPaper(Block):
    """The linear evaluation on crops (`ldreg.evaluation.linear_paper`); the defaults are the paper's."""

    epochs: Count = 90
    batch_size: Annotated[int, Field(ge=2)] = 4096  # over all ranks
    base_lr: Positive = 0.1  # times batch_size / 256
    final_lr_factor: Strength = 1e-6  # the rate at the end of the cosine, as a share of that at its beginning
    crop_scale: tuple[Probability, Probability] = (0.08, 1.0)
    crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    flip: Probability = 0.5

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        _ = self.view
        return self

    @property
    def view(self) -> ViewSettings:
        """How a training image is cropped and flipped."""
        keys = ("crop_scale", "crop_ratio", "interpolation", "flip")
        return ViewSettings(**{key: getattr(self, key) for key in keys})


class Evaluation(Block):
    """How a trained encoder is measured. A change here repeats measurements but trains nothing."""

    # The protocols of linear evaluation: `cached` is measured of every run whose scale has it, `paper` of the
    # runs of exhibits that show it.
    linear: Annotated[tuple[Literal["cached", "paper"], ...], Field(min_length=1)] = ("cached",)
    # What of a test image that is a file is seen (`ldreg.data.loader.TEST_VIEWS`).
    test_view: Literal["torchvision", "authors"] = "torchvision"
    linear_paper: LinearPaper = LinearPaper()
    linear_epochs: Count = 100
    linear_batch_size: Count = 256
    linear_learning_rates: Rates = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    # Fraction of the training split that is held out to choose the learning rate.
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    knn_k: Count = 20
    knn_temperature: Positive = 0.1
    lid_ks: Neighborhoods = (16, 32, 64)
    lid_batch_rows: Annotated[int, Field(ge=4)] = 2048  # rows of a mini-batch, for LID within mini-batches

    @model_validator(mode="after")
    def _each_protocol_once(self) -> Self:
        check_once("linear", self.linear)
        return self

    @model_validator(mode="after")
    def _batches_hold_the_neighbours(self) -> Self:
        if max(self.lid_ks) > self.lid_batch_rows - 2:
            raise ValueError(
                f"lid_ks: {max(self.lid_ks)} is not allowed; at most {self.lid_batch_rows - 2},"
                f" by lid_batch_rows ({self.lid_batch_rows})"
            )
        return self


class Transfer(Block):
    """Other data sets on which trained encoders are tested, for exhibits that show transfer."""

    datasets: Annotated[tuple[Literal[tuple(DATA_SETS)], ...], Field(min_length=1)]
    epochs: Count = 30
    batch_size: Count = 256
    learning_rates: Rates = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    weight_decays: Annotated[tuple[Strength, ...], Field(min_length=1)] = (0.0, 5e-4)
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    # Which accuracy exhibits show: with the paper's fixed setting, or the one chosen on the hold-out.
    # Both are measured.
    reported: Literal["paper", "chosen"] = "paper"
    train_images: Count | None = None  # upper limit; null means all

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        check_once("datasets", self.datasets)
        return self


class Detection(Block):
    """The data set and settings for fine-tuning detectors, for exhibits that show detection."""

    dataset: Literal["composed_digits", "coco"]
    composed: ComposedSettings = ComposedSettings()
    settings: DetectionSettings = DetectionSettings()


class ReportedLid(Block):
    """Which measured LID exhibits show as mLID."""

    estimator: Literal["mom", "mle"]
    k: Annotated[int, Field(ge=2)]
    batch_rows: Annotated[int, Field(ge=4)] | None = None  # null: neighbours are searched in the full split


class Report(Block):
    mlid: ReportedLid
    effective_rank: Literal["correlation", "covariance", "second_moment"] = "correlation"
    linear: Literal["cached", "paper"] = "cached"  # protocol of the linear accuracy
    scale_of_paper: bool = False  # only then are values, not just effects, comparable with the paper


class Cost(Block):
    """Expected cost of a run. `ldreg plan` uses it until runs on this machine have been timed."""

    pretrain_hours: Positive  # wall time of one run
    measure_hours: Positive
    linear_paper_hours: Positive | None = None  # one run; null: unknown, not counted
    transfer_hours: Positive | None = None  # one run to all data sets; null: unknown, not counted
    detection_hours: Positive | None = None  # one fine-tuning; null: unknown, not counted
    source: str
    dataset_gb: Positive  # on disk


class Exhibit(_Seeded):
    """A table, figure or list of claims: its runs and its renderer."""

    renderer: Name
    title: str
    caption: str
    category: str
    runs: tuple[dict[str, Any], ...] = ()  # empty if it needs no trained network
    runs_of: tuple[Name, ...] = ()  # exhibits whose runs it shows, too, if the scale has them
    seeds: Seeds | None = None  # seeds of its own runs; null means the scale's
    settings: dict[str, Any] = Field(default_factory=dict)


class ScaleFile(_Seeded):
    """The content of `config/<scale>.yaml`."""

    scale: Name
    run: dict[str, Any]
    methods: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    seeds: Seeds
    execution: Execution = Execution()
    evaluation: Evaluation = Evaluation()
    transfer: Transfer | None = None
    detection: Detection | None = None
    report: Report
    cost: Cost
    exhibits: Annotated[dict[Name, dict[str, Any] | None], Field(min_length=1)]
    core: tuple[Name, ...]

    @model_validator(mode="after")
    def _shows_what_is_measured(self) -> Self:
        shown, measured = self.report.mlid, self.evaluation
        if self.report.linear not in measured.linear:
            raise ValueError(
                f"report.linear: {self.report.linear} is not measured; allowed (evaluation.linear):"
                f" {', '.join(measured.linear)}"
            )
        if shown.k not in measured.lid_ks:
            ks = ", ".join(str(k) for k in measured.lid_ks)
            raise ValueError(f"report.mlid.k: {shown.k} is not measured; allowed (evaluation.lid_ks): {ks}")
        if shown.batch_rows not in (None, measured.lid_batch_rows):
            raise ValueError(
                f"report.mlid.batch_rows: {shown.batch_rows} is not measured; allowed: null,"
                f" {measured.lid_batch_rows} (evaluation.lid_batch_rows)"
            )
        return self
