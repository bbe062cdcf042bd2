"""The commands of `ldreg`, each a function of its parsed arguments (`ldreg.cli.parser`).

Heavy modules are imported by the commands that need them, so that the other commands answer at once.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ldreg.catalogue.measurements import MEASUREMENTS, Measurement
from ldreg.cli.queueing import queue_command
from ldreg.runtime.console import say
from ldreg.runtime.ranks import is_rank

if TYPE_CHECKING:
    from ldreg.config.execution import Execution
    from ldreg.runtime.slices import Slot

RESULTS = Path("results")
Command = Callable[[argparse.Namespace, TextIO], None]


def _data(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.data import data_job

    manifest = arguments.output or Path("data", arguments.dataset, "dataset.json")
    data_job(arguments.dataset, manifest, arguments.offer, terminal)


def _execution(arguments: argparse.Namespace) -> "Execution":
    """The execution of a job; the keys are those of the scale file's `execution`."""
    from ldreg.config.execution import Execution

    given = {key: value for key, value in vars(arguments).items() if key in Execution.model_fields}
    return Execution(**{key: value for key, value in given.items() if key != "data"})


def _slot(arguments: argparse.Namespace) -> "Slot":
    """The time that a job that resumes has; a budget counts from the start of the command."""
    from ldreg.runtime.slices import BEGAN, Slot

    budget = arguments.budget and arguments.budget - (time.monotonic() - BEGAN)
    return Slot(budget, arguments.attempt)


@contextmanager
def _gpus(arguments: argparse.Namespace) -> Iterator[None]:
    """Hold the GPUs that a job asks for; raises LdregError if the machine does not have their number."""
    from ldreg.runtime.gpus import check_gpus, claimed_gpus

    check_gpus(arguments.gpus)
    # On several nodes SLURM has assigned the GPUs, and a choice made here would hold for this node alone.
    with claimed_gpus(arguments.gpus if getattr(arguments, "nodes", 1) == 1 else 0):
        yield


def _start_ranks(arguments: argparse.Namespace, terminal: TextIO) -> None:
    """Start the ranks of a job that has several, unless this is one of them, and end as they do."""
    if max(arguments.gpus, 1) * arguments.nodes > 1 and not is_rank():
        from ldreg.runtime.launch import start_ranks

        budget = getattr(arguments, "budget", None)
        sys.exit(start_ranks(arguments.gpus, arguments.nodes, sys.argv[1:], terminal, budget))


def _tell_tracking(terminal: TextIO) -> None:
    """Say before a job begins that MLflow will not show it, if that can be known."""
    from ldreg.tracking import tell_if_unusable

    tell_if_unusable(RESULTS, terminal)


def _alone(job: str, command: Command) -> Command:
    """The command of a job on a run, of which one at a time runs (`ldreg.jobs.one_writer`)."""

    def alone(arguments: argparse.Namespace, terminal: TextIO) -> None:
        from ldreg.jobs.one_writer import one_writer

        ranks = max(arguments.gpus, 1) * arguments.nodes if hasattr(arguments, "nodes") else 1
        with one_writer(arguments.spec, job, ranks, lambda line: say(terminal, line)) as made:
            if made:
                say(terminal, f"{arguments.spec}: {job} has been finished by the process waited for")
            else:
                command(arguments, terminal)

    return alone


def _pretrain(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.config.result_paths import asked
    from ldreg.config.run_spec import read_spec

    read_spec(asked(arguments.spec))  # a mistake there is reported once, before ranks start
    _tell_tracking(terminal)
    with _gpus(arguments):
        _start_ranks(arguments, terminal)
        from ldreg.jobs.pretrain import pretrain_job

        files = (arguments.spec, arguments.data)
        pretrain_job(*files, _execution(arguments), RESULTS, terminal, _slot(arguments))


def _import(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.workflow.importing import import_weights

    print(import_weights(arguments.weights, arguments.scale, arguments.run, RESULTS, arguments.force))


def _measurement(measurement: Measurement) -> Command:
    """The command of a measurement whose job takes the run's spec, its data and its execution."""

    def command(arguments: argparse.Namespace, terminal: TextIO) -> None:
        with _gpus(arguments):
            if measurement.runs_like_pretraining:
                _start_ranks(arguments, terminal)
            job = getattr(import_module(f"ldreg.jobs.{measurement.key}"), f"{measurement.key}_job")
            job(arguments.spec, arguments.data, _execution(arguments))

    return command


def _measure(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.measure import measure_job

    _tell_tracking(terminal)
    with _gpus(arguments):
        measure_job(arguments.spec, arguments.evaluation, arguments.data, _execution(arguments), RESULTS)


def _linear_paper(arguments: argparse.Namespace, terminal: TextIO) -> None:
    _tell_tracking(terminal)
    with _gpus(arguments):
        _start_ranks(arguments, terminal)
        from ldreg.jobs.linear_paper import linear_paper_job

        files = (arguments.spec, arguments.settings, arguments.data)
        linear_paper_job(*files, _execution(arguments), RESULTS, terminal, _slot(arguments))


def _transfer(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.transfer import transfer_job

    _tell_tracking(terminal)
    with _gpus(arguments):
        files = (arguments.spec, arguments.settings, arguments.pretrained_on, arguments.data)
        transfer_job(*files, _execution(arguments), RESULTS, _slot(arguments))


def _detect(arguments: argparse.Namespace, terminal: TextIO) -> None:
    _tell_tracking(terminal)
    with _gpus(arguments):
        _start_ranks(arguments, terminal)
        from ldreg.jobs.detect import detect_job

        files = (arguments.spec, arguments.settings, arguments.pretrained_on, arguments.data)
        detect_job(*files, _execution(arguments), RESULTS, terminal, _slot(arguments))


def _synthetic(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.synthetic import synthetic_job

    synthetic_job(arguments.figure, arguments.seeds, arguments.output)


def _compose(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.compose import compose_job

    compose_job(arguments.settings, arguments.data, arguments.output)


def _coco(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.coco import coco_job

    coco_job(arguments.folder, arguments.output)


def _export_detectron2(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.detection.export import export_detectron2

    print("\n".join(str(path) for path in export_detectron2(arguments.encoder, arguments.output)))


def _exhibit(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.exhibit import exhibit_job

    for path in exhibit_job(arguments.spec):
        print(path)


def _show(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.site.show import show

    show(arguments.folder)


def _site(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.site.build import build_site
    from ldreg.site.screenshot import screenshot

    page = build_site(arguments.folder, arguments.exhibits)
    print(page)
    if arguments.screenshot:
        print(screenshot(page, arguments.screenshot, height=arguments.height))


def _plan(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.workflow.plan import plan

    print(plan(arguments.scale, RESULTS))


def _track(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.track import track_job

    print("\n".join(track_job(arguments.folder, RESULTS, arguments.output, terminal)))


def _unlock(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.workflow.unlock import unlock

    if told := unlock(arguments.folder):
        print(told)


# Each takes its arguments and the terminal, for lines that a user should see even if output goes to a log.
COMMANDS: dict[str, Command] = {
    **{
        each.command: _alone(each.key, _measurement(each))
        for each in MEASUREMENTS.values()
        if each.has_plain_rule
    },
    "data": _data,
    "pretrain": _alone("pretrain", _pretrain),
    "import": _import,
    "measure": _alone("measure", _measure),
    "linear-paper": _alone("linear_paper", _linear_paper),
    "transfer": _alone("transfer", _transfer),
    "detect": _alone("detect", _detect),
    "compose": _compose,
    "coco": _coco,
    "export-detectron2": _export_detectron2,
    "synthetic": _synthetic,
    "exhibit": _exhibit,
    "show": _show,
    "site": _site,
    "plan": _plan,
    "queue": queue_command,
    "track": _track,
    "unlock": _unlock,
}
