"""What of a scale can be refused before anything runs, once its runs are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Exhibit, ScaleFile
from ldreg.detection.declared import check_backbones, check_batch
from ldreg.errors import LdregError, dotted
from ldreg.exhibits import RENDERERS
from ldreg.exhibits.output.labels import same

# Settings of the live monitors, which change no result: runs that differ in these alone are one.
WATCHING = ("monitor_k", "knn_every")


class Scale(Protocol):
    """What is looked at of a scale (`ldreg.workflow.scale`): its content, and the runs that it comes to."""

    file: str
    folder: Path
    content: ScaleFile
    runs: Mapping[str, RunSpec]

    @property
    def exhibits(self) -> Mapping[str, Exhibit]: ...

    def runs_of(self, exhibit: str) -> Mapping[str, RunSpec]: ...


def check_runs(scale: Scale) -> None:
    """Refuse runs that could not be trained, measured or shown.

    Raises:
        LdregError: in one line with file and key.
    """
    _check_sizes(scale)
    _check_ranks(scale)
    _check_accumulation(scale)
    _check_detection(scale)
    for name in scale.exhibits:
        _check_twins(scale, name)
        if scale.exhibits[name].renderer == "sweep":
            _check_sweep(scale, name)


def _check_sizes(scale: Scale) -> None:
    """Refuse settings that a data set is too small for, where its size is known before it is there."""
    evaluation, reported = scale.content.evaluation, scale.content.report.mlid
    for dataset in sorted({spec.dataset for spec in scale.runs.values()}):
        if (sizes := DATA_SETS[dataset].sizes) is None:
            continue
        train, test = sizes
        specs = [spec for spec in scale.runs.values() if spec.dataset == dataset]
        wanted = [("evaluation.lid_ks", k, test - 2, "test") for k in evaluation.lid_ks]
        wanted += [("report.mlid.batch_rows", reported.batch_rows or 0, test, "test")]
        wanted += [("train_images", max(spec.train_images or 0 for spec in specs), train, "training")]
        fewest = min(spec.train_images or train for spec in specs)
        wanted += [("evaluation.knn_k", evaluation.knn_k, fewest, "training")]
        wanted += [("batch_size", max(spec.batch_size for spec in specs), fewest, "training")]
        for key, value, most, split in wanted:
            if value > most:
                raise LdregError(
                    f"{scale.file}: {key}: {value} is not allowed; at most {most} with the {split} images"
                    f" of {dataset}"
                )


def _check_ranks(scale: Scale) -> None:
    """Refuse a batch that does not divide among the GPUs."""
    execution = scale.content.execution
    ranks = execution.nodes * max(execution.gpus, 1)
    for run, spec in scale.runs.items():
        if spec.batch_size % ranks:
            raise LdregError(
                f"{scale.file}: batch_size: {spec.batch_size} of {run} is not allowed; it should be a"
                f" multiple of {ranks}, the GPUs of a run (execution.gpus x execution.nodes)"
            )


def _check_accumulation(scale: Scale) -> None:
    """Refuse sums over micro-batches where a loss needs its whole batch."""
    execution = scale.content.execution
    for run, spec in scale.runs.items():
        share = spec.batch_size // (execution.nodes * max(execution.gpus, 1))
        cut = execution.micro_batch is not None and execution.micro_batch < share
        if execution.accumulation == "plain" and cut and spec.couples_images:
            raise LdregError(
                f"{scale.file}: execution.accumulation: plain is not allowed with {run}, whose loss needs"
                " the whole batch at once; allowed: cached"
            )


def _check_detection(scale: Scale) -> None:
    """Refuse encoders that no detector can start from, and a batch that its ranks cannot share."""
    for name, exhibit in scale.exhibits.items():
        settings = RENDERERS[exhibit.renderer].settings.model_validate(exhibit.settings)
        if "detection.json" in settings.run_files:
            check_batch(scale.file, scale.content.detection.settings, scale.content.execution)
            key = "runs" if exhibit.runs else "runs_of"
            check_backbones(_where(scale, name, key), scale.runs_of(name))


def _check_twins(scale: Scale, name: str) -> None:
    """Refuse two runs of one exhibit with the same result: no table or figure could tell them apart."""
    seen: dict[RunSpec, str] = {}
    for run, spec in scale.runs_of(name).items():
        alike = spec.model_copy(update=dict.fromkeys(WATCHING, 0))
        if other := seen.get(alike):
            keys = [key for key in WATCHING if getattr(spec, key) != getattr(scale.runs[other], key)]
            raise LdregError(
                f"{_where(scale, name, 'runs')}: {other} and {run} differ in {' and '.join(keys)} alone,"
                " which changes no result; remove one"
            )
        seen[alike] = run


def _check_sweep(scale: Scale, name: str) -> None:
    """Refuse axes that no figure can have, and a `base` that would leave out what has been trained."""
    settings = scale.exhibits[name].settings
    axes, base = settings["axes"], settings.get("base", {})
    for axis in axes:
        if axis in WATCHING:
            raise LdregError(
                f"{_where(scale, name, 'settings')}.axes: {axis!r} is not allowed; it should be a setting"
                " that changes results"
            )
    runs = scale.runs_of(name)
    shown = {run for run, spec in runs.items() for axis in axes if at_base(spec, base, axis)}
    left = [run for run in runs if run not in shown]
    if left and (len(left) == len(runs) or not scale.exhibits[name].runs_of):
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise LdregError(
            f"{_where(scale, name, 'settings')}.base: {base} is not allowed; no panel over"
            f" {' or '.join(axes)} would show {left[0]}{more}"
        )


def at_base(spec: RunSpec, base: dict[str, Any], axis: str) -> bool:
    """Whether a panel over `axis` shows a run: at `base` in all else that the run has."""
    values = spec.model_dump(exclude={"views"})
    if spec.regularizer == "none":
        values["regularizer_start"] = None
    return all(
        key == axis or values.get(key) is None or same(values[key], there) for key, there in base.items()
    )


def _where(scale: Scale, name: str, key: str) -> str:
    """File and place of an exhibit's key: in the scale file if it stands there, else in the shared one."""
    if key in (scale.content.exhibits[name] or {}):
        return f"{scale.file}: {dotted(('exhibits', name, key))}"
    return f"{scale.folder / 'exhibits.yaml'}: {dotted((name, key))}"
