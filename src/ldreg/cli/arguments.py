"""Arguments that several commands share: their types, and how jobs on runs are executed."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from ldreg.catalogue.measurements import MEASUREMENTS
from ldreg.runtime.slices import seconds_of


def at_least(low: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `low`."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < low:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not allowed; it should be a whole number from {low}"
            )
        return int(text)

    return number


def positive(text: str) -> float:
    """The type of an argument that is a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it should be a number above 0")
    return number


def duration(text: str) -> float:
    """The type of an argument that is a time; in seconds."""
    try:
        return seconds_of(text)
    except ValueError:
        allowed = "it should be a time with its unit, such as 4h, 50m or 90s"
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; {allowed}") from None


def add_measurements(command: Callable[..., argparse.ArgumentParser]) -> dict[str, argparse.ArgumentParser]:
    """The measurements' commands by key; those with settings of their own have more arguments."""
    measurements = {}
    for measurement in MEASUREMENTS.values():
        job = measurements[measurement.key] = command(measurement.command, measurement.help, logs=True)
        job.add_argument("spec", type=Path, help="as of ldreg pretrain")
    measure, transfer, detect = (measurements[key] for key in ("measure", "transfer", "detect"))
    measure.add_argument("--evaluation", type=Path, required=True, help="the scale's evaluation.yaml")
    paper = measurements["linear_paper"]
    paper.add_argument("--settings", type=Path, required=True, help="the scale's linear_paper.yaml")
    for job, name in ((transfer, "transfer.yaml"), (detect, "detection.yaml")):
        job.add_argument("--settings", type=Path, required=True, help=f"the scale's {name}")
        job.add_argument(
            "--pretrained-on", type=Path, required=True, help="dataset.json of the run's own data set"
        )
    transfer.add_argument(
        "--data",
        type=Path,
        required=True,
        nargs="+",
        help="the files that `ldreg data --offer` wrote, one for each data set",
    )
    detect.add_argument("--data", type=Path, required=True, help="composed.json or instances_train2017.json")
    return measurements


def add_execution(
    pretrain: argparse.ArgumentParser, measurements: Mapping[str, argparse.ArgumentParser]
) -> None:
    """Add the arguments of all jobs on runs: their data, and how they are executed."""
    by_key = MEASUREMENTS.items()
    for job in (pretrain, *(measurements[key] for key, each in by_key if each.takes_training_steps)):
        job.add_argument("--micro-batch", type=at_least(1), help="images in one forward pass of a GPU")
        job.add_argument(
            "--accumulation",
            choices=("cached", "plain"),
            default="cached",
            help="how gradients of micro-batches are combined; cached is exact for every loss",
        )
    plain = (measurements[key] for key, each in by_key if each.has_plain_rule)
    for job in (pretrain, measurements["measure"], measurements["linear_paper"], *plain):
        job.add_argument("--data", type=Path, required=True, help="dataset.json of the run's data set")
    for job in (pretrain, *(measurements[key] for key, each in by_key if each.runs_like_pretraining)):
        job.add_argument(
            "--nodes", type=at_least(1), default=1, help="number of nodes; SLURM's srun starts several"
        )
    by_precision = [
        measurements[key] for key, each in by_key if each.runs_like_pretraining and not each.in_float32
    ]
    for job in (pretrain, *by_precision):
        job.add_argument(
            "--precision",
            choices=("float32", "bf16", "fp16"),
            default="float32",
            help="of the networks; losses and LID are computed in float32",
        )
    for job in (pretrain, *(measurements[key] for key, each in by_key if each.resumes)):
        job.add_argument(
            "--checkpoint-minutes",
            type=positive,
            default=10.0,
            metavar="MINUTES",
            help="time between two checkpoints, from which the command goes on after an interruption",
        )
        job.add_argument(
            "--budget",
            type=duration,
            metavar="TIME",
            help="end with a checkpoint before this time is over, e.g. 4h, 50m or 90s",
        )
        job.add_argument(
            "--attempt",
            type=at_least(1),
            default=1,
            metavar="N",
            help="how often Snakemake has started this job; a job that has failed is not tried again",
        )
    for job in (pretrain, *measurements.values()):
        job.add_argument(
            "--gpus", type=at_least(0), default=0, help="GPUs per node; 0: CPU, several: torchrun"
        )
        job.add_argument("--threads", type=at_least(1), default=1, help="threads of a node's CPU")
        job.add_argument(
            "--workers", type=at_least(0), default=0, help="processes per GPU that decode image files"
        )
        job.add_argument(
            "--corrupt-images",
            choices=("stop", "skip"),
            default="stop",
            help="what to do at files that hold no image",
        )
