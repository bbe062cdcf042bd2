"""The blocks of a scale file, which are validated before any job runs."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.measurements import Measurement
from ldreg.config.detection import ComposedSettings, DetectionSettings
from ldreg.config.run_spec import Count, Name, Positive, Probability, Strength, ViewSettings
from ldreg.errors import check_once
from ldreg.files import expanded

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Rates = Annotated[tuple[Positive, ...], Field(min_length=1)]
Neighborhoods = Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]


def _folder(path: str) -> str:
    try:
        return expanded(path)
    except ValueError as error:
        raise PydanticCustomError("folder", "{problem}", {"problem": str(error)}) from error


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Seeded(_Block):
    """A block with `seeds`; each seed is one repetition of a run."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        seeds = getattr(self, "seeds", None) or ()
        for seed in seeds:
            if seeds.count(seed) > 1:
                raise ValueError(f"seeds: {list(seeds)} is not allowed; {seed} should be there once")
        return self


class Execution(_Block):
    """How runs are executed at this scale. These settings are not part of a run's specification."""

    gpus: Annotated[int, Field(ge=0)] = 0  # per run and node; 0 means the CPU
    nodes: Count = 1  # per run; more than one needs SLURM, which starts the ranks
    threads: Count = 1  # per job and node
    workers: Annotated[int, Field(ge=0)] = 0  # processes per rank that decode images
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    # Images per forward pass of a rank; null means its whole share of the batch.
    micro_batch: Count | None = None
    accumulation: Literal["cached", "plain"] = "cached"  # how gradients of micro-batches are combined
    monitors: bool = True  # live measurements, which change no result
    corrupt_images: Literal["stop", "skip"] = "stop"  # what happens if an image file cannot be decoded
    checkpoint_minutes: Positive = 10.0  # between two checkpoints of a job, which goes on from the last one
    memory_mb: Count = 4000  # per job, for a cluster's scheduler
    # Time limit per job in hours, for a cluster's scheduler. It grows in proportion if a run has more epochs
    # than the scale's default.
    hours: Positive = 24.0
    # Wall-clock limit of one job in hours, if a cluster allows less than `hours`. A job that resumes ends
    # itself before it with a checkpoint, and is started again until it is finished.
    slot: Positive | None = None
    data: Annotated[str, AfterValidator(_folder)] = "data"  # folder of the datasets; ~ and $NAME are replaced

    @property
    def pretrain_options(self) -> str:
        """Options of `ldreg pretrain`, except its number of threads."""
        monitored = "" if self.monitors else " --no-monitors"
        return f"{self.step_options}{monitored}{self._resuming}"

    @property
    def _resuming(self) -> str:
        """Options of a job that goes on after an interruption, where they are not its defaults."""
        usual = Execution.model_fields["checkpoint_minutes"].default
        minutes = self.checkpoint_minutes
        options = "" if minutes == usual else f" --checkpoint-minutes {minutes:g}"
        return options if self.slot is None else f"{options} --budget {self.slot:g}h"

    def limit(self, hours: float) -> float:
        """The time limit in hours of one job of a run that takes `hours` as a whole, and resumes."""
        return hours if self.slot is None else min(hours, self.slot)

    def retries(self, hours: float) -> int | None:
        """How often such a job is started again; None leaves it to Snakemake's option `--retries`.

        >>> Execution(slot=4.0).retries(28.0), Execution().retries(28.0)
        (7, None)
        """
        return None if self.slot is None else math.ceil(hours / self.slot)

    @property
    def step_options(self) -> str:
        """Options of `ldreg step-cost`: how a step of pretraining is executed."""
        options = [f"--gpus {self.gpus}", f"--nodes {self.nodes}", f"--workers {self.workers}"]
        options += [f"--precision {self.precision}", f"--corrupt-images {self.corrupt_images}"]
        if self.micro_batch:
            options += [f"--micro-batch {self.micro_batch}", f"--accumulation {self.accumulation}"]
        return " ".join(options)

    @property
    def measure_options(self) -> str:
        """Options of `ldreg measure`, which uses at most one GPU."""
        return f"--gpus {min(self.gpus, 1)} --workers {self.workers} --corrupt-images {self.corrupt_images}"

    @property
    def detect_options(self) -> str:
        """Options of `ldreg detect`, which uses the GPUs of pretraining."""
        return f"{self.float32_options} --precision {self.precision}"

    @property
    def float32_options(self) -> str:
        """Options of a job that uses the GPUs of pretraining and always computes in float32."""
        return (
            f"--gpus {self.gpus} --nodes {self.nodes} --workers {self.workers}"
            f" --corrupt-images {self.corrupt_images}"
        )

    @property
    def cluster_resources(self) -> dict[str, int | str]:
        """Resources that a run on several nodes requests from SLURM, besides memory, time and CPUs."""
        if self.nodes == 1:
            return {}
        # With `mpi` the job itself starts its tasks, so the allocation must have room for all of them.
        per_node = max(self.gpus, 1)
        return {
            "mpi": "srun",
            "nodes": self.nodes,
            "tasks": self.nodes * per_node,
            "tasks_per_gpu": 0,
            "cpus_per_task": max(1, self.threads // per_node),
        }

    def options_of(self, measurement: Measurement) -> str:
        """Options of the command of a measurement, except its number of threads."""
        if measurement.takes_training_steps:
            return self.step_options
        options = self.measure_options
        if measurement.runs_like_pretraining:
            options = self.float32_options if measurement.in_float32 else self.detect_options
        return options + self._resuming if measurement.resumes else options

    def resources_of(self, measurement: Measurement) -> dict[str, int | str]:
        """Resources of a measurement: its GPUs, and for several nodes what SLURM must grant."""
        if measurement.runs_like_pretraining:
            return {**self.cluster_resources, "gpu": self.gpus * self.nodes}
        return {"gpu": min(self.gpus, 1)}


class LinearPaper(_Block):
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


class Evaluation(_Block):
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


class Transfer(_Block):
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


class Detection(_Block):
    """The data set and settings for fine-tuning detectors, for exhibits that show detection."""

    dataset: Literal["composed_digits", "coco"]
    composed: ComposedSettings = ComposedSettings()
    settings: DetectionSettings = DetectionSettings()


class ReportedLid(_Block):
    """Which measured LID exhibits show as mLID."""

    estimator: Literal["mom", "mle"]
    k: Annotated[int, Field(ge=2)]
    batch_rows: Annotated[int, Field(ge=4)] | None = None  # null: neighbours are searched in the full split


class Report(_Block):
    mlid: ReportedLid
    effective_rank: Literal["correlation", "covariance", "second_moment"] = "correlation"
    linear: Literal["cached", "paper"] = "cached"  # protocol of the linear accuracy
    scale_of_paper: bool = False  # only then are values, not just effects, comparable with the paper


class Cost(_Block):
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
    settings: dict[str, Any] = {}


class ScaleFile(_Seeded):
    """The content of `config/<scale>.yaml`."""

    scale: Name
    run: dict[str, Any]
    methods: dict[Name, dict[str, Any]] = {}
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
