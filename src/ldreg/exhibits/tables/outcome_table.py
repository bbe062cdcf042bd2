"""The layout of Tables 2 and 3: percentages that encoders reach on other tasks, with and without LDReg.

As in Table 1, our levels stand beside the paper's only at the paper's scale, and effects at every scale.
"""

import math
import re
from dataclasses import dataclass, replace

import pandas as pd

from ldreg.exhibits.output.estimates import (
    NOT_REPORTED,
    beside_paper,
    best_in_bold,
    compared,
    effect,
    level,
)
from ldreg.exhibits.output.labels import name, number, present
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.paper import comparison
from ldreg.exhibits.paper.comparison import Groups, Row
from ldreg.exhibits.paper.reported import Reported
from ldreg.exhibits.runs.arms import Context, contexts
from ldreg.exhibits.runs.run_table import ExhibitSpec
from ldreg.exhibits.tables.declared import OutcomeSettings, TableSettings
from ldreg.exhibits.tables.main_table import BOLD, table_notes
from ldreg.exhibits.tables.table_files import table_files


@dataclass(frozen=True)
class Column:
    """One percentage that encoders are compared by; `key` is its name in the runs' table.

    decimals: with which the paper prints it.
    """

    key: str
    label: str
    dataset: str
    metric: str
    run: bool = True
    decimals: int = 1


def outcome_table(
    exhibit: ExhibitSpec,
    settings: OutcomeSettings,
    frame: pd.DataFrame,
    columns: list[Column],
    paper: Reported,
    title: str,
    about: list[str],
) -> dict[str, str]:
    """Effects and levels of `columns` as CSV, Markdown and LaTeX.

    frame: the runs of `load_runs` with their percentages, a column for each key that was run. title: of the
    levels. about: notes on how the percentages were measured.
    """
    keys = tuple(column.key for column in columns)
    found = _labelled(contexts(frame.assign(**{key: math.nan for key in keys if key not in frame})))
    levels = _completed(comparison.levels(found, paper, keys, settings.not_run))
    effects = _completed(comparison.effects(found, paper, keys, settings.not_run))
    blocks = [
        *([_effect_block(exhibit.scale, effects, columns, settings.scale_of_paper)] if effects else []),
        _level_block(exhibit.scale, title, levels, columns, settings.scale_of_paper),
    ]
    cells = [
        *_lines("effect", effects, columns, settings.scale_of_paper),
        *_lines("level", levels, columns, settings.scale_of_paper),
    ]
    # Notes that hold for Table 1 too have the same words there.
    shared = table_notes(
        exhibit, TableSettings(metrics=(), scale_of_paper=settings.scale_of_paper), frame, effects
    )
    notes = [*shared, *about, BOLD, *settings.notes]
    return table_files(exhibit, blocks, notes, pd.concat(cells, ignore_index=True))


def _labelled(found: list[Context]) -> list[Context]:
    """Contexts with their epochs in the label; the paper's Tables 2 and 3 tell its encoders apart by these.

    The label has the batch size only where two contexts have the same epochs.
    """
    made = []
    for context in found:
        extra = re.sub(r"(^|, )(epochs|batch size) [^,]+", "", context.extra).removeprefix(", ")
        twin = any(
            (other.method, other.backbone, other.epochs) == (context.method, context.backbone, context.epochs)
            and other.batch_size != context.batch_size
            for other in found
        )
        words = [_epochs(context.epochs), f"batch size {name(context.batch_size)}" if twin else "", extra]
        made.append(replace(context, extra=", ".join(filter(None, words))))
    return made


def _epochs(epochs: float) -> str:
    return f"{name(epochs)} epochs" if present(epochs) else ""


def _completed(groups: Groups) -> Groups:
    """The rows, with 'not run' where we have no numbers, and the paper's epochs in rows that it alone has."""
    return [[_completed_row(row) for row in group] for group in groups]


def _completed_row(row: Row) -> Row:
    ours = {
        key: None if estimate is None or math.isnan(estimate.mean) else estimate
        for key, estimate in row.ours.items()
    }
    if row.keys["setting"] or row.theirs is None:
        return replace(row, ours=ours)
    budget = _epochs(row.theirs.epochs)
    return replace(row, ours=ours, method=f"{row.method}, {budget}", keys=row.keys | {"setting": budget})


def _lines(kind: str, groups: Groups, columns: list[Column], scale_of_paper: bool) -> list[pd.DataFrame]:
    """Lines of the CSV, column by column. All are in percent, as the linear accuracy that `table` knows."""
    tables = []
    for column in columns if groups else ():
        rows = [
            replace(
                row, ours={"linear_top1": row.ours[column.key]}, paper={"linear_top1": row.paper[column.key]}
            )
            for group in groups
            for row in group
        ]
        lines = comparison.table(kind, [rows], scale_of_paper).assign(metric=column.metric)
        lines.insert(lines.columns.get_loc("metric"), "dataset", column.dataset)
        # Without a number of the paper these columns would hold objects, which cannot be rounded.
        tables.append(lines.astype({"paper": float}))
    return tables


def _stacked(label: str, rows: list[list[Cell]]) -> list[list[Cell]]:
    """`rows` with the label before the first of them."""
    return [[Cell("" if place else label), *row] for place, row in enumerate(rows)]


def _effect_block(scale: str, groups: Groups, columns: list[Column], scale_of_paper: bool) -> Block:
    header = ("encoder", "regulariser", "change in", "paper", "here [95 % interval]")
    header += (beside_paper(scale_of_paper), "seeds")
    title = f"Effect of the regulariser (with minus without): the paper's and at the {scale} scale"
    cells = [
        _stacked(
            group[0].method, [line for row in group for line in _effect_rows(row, columns, scale_of_paper)]
        )
        for group in groups
    ]
    return Block(title, header, cells, words=3)


def _effect_rows(row: Row, columns: list[Column], scale_of_paper: bool) -> list[list[Cell]]:
    lines = []
    for column in columns:
        ours, theirs = row.ours[column.key], row.paper[column.key]
        texts = [
            "" if lines else row.regularizer,
            f"{column.label} (points)",
            _printed(theirs, column, signed=True),
            effect(ours),
            compared(ours, theirs, scale_of_paper),
            str(ours.n if ours else 0),
        ]
        lines.append([Cell(text) for text in texts])
    return lines


def _printed(theirs: float | None, column: Column, signed: bool = False) -> str:
    return NOT_REPORTED if theirs is None else number(theirs, signed, column.decimals)


def _level_block(scale: str, title: str, groups: Groups, columns: list[Column], comparable: bool) -> Block:
    """The paper's levels below ours at its own scale; at another, only what was run there."""
    beside = "and in the paper"
    if not comparable:
        beside = "(another task than the paper's: not to be compared with its levels)"
        columns = [column for column in columns if column.run]
        groups = [group for group in groups if any(row.run for row in group)]
    header = ("encoder", "regulariser", *(["of"] if comparable else []))
    header += (*(column.label for column in columns), "seeds")
    cells = [_stacked(group[0].method, _level_rows(group, columns, comparable)) for group in groups]
    return Block(f"{title} at the {scale} scale {beside}", header, cells, 3 if comparable else 2)


def _level_rows(group: list[Row], columns: list[Column], comparable: bool) -> list[list[Cell]]:
    here, paper = [], []
    for column in columns:
        ours = [row.ours[column.key] for row in group]
        theirs = [row.paper[column.key] for row in group]
        means = [None if estimate is None else round(estimate.mean, 2) for estimate in ours]
        here.append(best_in_bold([level(estimate) for estimate in ours], means))
        paper.append(best_in_bold([_printed(value, column) for value in theirs], theirs))
    lines = []
    for place, row in enumerate(group):
        source = [Cell("here")] if comparable else []
        numbers = [cells[place] for cells in here]
        lines.append([Cell(row.regularizer), *source, *numbers, Cell(str(row.seeds))])
        if comparable:
            lines.append([Cell(), Cell("paper"), *(cells[place] for cells in paper), Cell()])
    return lines
