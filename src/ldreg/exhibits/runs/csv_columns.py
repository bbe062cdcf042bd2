"""CSV files of run folders, read with errors in one line."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ldreg.errors import LdregError


def read_columns(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """All columns of a run's CSV. The `wanted` ones must exist and hold numbers; an empty cell is NaN.

    Raises LdregError when the file is missing or no CSV, lacks a column, or has a word in one.
    """
    if not path.is_file():
        folder = path.parent
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else ""
        raise LdregError(f"{path}: not made yet; the folder holds {there or 'nothing'}")
    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        problem = " ".join(str(error).split())
        raise LdregError(f"{path}: cannot be read as CSV: {problem}") from error
    for column in wanted:
        if column not in frame:
            raise LdregError(f"{path}: {column}: no such column; there are {', '.join(frame.columns)}")
        if not (frame[column].isna().all() or pd.api.types.is_numeric_dtype(frame[column])):
            raise LdregError(f"{path}: {column}: not all cells are numbers")
    return frame
