"""Tables of numbers as CSV, and how a cell holds one number for each seed."""

import pandas as pd


def csv_text(table: pd.DataFrame, decimals: int = 10) -> str:
    """The table as CSV without its index; rounded, so that the last bits of sums do not change the file."""
    return table.round(decimals).to_csv(index=False, lineterminator="\n")


def values_by_seed(values: pd.Series) -> str:
    """Values that are indexed by seed in one cell: '0:5.25 1:6'."""
    return " ".join(f"{seed}:{value:.10g}" for seed, value in values.items())
