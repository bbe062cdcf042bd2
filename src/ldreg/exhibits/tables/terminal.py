"""Table 1 in the terminal, 80 columns wide."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ldreg.exhibits.output.estimates import NOT_REPORTED, effect, level
from ldreg.exhibits.output.labels import METRICS, printed, seeds
from ldreg.exhibits.paper.comparison import Row
from ldreg.exhibits.runs.run_table import ExhibitSpec, read_exhibit, settings_of
from ldreg.exhibits.tables.declared import TableSettings
from ldreg.exhibits.tables.main_table import build


def print_table1(specs: Sequence[Path], console: Console) -> None:
    """Print the smallest of these main tables that is compared with Table 1 alone."""
    exhibits = [read_exhibit(spec) for spec in specs]
    of_table1 = [each for each in exhibits if settings_of(each, TableSettings).paper_exhibits == ("table1",)]
    if of_table1:
        print_table(min(of_table1, key=lambda each: len(each.runs)), console)


def print_table(exhibit: ExhibitSpec, console: Console) -> None:
    """Print a main table: one small table per regularised setting.

    Of the paper's numbers it shows the effects alone, at every scale. One line names what was not run here.
    """
    content = build(exhibit)
    console.print(Text(f"{exhibit.title or exhibit.exhibit} ({exhibit.scale} scale)", style="bold"))
    arms = {(row.method, row.regularizer): row for group in content.levels for row in group}
    for row in (row for group in content.effects for row in group if row.run):
        console.print(_table(row, arms[row.method, "none"], arms[row.method, row.regularizer]))
    absent = dict.fromkeys(row.method for group in content.effects for row in group if not row.run)
    notes = ["Accuracies in percent, their effects in points.", *content.notes]
    if absent:
        notes.append(f"Not run at this scale: {'; '.join(absent)}.")
    for note in notes:
        console.print(Text(f"- {note}", style="dim"))


def _table(change: Row, without: Row, treated: Row) -> Table:
    title = f"{change.method}: {change.regularizer}, {seeds(change.seeds)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for head in ("without", "with", "effect [95 %]", "in paper"):
        table.add_column(head, justify="right", no_wrap=True)
    for metric, theirs in change.paper.items():
        table.add_row(
            METRICS[metric].label,
            level(without.ours[metric]),
            level(treated.ours[metric]),
            Text(effect(change.ours[metric]), style="bold"),
            NOT_REPORTED if theirs is None else printed(theirs, signed=True),
        )
    return table
