"""Download and verify a data set, or find out whether it is available."""

from pathlib import Path
from typing import TextIO

from ldreg.data.availability import write_availability
from ldreg.data.datasets import prepare
from ldreg.data.fetch import Absent
from ldreg.errors import LdregError
from ldreg.runtime.console import say


def data_job(dataset: str, manifest: Path, availability: Path | None, terminal: TextIO) -> None:
    """Prepare a data set; `manifest` is its dataset.json, which appears last.

    Args:
        availability: a file that receives whether the set is available. If it is given, a missing set is not
            a failure.
        terminal: receives a line if the set is left out.

    Raises:
        LdregError: the set is damaged or incomplete or, without `availability`, not available.
    """
    if manifest.parts[-2:] != (dataset, "dataset.json"):
        raise LdregError(f"--output: {manifest} is not allowed; it must end in {dataset}/dataset.json")
    if availability is None:
        prepare(dataset, manifest.parent.parent)
        return
    absent = None
    try:
        if not manifest.is_file():
            prepare(dataset, manifest.parent.parent)
    except Absent as error:  # any other error is a mistake that the user should mend
        say(terminal, f"{dataset} is left out: {error}")
        absent = error
    write_availability(availability, dataset, manifest, absent)
