"""Checks of a scale whose runs are known, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.config.run_spec import MONITOR_SETTINGS, RunSpec
from ldreg.config.scale_file import Exhibit, ScaleFile
from ldreg.errors import LdregError
from ldreg.exhibits.renderer import ExhibitInScale, Renderer
from ldreg.exhibits.settings import Settings


class ScaleToCheck(Protocol):
    """The part of a scale (`ldreg.workflow.scale`) that is checked: its content and its runs."""

    file: str
    content: ScaleFile
    runs: Mapping[str, RunSpec]
    exhibits: Mapping[str, Exhibit]

    def renderer_of(self, exhibit: str) -> Renderer: ...

    def settings_of(self, exhibit: str) -> Settings: ...

    def in_scale(self, exhibit: str) -> ExhibitInScale: ...


def check_runs(scale: ScaleToCheck) -> None:
    """Refuse runs that could not be trained, measured or shown.

    Raises:
        LdregError: in one line with file and key.
    """
    _check_sizes(scale)
    _check_ranks(scale)
    _check_accumulation(scale)
    for name in scale.exhibits:
        exhibit = scale.in_scale(name)
        _check_twins(exhibit)
        scale.renderer_of(name).check_in_scale(scale.settings_of(name), exhibit)


def _check_sizes(scale: ScaleToCheck) -> None:
    """Refuse settings for which a data set is too small, if its size is known before it is prepared."""
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


def _check_ranks(scale: ScaleToCheck) -> None:
    """Refuse a batch that does not divide among the GPUs."""
    execution = scale.content.execution
    ranks = execution.nodes * max(execution.gpus, 1)
    for run, spec in scale.runs.items():
        if spec.batch_size % ranks:
            raise LdregError(
                f"{scale.file}: batch_size: {spec.batch_size} of {run} is not allowed; it should be a"
                f" multiple of {ranks}, the GPUs of a run (execution.gpus x execution.nodes)"
            )


def _check_accumulation(scale: ScaleToCheck) -> None:
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


def _check_twins(exhibit: ExhibitInScale) -> None:
    """Refuse two runs of one exhibit with the same result: no table or figure could tell them apart."""
    seen: dict[RunSpec, str] = {}
    for run, spec in exhibit.runs.items():
        alike = spec.model_copy(update=dict.fromkeys(MONITOR_SETTINGS, 0))
        if other := seen.get(alike):
            keys = [
                key for key in MONITOR_SETTINGS if getattr(spec, key) != getattr(exhibit.runs[other], key)
            ]
            raise LdregError(
                f"{exhibit.where('runs')}: {other} and {run} differ in {' and '.join(keys)} alone,"
                " which changes no result; remove one"
            )
        seen[alike] = run
