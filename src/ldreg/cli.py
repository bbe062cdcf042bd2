"""The command line: `ldreg data | pretrain | import | measure | transfer | exhibit | site | show | ...`.

Everything heavy is imported by the command that needs it, so that the light ones answer at once.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from ldreg.console import logging_to, say, tell
from ldreg.errors import LdregError
from ldreg.launch import adopt_slurm_rank

if TYPE_CHECKING:
    from ldreg.config import Execution

RESULTS = Path("results")
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


def _data(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.data.datasets import prepare
    from ldreg.data.fetch import Absent
    from ldreg.offers import write_offer

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
    write_offer(arguments.offer, arguments.dataset, output, absent)


def _execution(arguments: argparse.Namespace) -> "Execution":
    """How a job is to be executed; the keys are those of the scale file's `execution`."""
    from ldreg.config import Execution

    given = {key: value for key, value in vars(arguments).items() if key in Execution.model_fields}
    return Execution(**{key: value for key, value in given.items() if key != "data"})


def _pretrain(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.launch import check_gpus, claimed_gpus, start_ranks
    from ldreg.spec import read_spec

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        if max(arguments.gpus, 1) * arguments.nodes > 1 and "RANK" not in os.environ:
            read_spec(arguments.spec)  # a mistake there is told once, before ranks start
            sys.exit(start_ranks(arguments.gpus, arguments.nodes, sys.argv[1:], terminal))
        from ldreg.jobs import pretrain_job

        pretrain_job(arguments.spec, arguments.data, _execution(arguments), RESULTS, terminal)


def _import(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.importing import import_weights

    print(import_weights(arguments.weights, arguments.scale, arguments.run, RESULTS, arguments.force))


def _measure(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.jobs import measure_job
    from ldreg.launch import check_gpus, claimed_gpus

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        execution = _execution(arguments)
        measure_job(arguments.spec, arguments.evaluation, arguments.data, execution, RESULTS, terminal)


def _transfer(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.launch import check_gpus, claimed_gpus
    from ldreg.probes import transfer_job

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        transfer_job(
            arguments.spec,
            arguments.settings,
            arguments.pretrained_on,
            arguments.data,
            _execution(arguments),
            RESULTS,
        )


def _tsne(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.evaluate.tsne import tsne_job
    from ldreg.launch import check_gpus, claimed_gpus

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        tsne_job(arguments.spec, arguments.data, _execution(arguments))


def _lid_error(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.evaluate.lid_error import lid_error_job
    from ldreg.launch import check_gpus, claimed_gpus

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        lid_error_job(arguments.spec, arguments.data, _execution(arguments))


def _step_cost(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.launch import check_gpus, claimed_gpus, start_ranks

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        if max(arguments.gpus, 1) * arguments.nodes > 1 and "RANK" not in os.environ:
            sys.exit(start_ranks(arguments.gpus, arguments.nodes, sys.argv[1:], terminal))
        from ldreg.step_cost import step_cost_job

        step_cost_job(arguments.spec, arguments.data, _execution(arguments))


def _synthetic(arguments: argparse.Namespace, terminal: TextIO) -> None:
    import torch

    from ldreg.synthetic import compute

    torch.set_num_threads(1)  # so that equal seeds give equal bytes
    compute(arguments.figure, arguments.seeds, arguments.output)


def _compose(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.probes import compose_job

    compose_job(arguments.settings, arguments.data, arguments.output)


def _coco(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.probes import coco_job

    coco_job(arguments.folder, arguments.output)


def _detect(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.launch import check_gpus, claimed_gpus, start_ranks

    check_gpus(arguments.gpus)
    with claimed_gpus(arguments.gpus):
        if max(arguments.gpus, 1) * arguments.nodes > 1 and "RANK" not in os.environ:
            sys.exit(start_ranks(arguments.gpus, arguments.nodes, sys.argv[1:], terminal))
        from ldreg.probes import detect_job

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
    from ldreg.show import show

    show(arguments.folder)


def _site(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.site.build import build_site
    from ldreg.site.screenshot import screenshot

    page = build_site(arguments.folder, arguments.exhibits)
    print(page)
    if arguments.screenshot:
        print(screenshot(page, arguments.screenshot, height=arguments.height))


def _plan(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.plan import plan

    print(plan(arguments.scale, RESULTS))


def _track(arguments: argparse.Namespace, terminal: TextIO) -> None:
    from ldreg.tracking import log_folder

    for folder in arguments.folder:
        # A scale's folder stands for all its runs.
        found = sorted(path.parent for path in (folder / "runs").glob("*/*/*/summary.json"))
        lines = [line for each in found or [folder] for line in log_folder(each, RESULTS)]
        print("\n".join(lines) or f"{folder}: nothing new to log")


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

    def command(name: str, function: object, help: str, logs: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=function)
        if logs:
            sub.add_argument(
                "--log", type=Path, help="file that takes all output; the essentials stay here too"
            )
        return sub

    data = command("data", _data, "fetch and verify a data set", logs=True)
    data.add_argument("dataset")
    data.add_argument("--output", type=Path, help="its dataset.json; default data/DATASET/dataset.json")
    data.add_argument(
        "--offer",
        type=Path,
        help="file to say whether it can be had: that nothing is there is then no failure",
    )

    pretrain = command("pretrain", _pretrain, "train the run that a spec.yaml describes", logs=True)
    pretrain.add_argument("spec", type=Path)
    pretrain.add_argument("--no-monitors", dest="monitors", action="store_false", help="measure nothing live")

    imported = command("import", _import, "make a finished run of weights that were trained elsewhere")
    imported.add_argument(
        "weights", type=Path, help="state dict of the authors', torchvision's or timm's layout"
    )
    imported.add_argument("--scale", type=Path, required=True, help="e.g. config/imagenet.yaml")
    imported.add_argument("--run", required=True, help="e.g. simclr-resnet50/ldreg_l1-beta0.01-k64/seed0")
    imported.add_argument(
        "--force", action="store_true", help="replace a finished run and remove its measurements"
    )

    measure = command("measure", _measure, "measure a trained run's representations", logs=True)
    measure.add_argument("spec", type=Path)
    measure.add_argument("--evaluation", type=Path, required=True, help="the scale's evaluation.yaml")

    transfer = command("transfer", _transfer, "test a trained run's encoder on other data sets", logs=True)
    transfer.add_argument("spec", type=Path)
    transfer.add_argument("--settings", type=Path, required=True, help="the scale's transfer.yaml")
    transfer.add_argument("--pretrained-on", type=Path, required=True, help="dataset.json of the run's own")
    transfer.add_argument(
        "--data", type=Path, required=True, nargs="+", help="what `ldreg data --offer` said of each other"
    )

    detect = command("detect", _detect, "fine-tune a detector from a trained run's encoder", logs=True)
    detect.add_argument("spec", type=Path)
    detect.add_argument("--settings", type=Path, required=True, help="the scale's detection.yaml")
    detect.add_argument("--pretrained-on", type=Path, required=True, help="dataset.json of the run's own")
    detect.add_argument("--data", type=Path, required=True, help="composed.json or instances_train2017.json")

    composed = command("compose", _compose, "compose a small detection set of digits", logs=True)
    composed.add_argument("--settings", type=Path, required=True, help="the scale's detection.yaml")
    composed.add_argument("--data", type=Path, required=True, help="dataset.json of the digits")
    composed.add_argument("--output", type=Path, required=True, help="its composed.json")

    coco = command("coco", _coco, "check COCO's files before anything trains for them", logs=True)
    coco.add_argument("folder", type=Path, help="holds train2017, val2017 and annotations")
    coco.add_argument("--output", type=Path, required=True, help="a .json file to say what is there")

    exported = command("export-detectron2", _export_detectron2, "write a ResNet-50 for detectron2's recipe")
    exported.add_argument("encoder", type=Path, help="a run's encoder.safetensors")
    exported.add_argument(
        "output", type=Path, help="a .pkl file; the recipe appears beside it, a .yaml and a .py"
    )

    tsne = command("tsne", _tsne, "embed a trained run's test representations by t-SNE", logs=True)
    tsne.add_argument("spec", type=Path)

    synthetic = command(
        "synthetic", _synthetic, "compute what Figure 1 or 3 shows: points in the plane", logs=True
    )
    synthetic.add_argument("figure", choices=("figure1", "figure3"))
    synthetic.add_argument("--seeds", type=_at_least(0), nargs="+", default=[0])
    synthetic.add_argument("--output", type=Path, required=True, help="its .json, beside the exhibit's spec")

    lid_error = command(
        "lid-error", _lid_error, "compare the LID of mini-batches with the whole split's", logs=True
    )
    lid_error.add_argument("spec", type=Path)

    step_cost = command(
        "step-cost", _step_cost, "time a training step with and without its regulariser", logs=True
    )
    step_cost.add_argument("spec", type=Path)

    for job in (pretrain, step_cost):
        job.add_argument("--micro-batch", type=_at_least(1), help="images per forward pass of a GPU")
        job.add_argument("--accumulation", choices=("cached", "plain"), default="cached")
    for job in (pretrain, measure, tsne, lid_error, step_cost):
        job.add_argument("--data", type=Path, required=True, help="dataset.json of the run's data set")
    for job in (pretrain, detect, step_cost):
        job.add_argument("--nodes", type=_at_least(1), default=1, help="several are started by SLURM's srun")
        job.add_argument("--precision", choices=("float32", "bf16", "fp16"), default="float32")
    for job in (pretrain, measure, transfer, tsne, lid_error, detect, step_cost):
        job.add_argument("--gpus", type=int, default=0, help="per node; 0 is the CPU, several start torchrun")
        job.add_argument("--threads", type=_at_least(1), default=1)
        job.add_argument(
            "--workers", type=_at_least(0), default=0, help="processes per GPU that decode images from files"
        )
        job.add_argument(
            "--corrupt-images", choices=("stop", "skip"), default="stop", help="at files that hold no image"
        )

    exhibit = command("exhibit", _exhibit, "render the exhibit that a .spec.yaml describes", logs=True)
    exhibit.add_argument("spec", type=Path)

    shown = command("show", _show, "print a scale's Table 1 and claims, and where everything lies")
    shown.add_argument("folder", type=Path, help="e.g. results/demo")

    site = command("site", _site, "write a scale's index.html: all its exhibits on one page", logs=True)
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

    planned = command("plan", _plan, "runs, GPU-hours and disk that a scale needs")
    planned.add_argument("scale", type=Path, help="e.g. config/imagenet.yaml")

    track = command("track", _track, "log finished run folders to MLflow")
    track.add_argument("folder", type=Path, nargs="+", help="of a run, or of a scale for all its runs")
    return parser


if __name__ == "__main__":
    entry()
