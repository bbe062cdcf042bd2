"""How runs are executed: the block `execution` of a scale file, which is no part of a run's specification."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ldreg.catalogue.measurements import Measurement
from ldreg.config.run_spec import Count, Positive
from ldreg.files import expanded


class Block(BaseModel):
    """A block of a scale file, whose keys are those of its fields alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _folder(path: str) -> str:
    try:
        return expanded(path)
    except ValueError as error:
        raise PydanticCustomError("folder", "{problem}", {"problem": str(error)}) from error


class Execution(Block):
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
