"""Log to MLflow what finished jobs have left."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ldreg.errors import LdregError
from ldreg.files import write_text
from ldreg.runtime.console import say
from ldreg.tracking import log_folder


def track_job(folders: Sequence[Path], results: Path, output: Path | None, terminal: TextIO) -> list[str]:
    """Log what MLflow lacks of each folder of a run or of a scale; returns what to tell the user.

    Args:
        results: the folder that all scales share.
        output: a file that takes the same lines. With it, whatever cannot be logged is one warning and no
            failure: the workflow does not stop for MLflow.
        terminal: is told the warning.

    Raises:
        LdregError: MLflow fails, or a file is broken or missing; only without `output`.
    """
    told = []
    try:
        for folder in folders:
            told += log_folder(folder, results) or [f"{folder}: nothing new to log"]
    except LdregError as error:
        if output is None:
            raise
        told.append(f"warning: {error}; when it can be: ldreg track {' '.join(map(str, folders))}")
        say(terminal, told[-1])
    if output is not None:
        write_text(output, "\n".join(told) + "\n")
    return told
