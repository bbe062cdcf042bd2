"""Log finished jobs to MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ldreg.errors import LdregError
from ldreg.files import write_text
from ldreg.runtime.console import say
from ldreg.tracking import log_folder


def track_job(folders: Sequence[Path], results: Path, output: Path | None, terminal: TextIO) -> list[str]:
    """Log what MLflow does not have yet from folders of runs or scales; returns lines for the user.

    Args:
        results: the folder that all scales share.
        output: a file that receives the same lines. If it is given, a job that cannot be logged causes one
            warning and no failure, so that the workflow does not stop because of MLflow.
        terminal: receives the warning.

    Raises:
        LdregError: MLflow fails, or a file is broken or missing; only without `output`.
    """
    logged = []
    try:
        for folder in folders:
            logged += log_folder(folder, results) or [f"{folder}: nothing new to log"]
    except LdregError as error:
        if output is None:
            raise
        logged.append(f"warning: {error}; when it can be: ldreg track {' '.join(map(str, folders))}")
        say(terminal, logged[-1])
    if output is not None:
        write_text(output, "\n".join(logged) + "\n")
    return logged
