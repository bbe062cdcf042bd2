"""The command line: `ldreg data | pretrain | import | measure | transfer | exhibit | site | show | ...`.

`ldreg.cli.commands` holds the commands themselves.
"""

import argparse
import os
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn, TextIO

from ldreg.cli.arguments import add_execution, add_measurements, at_least
from ldreg.cli.commands import COMMANDS
from ldreg.cli.queueing import add_queue
from ldreg.errors import LdregError
from ldreg.runtime.console import logging_to, say, tell
from ldreg.runtime.ranks import settle_rank
from ldreg.runtime.slices import LAUNCHED, UNFINISHED, SliceEnded, requeue
from ldreg.runtime.surroundings import settle_temporary_folder, too_long

_PATIENCE = 60.0  # seconds that rank 0 may take to close its tracking and to report an error


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a failure of ldreg, 2 for a user's mistake."""
    arguments = _parser().parse_args(argv)
    log = getattr(arguments, "log", None)
    settle_temporary_folder()
    try:
        # Commands with ranks are those that can have several nodes.
        remark = settle_rank(ranked=hasattr(arguments, "nodes"))
        with logging_to(log) as terminal:
            if remark:
                say(terminal, remark)
            try:
                arguments.command(arguments, terminal)
            except LdregError as error:
                if int(os.environ.get("RANK", 0)) > 0:
                    # All ranks see the same mistake, and rank 0 reports it. torchrun ends it if another rank
                    # ends.
                    time.sleep(_PATIENCE)
                say(terminal, f"error: {error}")
                return 2
            except KeyboardInterrupt:
                tell(terminal, "interrupted")
                return 130
            except SliceEnded as ended:
                return _unfinished(ended, terminal)
            except ModuleNotFoundError as error:
                hint = "in ldreg's folder, pip install '.[train]' brings it"
                say(terminal, f"error: this command needs {error.name}; {hint}")
                return 2
            except Exception as error:
                if isinstance(error, OSError) and (mistake := too_long(error)):
                    say(terminal, f"error: {mistake}")
                    return 2
                traceback.print_exc()
                if terminal is not sys.stderr:
                    print(f"error: {type(error).__name__}: {error} (see {log})", file=terminal)
                return 1
    except LdregError as error:  # from opening the log itself
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _unfinished(ended: SliceEnded, terminal: TextIO) -> int:
    """The exit status of a job that ended itself with a checkpoint; rank 0 says where.

    torchrun would take any status of a rank but 0 for a failure, so that the line alone tells our own parent.
    """
    if int(os.environ.get("RANK", 0)) == 0:
        say(terminal, str(ended))
    if LAUNCHED in os.environ and "RANK" in os.environ:
        return 0
    if int(os.environ.get("RANK", 0)) == 0:
        requeue(str(ended))
    return UNFINISHED


def entry() -> NoReturn:
    """The installed command: run `main`, then end the process at once."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written and closed. An orderly end of torch and MLflow takes about a second, which the
    # many short jobs of a workflow need not spend.
    os._exit(status)


class _Parser(argparse.ArgumentParser):
    """A parser that tells a mistake in one line, as all other mistakes are told."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake and end the process with status 2."""
        self.exit(2, f"error: {' '.join(message.split())}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ldreg", description="Jobs of the LDReg reproduction.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help: str, logs: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=COMMANDS[name])
        if logs:
            sub.add_argument(
                "--log", type=Path, help="a file for all output; errors and progress also stay here"
            )
        return sub

    data = command("data", "download and verify a data set", logs=True)
    data.add_argument("dataset")
    data.add_argument("--output", type=Path, help="the set's dataset.json; default data/DATASET/dataset.json")
    data.add_argument(
        "--offer",
        type=Path,
        help="write whether the set is available to this file; a missing set is then no failure",
    )

    pretrain = command("pretrain", "train the run that a spec.yaml describes", logs=True)
    pretrain.add_argument(
        "spec", type=Path, help="the run's file below results/SCALE/specs, or its spec.yaml"
    )
    pretrain.add_argument(
        "--no-monitors", dest="monitors", action="store_false", help="do not measure anything during training"
    )

    imported = command("import", "turn weights that were trained elsewhere into a finished run")
    imported.add_argument("weights", type=Path, help="a state dict of the LDReg authors, torchvision or timm")
    imported.add_argument("--scale", type=Path, required=True, help="e.g. config/imagenet.yaml")
    imported.add_argument("--run", required=True, help="e.g. simclr-resnet50/ldreg_l1-beta0.01-k64/seed0")
    imported.add_argument(
        "--force", action="store_true", help="replace a finished run and remove its measurements"
    )

    measurements = add_measurements(command)

    composed = command("compose", "compose a small detection set of digits", logs=True)
    composed.add_argument("--settings", type=Path, required=True, help="the scale's detection.yaml")
    composed.add_argument("--data", type=Path, required=True, help="dataset.json of the digits")
    composed.add_argument("--output", type=Path, required=True, help="the composed.json to write")

    coco = command("coco", "check COCO's files before anything trains for them", logs=True)
    coco.add_argument("folder", type=Path, help="the folder with train2017, val2017 and annotations")
    coco.add_argument(
        "--output", type=Path, required=True, help="a .json file for the numbers of images and digests"
    )

    exported = command("export-detectron2", "write a ResNet-50 and the recipe of Table 3 for detectron2")
    exported.add_argument("encoder", type=Path, help="a run's encoder.safetensors")
    exported.add_argument(
        "output", type=Path, help="a .pkl file; the recipe is written beside it as a .yaml and a .py"
    )

    synthetic = command("synthetic", "compute the points in the plane of Figure 1 or 3", logs=True)
    synthetic.add_argument("figure", choices=("figure1", "figure3"))
    synthetic.add_argument("--seeds", type=at_least(0), nargs="+", default=[0])
    synthetic.add_argument(
        "--output", type=Path, required=True, help="the figure's .json, beside the exhibit's spec"
    )

    add_execution(pretrain, measurements)

    exhibit = command("exhibit", "render the exhibit that a .spec.yaml describes", logs=True)
    exhibit.add_argument("spec", type=Path, help="the exhibit's file below results/SCALE/specs")

    shown = command("show", "print the claims that a scale tested, or its Table 1, and where to read on")
    shown.add_argument("folder", type=Path, help="e.g. results/demo")

    site = command("site", "write index.html, all exhibits of a scale on one page", logs=True)
    site.add_argument("folder", type=Path, help="e.g. results/demo")
    site.add_argument(
        "--exhibits",
        nargs="+",
        default=(),
        help="names of exhibits, in the order of the page; default: as declared",
    )
    site.add_argument(
        "--screenshot",
        type=Path,
        metavar="PNG",
        help="also save a picture of the top of the page (needs Chromium)",
    )
    site.add_argument("--height", type=at_least(100), default=1600, help="height of the picture in pixels")

    add_queue(command)

    planned = command("plan", "print the runs, GPU-hours and disk that a scale needs")
    planned.add_argument("scale", type=Path, help="e.g. config/imagenet.yaml")

    unlocked = command("unlock", "take over the lock of a Snakemake that was killed, if none lives any more")
    unlocked.add_argument("folder", type=Path, nargs="?", default=Path(), help="where it ran; default: here")

    track = command("track", "log finished jobs to MLflow", logs=True)
    track.add_argument("folder", type=Path, nargs="+", help="a run's folder, or a scale's for all its jobs")
    track.add_argument(
        "--output",
        type=Path,
        help="write what was logged to this file; if MLflow fails, there is then only a warning",
    )
    return parser


if __name__ == "__main__":
    entry()
