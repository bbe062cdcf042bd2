"""The files that a table's renderer returns: blocks and notes under one title."""

import pandas as pd

from ldreg.exhibits.output.csv_text import csv_text
from ldreg.exhibits.output.markup import Block, latex, markdown
from ldreg.exhibits.runs.run_table import ExhibitSpec


def table_files(
    exhibit: ExhibitSpec, blocks: list[Block], notes: list[str], cells: pd.DataFrame
) -> dict[str, str]:
    """CSV of `cells` (one line per number), Markdown and LaTeX of the blocks with the notes below."""
    title = exhibit.title or exhibit.exhibit
    parts = [f"## {title}", *([exhibit.caption] if exhibit.caption else []), *map(markdown, blocks)]
    parts.append("\n".join(f"- {note}" for note in notes))
    return {
        "csv": csv_text(cells),
        "md": "\n\n".join(parts) + "\n",
        "tex": latex(exhibit.caption or title, exhibit.exhibit, blocks, notes),
    }
