"""Table 4: what LDReg costs, by the wall-clock of pretrainings with and without it, their speed and memory.

A time depends on the machine; the paper's stands beside ours only at its own scale. The change in per cent,
paired by seed, is compared at every scale. Whole pretrainings ran at different times; the table
therefore also gives the time of a step with and without LDReg, timed by turns in one process.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.exhibits.output.estimates import NOT_REPORTED, NOT_RUN, ONE_SEED_NOTE, effect, level
from ldreg.exhibits.output.labels import listed, printed, seeds
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.paper import SETTINGS_FILE, comparison
from ldreg.exhibits.paper.comparison import Groups, Row
from ldreg.exhibits.paper.reported import HOURS, Reported
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.exhibits.runs.arms import Context, contexts
from ldreg.exhibits.runs.execution import EXECUTION, change, executed_alike, execution, percent
from ldreg.exhibits.runs.run_table import ExhibitSpec, add_columns, describe, load_runs, settings_of
from ldreg.exhibits.runs.step_costs import scaled
from ldreg.exhibits.runs.summaries import read_summary
from ldreg.exhibits.tables.declared import TimingSettings
from ldreg.exhibits.tables.quantities import NOT_MEASURED, Quantity, machines
from ldreg.exhibits.tables.step_table import step_block, step_notes, stepped_rows
from ldreg.exhibits.tables.table_files import table_files

# Each quantity's name, its unit, and where summary.json has it in which unit of that.
QUANTITIES = {
    HOURS: ("wall-clock", "h", "wall_seconds", 3600),
    "images_per_second": ("speed", "images/s", "images_per_second", 1),
    "peak_memory": ("peak memory", "GiB", "peak_memory_bytes", 2**30),
}
UNITS = {"h": 1, "min": 60, "s": 3600}  # in an hour


def timing(exhibit: ExhibitSpec) -> dict[str, str]:
    """Table 4 as CSV (one line per number), Markdown and LaTeX."""
    settings = settings_of(exhibit, TimingSettings)
    frame = add_columns(load_runs(exhibit, (), settings), _timed)
    found = contexts(frame)
    groups = comparison.levels(found, Reported(exhibit.paper, settings), tuple(QUANTITIES), settings.not_run)
    levels = [[[_level(row, key) for key in QUANTITIES] for row in group] for group in groups]
    run = [*found, *[None] * (len(groups) - len(found))]
    changes = [_changes(*each) for each in zip(run, groups, strict=True)]
    stepped = [stepped_rows(*each) for each in zip(found, groups, strict=False)]
    blocks = [
        _change_block(exhibit.scale, changes),
        step_block(stepped),
        _level_block(exhibit.scale, levels, settings.scale_of_paper),
    ]
    cells = [quantity.line("change") for group in changes for quantity in group]
    cells += [quantity.line("step") for group in stepped for row in group for quantity in row]
    cells += [
        quantity.line("level", settings.scale_of_paper)
        for group in levels
        for row in group
        for quantity in row
    ]
    notes = [*_notes(exhibit, frame, groups), *step_notes(found)]
    notes += [*_unpaired(found), *settings.notes]
    return table_files(exhibit, blocks, notes, pd.DataFrame(cells))


def _timed(folder: Path) -> dict[str, Any]:
    """The quantities of one run, NaN where they were not taken, and how the run was executed."""
    summary = read_summary(folder)
    columns: dict[str, Any] = {"execution": execution(summary)}
    for key, (_, _, source, unit) in QUANTITIES.items():
        value = summary.get(source)
        columns[key] = math.nan if value is None else value / unit
    return columns


def _level(row: Row, key: str) -> Quantity:
    ours = row.ours[key]
    known = None if ours is None or math.isnan(ours.mean) else ours
    return Quantity(row, key, QUANTITIES[key][1], known, NOT_MEASURED if ours else NOT_RUN, row.paper[key])


def _changes(context: Context | None, group: list[Row]) -> list[Quantity]:
    """What each regulariser of a group changes, in per cent of the runs without; one line a quantity."""
    control = next((row for row in group if row.keys["regularizer"] == "none"), None)
    treated = [row for row in group if row is not control]
    arms = context.treated if context else [None] * len(treated)
    quantities = []
    for row, arm in zip(treated, arms, strict=True):
        for key in QUANTITIES:
            ours = change(arm, context.control, key) if arm and context.control else None
            theirs = row.paper[key], control.paper[key] if control else None
            paper = None if None in theirs else percent(*theirs)
            absent = NOT_MEASURED if arm and control else NOT_RUN
            quantities.append(Quantity(row, key, "%", ours, absent, paper))
    return quantities


def _change_block(scale: str, changes: list[list[Quantity]]) -> Block:
    header = ("method", "regulariser", "change in", "paper", "here [95 % interval]", "seeds")
    groups = []
    for group in filter(None, changes):
        rows = []
        for place, quantity in enumerate(group):
            first = quantity.key == HOURS
            texts = [
                quantity.row.method if place == 0 else "",
                quantity.row.regularizer if first else "",
                f"{QUANTITIES[quantity.key][0]} (%)",
                NOT_REPORTED if quantity.paper is None else printed(round(quantity.paper, 1), signed=True),
                effect(quantity.ours) if quantity.ours else quantity.absent,
                str(quantity.ours.n if quantity.ours else 0),
            ]
            rows.append([Cell(text) for text in texts])
        groups.append(rows)
    return Block(f"Cost of the regulariser: the paper's and at the {scale} scale", header, groups, 3)


def _level_block(scale: str, levels: list[list[list[Quantity]]], comparable: bool) -> Block:
    """Times in the unit that suits them; the paper's hours beside them only where they are `comparable`."""
    shown = [group for group in levels if comparable or any(quantities[0].row.run for quantities in group)]
    times = [quantities[0].ours.mean for group in shown for quantities in group if quantities[0].ours]
    unit = next((unit for unit, factor in UNITS.items() if max(times, default=1) * factor >= 1), "s")
    header = ["method", "regulariser", f"wall-clock ({unit})"]
    header += [*(["paper (h)"] if comparable else []), "images/s", "peak memory (GiB)", "seeds"]
    rows = [
        [_level_cells(quantities, place == 0, unit, comparable) for place, quantities in enumerate(group)]
        for group in shown
    ]
    beside = "and in the paper" if comparable else "(another machine and task than the paper's)"
    return Block(f"Times at the {scale} scale {beside}", tuple(header), rows)


def _level_cells(quantities: list[Quantity], first: bool, unit: str, comparable: bool) -> list[Cell]:
    time, speed, memory = quantities
    texts = [time.row.method if first else "", time.row.regularizer]
    texts.append(level(scaled(time.ours, UNITS[unit])) if time.ours else time.absent)
    if comparable:
        texts.append(NOT_REPORTED if time.paper is None else printed(time.paper))
    texts += [level(each.ours) if each.ours else each.absent for each in (speed, memory)]
    return [Cell(text) for text in (*texts, str(time.row.seeds))]


def _notes(exhibit: ExhibitSpec, frame: pd.DataFrame, groups: Groups) -> list[str]:
    """What a reader must know: our scale and machine, the paper's, and what was timed."""
    hours = {
        row.theirs.setting: row.paper[HOURS]
        for group in groups
        for row in group
        if row.theirs and row.paper[HOURS] is not None
    }
    theirs = "; ".join(f"{setting}: {printed(value)} h" for setting, value in hours.items())
    execution = PaperSettings(exhibit.paper.with_name(SETTINGS_FILE)).of_all("execution.")
    (gpus,) = execution["gpus"].values
    count = frame["seed"].nunique()
    interval = (
        ONE_SEED_NOTE
        if count == 1
        else f"Numbers are means over {seeds(count)}. ± and brackets are 95 % t-intervals over seeds; those "
        "of changes are in per cent and paired by seed."
    )
    executed = machines(read_summary(Path(folder)) for folder in frame["folder"])
    return [
        f"The runs here are those of the {exhibit.scale} scale: {describe(frame)}, executed on {executed}.",
        f"The paper's times are for {gpus} A100 GPUs, one number for each cell and no interval. Its rows "
        f"beside ours: {theirs or 'none'}.",
        interval,
        "Wall-clock is the time of a whole pretraining with its live measurements, without reading the data. "
        "Speed is the median over epochs of the training images per second. Peak memory is the largest "
        "amount allocated on one GPU; on a CPU it is not measured.",
        "Runs that share a machine with other jobs slow each other down, and their files do not record "
        "this. A change of a few per cent comes from the regulariser only if each run had the machine to "
        "itself.",
    ]


def _unpaired(found: list[Context]) -> list[str]:
    """A note on the pairs that are left out, if there are any."""
    pairs = [
        fair
        for context in found
        for arm in (context.treated if context.control else ())
        for fair in executed_alike(arm, context.control).values()
    ]
    left_out = pairs.count(False)
    if not left_out:
        return []
    return [
        f"{left_out} of {len(pairs)} pairs are left out of the changes, because their two runs differ in "
        f"{listed(EXECUTION)}."
    ]
