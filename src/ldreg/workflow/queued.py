"""What `ldreg queue` has to do: a scale's jobs in the order of their value, as Snakemake's rules run them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldreg.catalogue.measurements import MEASUREMENTS, PRETRAINED, Measurement
from ldreg.catalogue.regularizers import REGULARIZER_SETTINGS
from ldreg.config.result_paths import run_folder
from ldreg.config.run_spec import RunSpec
from ldreg.data.availability import write_availability
from ldreg.errors import LdregError, unknown
from ldreg.files import read_json
from ldreg.workflow.inputs import files_of_runs, run_spec_file, settings_file
from ldreg.workflow.rechecks import availability_file
from ldreg.workflow.scale import Scale

# What a run and the run that it is compared with differ in.
_ARM = {"regularizer", "regularizer_start", *REGULARIZER_SETTINGS}


@dataclass(frozen=True)
class QueuedJob:
    """One job: a command of `ldreg` and the files that it needs and makes.

    Attributes:
        name: what is shown, e.g. `pretrain simclr-small_cnn/none/seed0`.
        kind: `pretrain`, `compose`, or the key of a measurement.
        command: the arguments of `ldreg`.
        needs: files without which it cannot begin.
        alone: whether it times steps, so that nothing may run beside it.
        resumes: whether it ends itself with a checkpoint and goes on from there.
    """

    name: str
    kind: str
    command: tuple[str, ...]
    needs: tuple[Path, ...] = ()
    alone: bool = False
    resumes: bool = False

    @property
    def ready(self) -> bool:
        """Whether it can begin."""
        return all(path.is_file() for path in self.needs)


@dataclass(frozen=True)
class Agenda:
    """The jobs that are left to do, in their order, and why others are left out, a line each."""

    jobs: list[QueuedJob]
    left_out: list[str]
    finished: int


def in_order_of_value(scale: Scale, targets: Sequence[str]) -> dict[str, RunSpec]:
    """The runs of these targets, such that the queue may be stopped at any time.

    The exhibits of the core come first. In each exhibit all runs of one seed precede those of the next, and a
    run without a regulariser is followed at once by those that differ from it in the regulariser alone.

    Raises:
        LdregError: if a target is neither `core` nor `all` nor an exhibit of the scale.
    """
    return {
        run: spec
        for exhibit in exhibits_of(scale, targets)
        for run, spec in _by_seed_and_pair(scale.runs_of(exhibit))
    }


def exhibits_of(scale: Scale, targets: Sequence[str]) -> list[str]:
    """The exhibits that targets stand for, those of the core first.

    Raises:
        LdregError: at an unknown target.
    """
    groups = {"core": list(scale.content.core), "all": list(scale.exhibits)}
    for target in targets:
        if target not in groups and target not in scale.exhibits:
            raise unknown(f"{scale.file}: target", target, [*groups, *scale.exhibits])
    asked = {name for target in targets for name in groups.get(target, [target])}
    return [name for name in dict.fromkeys([*scale.content.core, *scale.exhibits]) if name in asked]


def _by_seed_and_pair(runs: dict[str, RunSpec]) -> Iterator[tuple[str, RunSpec]]:
    seeds = list(dict.fromkeys(spec.seed for spec in runs.values()))
    pairs = list(dict.fromkeys(map(_pair, runs.values())))
    places = {run: place for place, run in enumerate(runs)}

    def order(item: tuple[str, RunSpec]) -> tuple[int, int, bool, int]:
        run, spec = item
        return seeds.index(spec.seed), pairs.index(_pair(spec)), spec.regularizer != "none", places[run]

    yield from sorted(runs.items(), key=order)


def _pair(spec: RunSpec) -> str:
    """What runs have in common that are compared with each other."""
    return spec.model_dump_json(exclude={*_ARM, "seed"})


def agenda(scale: Scale, results: Path, targets: Sequence[str]) -> Agenda:
    """The jobs that the targets still need, a run's measurements right behind its pretraining.

    Raises:
        LdregError: at an unknown target, or if the data of a run are not prepared.
    """
    runs = in_order_of_value(scale, targets)
    read = {
        found for exhibit in exhibits_of(scale, targets) for found in files_of_runs(results, scale, exhibit)
    }
    _check_data(scale, {spec.dataset for spec in runs.values()})
    left_out, wanted = _measurements(scale, results, {name for _, name in read})
    jobs: list[QueuedJob] = []
    finished = 0
    for run, spec in runs.items():
        folder = run_folder(results, scale.name, run)
        state = _state(folder, spec)
        if state == "other":
            left_out.append(f"{folder}: was trained with other settings, and is left as it is")
            continue
        if state == "missing":
            jobs.append(_pretraining(scale, results, run))
        else:
            finished += 1
        for measurement in wanted:
            files = [name for name in _written(measurement, scale) if (run, name) in read]
            if measurement.for_every_run:
                files = [*scale.measured]
            if (state == "missing" and files) or any(not (folder / name).is_file() for name in files):
                jobs += _measuring(scale, results, run, measurement)
    return Agenda(list(dict.fromkeys(jobs)), left_out, finished)


def _state(folder: Path, spec: RunSpec) -> str:
    """Whether a run is `trained`, `missing`, or trained with `other` settings."""
    if not all((folder / name).is_file() for name in PRETRAINED):
        return "missing"
    return "trained" if read_json(folder / "summary.json").get("spec_hash") == spec.hash else "other"


def _written(measurement: Measurement, scale: Scale) -> list[str]:
    """The files that a measurement writes to a run's folder."""
    if measurement.key == "transfer" and scale.content.transfer:
        return [f"transfer/{dataset}.json" for dataset in scale.content.transfer.datasets]
    return list(measurement.files)


def _manifest(scale: Scale, dataset: str) -> Path:
    return Path(scale.content.execution.data) / dataset / "dataset.json"


def _check_data(scale: Scale, datasets: set[str]) -> None:
    for dataset in sorted(datasets):
        if not (manifest := _manifest(scale, dataset)).is_file():
            raise LdregError(
                f"{manifest}: no such file; prepare the data before they are queued for:"
                f" ldreg data {dataset} --output {manifest}"
            )


def _measurements(scale: Scale, results: Path, read: set[str]) -> tuple[list[str], list[Measurement]]:
    """Why some measurements are left out, and those that the exhibits read and that need no network."""
    left_out, wanted = [], []
    for measurement in MEASUREMENTS.values():
        if not (measurement.for_every_run or any(map(measurement.writes, read))):
            continue
        if lacking := _lacks(measurement, scale):
            left_out.append(f"{measurement.command} is left out: {lacking}")
            continue
        wanted.append(measurement)
        if measurement.key == "transfer" and scale.content.transfer:
            for dataset in scale.content.transfer.datasets:
                path = availability_file(results, scale.name, dataset)
                if not path.is_file():
                    write_availability(path, dataset, _manifest(scale, dataset), None)
    return left_out, wanted


def _lacks(measurement: Measurement, scale: Scale) -> str | None:
    """The data that a measurement lacks, and how to get them."""
    if measurement.key == "transfer" and scale.content.transfer:
        for dataset in scale.content.transfer.datasets:
            if not (manifest := _manifest(scale, dataset)).is_file():
                return f"{manifest}: no such file; ldreg data {dataset} --output {manifest}"
    if measurement.key == "detect" and scale.content.detection:
        needed = _manifest(scale, "digits")
        if scale.content.detection.dataset == "coco":
            needed = _coco(scale)
        return None if needed.is_file() else f"{needed}: no such file"
    return None


def _coco(scale: Scale) -> Path:
    return Path(scale.content.execution.data) / "coco/annotations/instances_train2017.json"


def _log(scale: Scale, results: Path, kind: str, run: str) -> list[str]:
    return ["--log", str(results / scale.name / "logs" / kind / f"{run}.log")]


def _pretraining(scale: Scale, results: Path, run: str) -> QueuedJob:
    execution = scale.content.execution
    command = ["pretrain", str(run_spec_file(results, scale, run))]
    command += ["--data", str(_manifest(scale, scale.runs[run].dataset)), "--threads", str(execution.threads)]
    command += [*execution.pretrain_options.split(), *_log(scale, results, "pretrain", run)]
    return QueuedJob(f"pretrain {run}", "pretrain", tuple(command), resumes=True)


def _measuring(scale: Scale, results: Path, run: str, measurement: Measurement) -> list[QueuedJob]:
    """A measurement of a run, after what must be made for all runs before it."""
    execution, key = scale.content.execution, measurement.key
    data = str(_manifest(scale, scale.runs[run].dataset))
    command = [measurement.command, str(run_spec_file(results, scale, run))]
    before: list[QueuedJob] = []
    needs = [run_folder(results, scale.name, run) / name for name in PRETRAINED]
    options = execution.options_of(measurement).split()
    if measurement.settings:
        option = "--evaluation" if key == "measure" else "--settings"
        command += [option, str(settings_file(results, scale, measurement.settings))]
    if key == "transfer" and scale.content.transfer:
        sets = scale.content.transfer.datasets
        command += ["--pretrained-on", data, "--data"]
        command += [str(availability_file(results, scale.name, each)) for each in sets]
    elif key == "detect" and scale.content.detection:
        described = _coco(scale)
        if scale.content.detection.dataset != "coco":
            described = results / scale.name / "composed_digits/composed.json"
            before = [] if described.is_file() else [_composing(scale, results, described)]
            needs.append(described)
        command += ["--pretrained-on", data, "--data", str(described)]
    else:
        command += ["--data", data]
    threads = 1 if measurement.single_threaded else execution.threads
    command += ["--threads", str(threads), *options, *_log(scale, results, key, run)]
    needed = tuple(needs) if measurement.needs_encoder else ()
    alone, resumes = measurement.takes_training_steps, measurement.resumes
    return [*before, QueuedJob(f"{measurement.command} {run}", key, tuple(command), needed, alone, resumes)]


def _composing(scale: Scale, results: Path, composed: Path) -> QueuedJob:
    command = ["compose", "--settings", str(settings_file(results, scale, "detection.yaml"))]
    command += ["--data", str(_manifest(scale, "digits")), "--output", str(composed)]
    log = str(results / scale.name / "logs/compose.log")
    return QueuedJob("compose", "compose", (*command, "--log", log))
