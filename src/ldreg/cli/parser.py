"""The command line: `ldreg data | pretrain | import | measure | transfer | exhibit | site | show | ...`.

What each command does is in `ldreg.cli.commands`.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from ldreg.catalogue.measurements import MEASUREMENTS
from ldreg.cli.commands import COMMANDS
from ldreg.errors import LdregError
from ldreg.runtime.console import logging_to, say, tell
from ldreg.runtime.launch import adopt_slurm_rank

_PATIENCE = 60.0  # seconds that rank 0 may take to close its tracking and tell


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a failure of ours, 2 for a user's mistake."""
    arguments = _parser().parse_args(argv)
    adopt_slurm_rank()
    log = getattr(arguments, "log", None)
    try:
        with logging_to(log) as terminal:
            try:
                arguments.command(arguments, terminal)
            except LdregError as error:
                if int(os.environ.get("RANK", 0)) > 0:
                    # All ranks share the mistake and rank 0 tells it; torchrun ends it when another one ends.
                    time.sleep(_PATIENCE)
                say(terminal, f"error: {error}")
                return 2
            except KeyboardInterrupt:
                tell(terminal, "interrupted")
                return 130
            except ModuleNotFoundError as error:
                hint = "in ldreg's folder, pip install '.[train]' brings it"
                say(terminal, f"error: this command needs {error.name}; {hint}")
                return 2
            except Exception as error:
                traceback.print_exc()
                if terminal is not sys.stderr:
                    print(f"error: {type(error).__name__}: {error} (see {log})", file=terminal)
                return 1
    except LdregError as error:  # the log itself
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def entry() -> NoReturn:
    """The installed command: `main`, then the end of the process at once."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written and closed. Taking torch and MLflow down in order costs about a second, which the
    # many short jobs of a workflow need not spend.
    os._exit(status)


def _at_least(low: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < low:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not allowed; it should be a whole number from {low}"
            )
        return int(text)

    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ldreg", description="Jobs of the LDReg reproduction.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help: str, logs: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=COMMANDS[name])
        if logs:
            sub.add_argument(
                "--log", type=Path, help="file that takes all output; the essentials stay here too"
            )
        return sub

    data = command("data", "fetch and verify a data set", logs=True)
    data.add_argument("dataset")
    data.add_argument("--output", type=Path, help="its dataset.json; default data/DATASET/dataset.json")
    data.add_argument(
        "--offer",
        type=Path,
        help="file to say whether it can be had: that nothing is there is then no failure",
    )

    pretrain = command("pretrain", "train the run that a spec.yaml describes", logs=True)
    pretrain.add_argument("spec", type=Path)
    pretrain.add_argument("--no-monitors", dest="monitors", action="store_false", help="measure nothing live")

    imported = command("import", "make a finished run of weights that were trained elsewhere")
    imported.add_argument(
        "weights", type=Path, help="state dict of the authors', torchvision's or timm's layout"
    )
    imported.add_argument("--scale", type=Path, required=True, help="e.g. config/imagenet.yaml")
    imported.add_argument("--run", required=True, help="e.g. simclr-resnet50/ldreg_l1-beta0.01-k64/seed0")
    imported.add_argument(
        "--force", action="store_true", help="replace a finished run and remove its measurements"
    )

    measurements = _add_measurements(command)

    composed = command("compose", "compose a small detection set of digits", logs=True)
    composed.add_argument("--settings", type=Path, required=True, help="the scale's detection.yaml")
    composed.add_argument("--data", type=Path, required=True, help="dataset.json of the digits")
    composed.add_argument("--output", type=Path, required=True, help="its composed.json")

    coco = command("coco", "check COCO's files before anything trains for them", logs=True)
    coco.add_argument("folder", type=Path, help="holds train2017, val2017 and annotations")
    coco.add_argument("--output", type=Path, required=True, help="a .json file to say what is there")

    exported = command("export-detectron2", "write a ResNet-50 for detectron2's recipe")
    exported.add_argument("encoder", type=Path, help="a run's encoder.safetensors")
    exported.add_argument(
        "output", type=Path, help="a .pkl file; the recipe appears beside it, a .yaml and a .py"
    )

    synthetic = command("synthetic", "compute what Figure 1 or 3 shows: points in the plane", logs=True)
    synthetic.add_argument("figure", choices=("figure1", "figure3"))
    synthetic.add_argument("--seeds", type=_at_least(0), nargs="+", default=[0])
    synthetic.add_argument("--output", type=Path, required=True, help="its .json, beside the exhibit's spec")

    _add_execution(pretrain, measurements)

    exhibit = command("exhibit", "render the exhibit that a .spec.yaml describes", logs=True)
    exhibit.add_argument("spec", type=Path)

    shown = command("show", "print a scale's Table 1 and claims, and where everything lies")
    shown.add_argument("folder", type=Path, help="e.g. results/demo")

    site = command("site", "write a scale's index.html: all its exhibits on one page", logs=True)
    site.add_argument("folder", type=Path, help="e.g. results/demo")
    site.add_argument(
        "--exhibits",
        nargs="+",
        default=(),
        help="names in the order shown; default as declared",
    )
    site.add_argument(
        "--screenshot", type=Path, metavar="PNG", help="also a picture of its top (needs Chromium)"
    )
    site.add_argument("--height", type=_at_least(100), default=1600, help="of the picture, pixels")

    planned = command("plan", "runs, GPU-hours and disk that a scale needs")
    planned.add_argument("scale", type=Path, help="e.g. config/imagenet.yaml")

    track = command("track", "log what finished jobs have left to MLflow", logs=True)
    track.add_argument("folder", type=Path, nargs="+", help="of a run, or of a scale for all that it has")
    track.add_argument(
        "--output", type=Path, help="file to say what was logged: that MLflow fails is then one warning"
    )
    return parser


def _add_measurements(command: Callable[..., argparse.ArgumentParser]) -> dict[str, argparse.ArgumentParser]:
    """The measurements' commands by key; those with settings of their own are told these and more."""
    measurements = {}
    for measurement in MEASUREMENTS.values():
        job = measurements[measurement.key] = command(measurement.command, measurement.help, logs=True)
        job.add_argument("spec", type=Path)
    measure, transfer, detect = (measurements[key] for key in ("measure", "transfer", "detect"))
    measure.add_argument("--evaluation", type=Path, required=True, help="the scale's evaluation.yaml")
    for job, name in ((transfer, "transfer.yaml"), (detect, "detection.yaml")):
        job.add_argument("--settings", type=Path, required=True, help=f"the scale's {name}")
        job.add_argument("--pretrained-on", type=Path, required=True, help="dataset.json of the run's own")
    transfer.add_argument(
        "--data", type=Path, required=True, nargs="+", help="what `ldreg data --offer` said of each other"
    )
    detect.add_argument("--data", type=Path, required=True, help="composed.json or instances_train2017.json")
    return measurements


def _add_execution(
    pretrain: argparse.ArgumentParser, measurements: Mapping[str, argparse.ArgumentParser]
) -> None:
    """What all jobs on runs are told of their data, and of how they are executed."""
    by_key = MEASUREMENTS.items()
    for job in (pretrain, *(measurements[key] for key, each in by_key if each.takes_training_steps)):
        job.add_argument("--micro-batch", type=_at_least(1), help="images per forward pass of a GPU")
        job.add_argument("--accumulation", choices=("cached", "plain"), default="cached")
    plain = (measurements[key] for key, each in by_key if each.has_plain_rule)
    for job in (pretrain, measurements["measure"], *plain):
        job.add_argument("--data", type=Path, required=True, help="dataset.json of the run's data set")
    for job in (pretrain, *(measurements[key] for key, each in by_key if each.runs_like_pretraining)):
        job.add_argument("--nodes", type=_at_least(1), default=1, help="several are started by SLURM's srun")
        job.add_argument("--precision", choices=("float32", "bf16", "fp16"), default="float32")
    for job in (pretrain, *measurements.values()):
        job.add_argument("--gpus", type=int, default=0, help="per node; 0 is the CPU, several start torchrun")
        job.add_argument("--threads", type=_at_least(1), default=1)
        job.add_argument(
            "--workers", type=_at_least(0), default=0, help="processes per GPU that decode images from files"
        )
        job.add_argument(
            "--corrupt-images", choices=("stop", "skip"), default="stop", help="at files that hold no image"
        )


if __name__ == "__main__":
    entry()
