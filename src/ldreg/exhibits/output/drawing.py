"""A figure with the table that it is drawn from, and the files that both become."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from ldreg.exhibits.output import style
from ldreg.exhibits.output.csv_text import csv_text


@dataclass(frozen=True)
class Drawing:
    """What a renderer of figures returns.

    figure: the drawing. table: the numbers that it shows, one line per number or point. decimals: the number
    of decimals to which the CSV is rounded.
    """

    figure: Figure
    table: pd.DataFrame
    decimals: int = 10

    @property
    def csv(self) -> str:
        """The table as CSV."""
        return csv_text(self.table, self.decimals)

    def files(self) -> dict[str, str | bytes]:
        """The contents of the figure's files by suffix: PNG, PDF and the CSV."""
        return {"png": style.png(self.figure), "pdf": style.pdf(self.figure), "csv": self.csv}
