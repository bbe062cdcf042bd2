"""What each command of `ldreg` does with its arguments; `ldreg.cli.parser` parses these.

Everything heavy is imported by the command that needs it, so that the light ones answer at once.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ldreg.errors import LdregError
from ldreg.runtime.console import say

if TYPE_CHECKING:
    from ldreg.config.scale_file import Execution

RESULTS = Path("results")


def _data(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.data.datasets import prepare
    from ldreg.data.fetch import Absent
    from ldreg.workflow.availability import write_availability

    output = arguments.output or Path("data", arguments.dataset, "dataset.json")
    if output.parts[-2:] != (arguments.dataset, "dataset.json"):
        raise LdregError(
            f"--output: {output} is not allowed; it must end in {arguments.dataset}/dataset.json"
        )
    if arguments.offer is None:
        prepare(arguments.dataset, output.parent.parent)
        return
    absent = None
    try:
        if not output.is_file():
            prepare(arguments.dataset, output.parent.parent)
    except Absent as error:  # anything else is a mistake to be mended, not a set to do without
        say(terminal, f"{arguments.dataset} is left out: {error}")
        absent = error
    write_availability(arguments.offer, arguments.dataset, output, absent)


def _execution(arguments: argparse.Namespace) -> "Execution":
    """How a job is to be executed; the keys are those of the scale file's `execution`."""
    from ldreg.config.scale_file import Execution

    given = {key: value for key, value in vars(arguments).items() if key in Execution.model_fields}
    return Execution(**{key: value for key, value in given.items() if key != "data"})


@contextmanager
def _gpus(arguments: argparse.Namespace) -> Iterator[None]:
    """Hold the GPUs that a job asks for; one line says what is wrong with their number."""
    from ldreg.runtime.launch import check_gpus, claimed_gpus

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        yield


def _start_ranks(arguments: argparse.Namespace, terminal: TextIO) -> None:
    """Start the ranks of a job that has several, unless this is one of them, and end as they do."""
    if max(arguments.gpus, 1) * arguments.nodes > 1 and "RANK" not in os.environ:
        from ldreg.runtime.launch import start_ranks

        sys.exit(start_ranks(arguments.gpus, arguments.nodes, sys.argv[1:], terminal))


def _pretrain(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.config.run_spec import read_spec

    read_spec(arguments.spec)  # a mistake there is told once, before ranks start
    with _gpus(arguments):
        _start_ranks(arguments, terminal)
        from ldreg.jobs.runs import pretrain_job

        pretrain_job(arguments.spec, arguments.data, _execution(arguments), RESULTS, terminal)


def _import(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.workflow.importing import import_weights

    print(import_weights(arguments.weights, arguments.scale, arguments.run, RESULTS, arguments.force))


def _measure(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.runs import measure_job

    with _gpus(arguments):
        execution = _execution(arguments)
        measure_job(arguments.spec, arguments.evaluation, arguments.data, execution, RESULTS, terminal)


def _transfer(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.probes import transfer_job

    with _gpus(arguments):
        transfer_job(
            arguments.spec,
            arguments.settings,
            arguments.pretrained_on,
            arguments.data,
            _execution(arguments),
            RESULTS,
        )


def _tsne(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.evaluation.tsne import tsne_job

    with _gpus(arguments):
        tsne_job(arguments.spec, arguments.data, _execution(arguments))


def _lid_error(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.evaluation.lid_error import lid_error_job

    with _gpus(arguments):
        lid_error_job(arguments.spec, arguments.data, _execution(arguments))


def _step_cost(arguments: argparse.Namespace, terminal: TextIO) -> None:
    with _gpus(arguments):
        _start_ranks(arguments, terminal)
        from ldreg.training.step_cost import step_cost_job

        step_cost_job(arguments.spec, arguments.data, _execution(arguments))


def _synthetic(arguments: argparse.Namespace, terminal: TextIO) -> None:
    import torch

    from ldreg.plane.experiments import compute

    torch.set_num_threads(1)  # so that equal seeds give equal bytes
    compute(arguments.figure, arguments.seeds, arguments.output)


def _compose(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.probes import compose_job

    compose_job(arguments.settings, arguments.data, arguments.output)


def _coco(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs.probes import coco_job

    coco_job(arguments.folder, arguments.output)


def _detect(arguments: argparse.Namespace, terminal: TextIO) -> None:
    with _gpus(arguments):
        _start_ranks(arguments, terminal)
        from ldreg.jobs.probes import detect_job

        files = (arguments.spec, arguments.settings, arguments.pretrained_on, arguments.data)
        detect_job(*files, _execution(arguments), RESULTS, terminal)


def _export_detectron2(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.detection.export import export_detectron2

    print("\n".join(str(path) for path in export_detectron2(arguments.encoder, arguments.output)))


def _exhibit(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.exhibits import render
    from ldreg.tracking import log_exhibit

    files = render(arguments.spec)
    for path in files:
        print(path)
    log_exhibit(arguments.spec, files, RESULTS)


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
    from ldreg.tracking import log_folder

    for folder in arguments.folder:
        # A scale's folder stands for all its runs.
        found = sorted(path.parent for path in (folder / "runs").glob("*/*/*/summary.json"))
        lines = [line for each in found or [folder] for line in log_folder(each, RESULTS)]
        print("\n".join(lines) or f"{folder}: nothing new to log")


# Each is called with its arguments and the terminal, for what is to be seen though all output goes to a log.
COMMANDS = {
    "data": _data,
    "pretrain": _pretrain,
    "import": _import,
    "measure": _measure,
    "transfer": _transfer,
    "detect": _detect,
    "compose": _compose,
    "coco": _coco,
    "export-detectron2": _export_detectron2,
    "tsne": _tsne,
    "synthetic": _synthetic,
    "lid-error": _lid_error,
    "step-cost": _step_cost,
    "exhibit": _exhibit,
    "show": _show,
    "site": _site,
    "plan": _plan,
    "track": _track,
}
