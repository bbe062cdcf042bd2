"""Table 1: levels and effects of LDReg, beside the paper's where the two may be compared.

A *level* (97.3 % accuracy) depends on data, encoder and budget; the paper's stands beside ours only at the
paper's own scale. An *effect* (with LDReg minus without, paired by seed) is what the paper claims, and is
compared at every scale.
"""

from dataclasses import dataclass

import pandas as pd

from ldreg.exhibits.output.estimates import (
    DIFFERENCE_NOTE,
    NOT_REPORTED,
    ONE_SEED_NOTE,
    SIGN_NOTE,
    beside_paper,
    best_in_bold,
    compared,
    effect,
    level,
    lid_note,
    rank_note,
)
from ldreg.exhibits.output.labels import METRICS, printed, seeds
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.paper import comparison
from ldreg.exhibits.paper.comparison import Groups, Row
from ldreg.exhibits.paper.reported import Reported
from ldreg.exhibits.runs.arms import contexts
from ldreg.exhibits.runs.linear import linear_protocol
from ldreg.exhibits.runs.run_table import ExhibitSpec, describe, load_runs, settings_of
from ldreg.exhibits.tables.declared import TableSettings
from ldreg.exhibits.tables.table_files import table_files

COLLAPSED = "collapsed"
BOLD = "Bold marks the highest mean of each method, as in the paper; it says nothing about significance."


@dataclass(frozen=True)
class Content:
    """A main table before it is written in one format or another."""

    levels: Groups
    effects: Groups
    blocks: list[Block]
    notes: list[str]
    cells: pd.DataFrame


def main_table(exhibit: ExhibitSpec) -> dict[str, str]:
    """Table 1 as CSV (one line per number), Markdown and LaTeX."""
    content = build(exhibit)
    return table_files(exhibit, content.blocks, [*content.notes, BOLD], content.cells)


def build(exhibit: ExhibitSpec) -> Content:
    """Load the runs and lay out the effects, the levels, the notes and the CSV's lines."""
    settings = settings_of(exhibit, TableSettings)
    frame = load_runs(exhibit, settings.metrics, settings)
    found, paper = contexts(frame), Reported(exhibit.paper, settings)
    levels = comparison.levels(found, paper, settings.metrics, settings.not_run)
    effects = comparison.effects(found, paper, settings.metrics, settings.not_run)
    tables = [
        comparison.table("effect", effects, settings.scale_of_paper),
        comparison.table("level", levels, settings.scale_of_paper),
    ]
    blocks = [
        _effect_block(exhibit.scale, effects, settings),
        _level_block(exhibit.scale, levels, settings),
    ]
    notes = table_notes(exhibit, settings, frame, effects)
    return Content(levels, effects, blocks, notes, pd.concat(tables, ignore_index=True))


def _level_block(scale: str, groups: Groups, settings: TableSettings) -> Block:
    axes = [METRICS[metric].axis for metric in settings.metrics]
    if settings.scale_of_paper:
        header = [head for axis in axes for head in (axis, "paper")]
        title = f"Levels at the {scale} scale and in the paper"
    else:  # The paper's levels belong to another task, so they must not stand beside ours.
        header, groups = axes, [group for group in groups if any(row.run for row in group)]
        title = (
            f"Levels at the {scale} scale (another task than the paper's: not to be compared with its levels)"
        )
    cells = [_level_rows(group, settings) for group in groups]
    return Block(title, ("method", "regulariser", *header, "seeds"), cells)


def _level_rows(group: list[Row], settings: TableSettings) -> list[list[Cell]]:
    columns = []
    for metric in settings.metrics:
        ours = [row.ours[metric] for row in group]
        means = [None if estimate is None else round(estimate.mean, 2) for estimate in ours]
        columns.append(best_in_bold([level(estimate) for estimate in ours], means))
        if settings.scale_of_paper:
            theirs = [row.paper[metric] for row in group]
            columns.append(best_in_bold([_paper(row, metric) for row in group], theirs))
    return [
        [Cell(row.method if place == 0 else ""), Cell(row.regularizer)]
        + [column[place] for column in columns]
        + [Cell(str(row.seeds))]
        for place, row in enumerate(group)
    ]


def _effect_block(scale: str, groups: Groups, settings: TableSettings) -> Block:
    header = ("method", "regulariser", "change in", "paper", "here [95 % interval]")
    header += (beside_paper(settings.scale_of_paper), "seeds")
    title = f"Effect of the regulariser (with minus without): the paper's and at the {scale} scale"
    cells = [
        [line for place, row in enumerate(group) for line in _effect_rows(row, place == 0, settings)]
        for group in groups
    ]
    return Block(title, header, cells, words=3)


def _effect_rows(row: Row, first: bool, settings: TableSettings) -> list[list[Cell]]:
    lines = []
    for metric in settings.metrics:
        ours = row.ours[metric]
        texts = [
            row.method if first and not lines else "",
            "" if lines else row.regularizer,
            METRICS[metric].effect,
            _paper(row, metric, signed=True),
            effect(ours),
            compared(ours, row.paper[metric], settings.scale_of_paper),
            str(ours.n if ours else 0),
        ]
        lines.append([Cell(text) for text in texts])
    return lines


def _paper(row: Row, metric: str, signed: bool = False) -> str:
    """The paper's number, or why there is none."""
    if (value := row.paper[metric]) is not None:
        return printed(value, signed)
    return COLLAPSED if row.theirs and metric in row.theirs.collapsed else NOT_REPORTED


def table_notes(
    exhibit: ExhibitSpec, settings: TableSettings, frame: pd.DataFrame, effects: Groups
) -> list[str]:
    """What a reader of a table must know: our runs, the paper's, the intervals and the measurements."""
    counts = sorted({row.seeds for group in effects for row in group if row.run}) or [frame["seed"].nunique()]
    notes = [f"The runs here are those of the {exhibit.scale} scale: {describe(frame)}."]
    run = [row.theirs.setting for group in effects for row in group if row.run and row.theirs]
    theirs = "; ".join(dict.fromkeys(run)) or "no row of the paper"
    notes.append(
        "The paper has one number for each cell, on ImageNet, and no interval. Its rows beside ours: "
        f"{theirs}."
    )
    if counts[-1] > 1:
        fewer = " or fewer" if counts[0] < counts[-1] else ""
        notes += [
            f"Numbers are means over {seeds(counts[-1])}{fewer}.",
            "± and brackets are 95 % t-intervals over seeds; those of effects are of the differences "
            "paired by seed.",
        ]
    if counts[0] == 1:
        several = "Rows of one seed have no interval and say nothing about noise."
        notes.append(ONE_SEED_NOTE if counts[-1] == 1 else several)
    notes.append(DIFFERENCE_NOTE if settings.scale_of_paper else SIGN_NOTE)
    return [*notes, *measured_by(frame, settings), *settings.notes]


def measured_by(frame: pd.DataFrame, settings: TableSettings) -> list[str]:
    """How the metrics that a table shows were measured."""
    notes = []
    if {"linear_top1", "linear_top5"} & set(settings.metrics):
        notes.append(linear_protocol(frame, settings.linear))
    if "mlid" in settings.metrics:
        notes.append(lid_note(settings))
    if "effective_rank" in settings.metrics:
        notes.append(rank_note(settings))
    return notes
