"""The command `ldreg queue`, which works through the runs of a scale without Snakemake."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ldreg.cli.arguments import at_least, duration


def add_queue(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    queued = command("queue", "train and measure a scale's runs, the most valuable first, without Snakemake")
    queued.add_argument("scale", type=Path, help="e.g. config/cifar10.yaml")
    queued.add_argument(
        "targets", nargs="*", default=["core"], help="core (the default), all, or names of exhibits"
    )
    queued.add_argument(
        "--budget", type=duration, metavar="TIME", help="end before this time is over, e.g. 4h, 50m or 90s"
    )
    queued.add_argument("--nice", action="store_true", help="run at the lowest priority of this machine")
    queued.add_argument(
        "--side-by-side",
        type=at_least(1),
        metavar="N",
        help="jobs at a time on one GPU or on the CPU; default: what is fastest, which is measured",
    )


def queue_command(arguments: argparse.Namespace, terminal: TextIO) -> None:
    """Work through the queue, and end as it does."""
    from ldreg.cli.commands import RESULTS
    from ldreg.tracking import tell_if_unusable
    from ldreg.workflow.queue import queue

    if arguments.nice:
        os.nice(19)
    tell_if_unusable(RESULTS, terminal)
    about = (arguments.scale, RESULTS, arguments.targets, terminal)
    status = queue(*about, arguments.budget, arguments.side_by_side)
    if status:
        sys.exit(status)
