"""When data sets for transfer that were left out are looked for again.

`ldreg data --offer` answers once whether a set is available, and Snakemake would take that answer as up to
date for ever. So the answer depends on a small file, written when the workflow is parsed. The file changes
if the set was unavailable and now either something lies in its folder or its download answers. A dry run then
announces the new look, and nothing is deleted. If the file does not change, nothing runs again.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ldreg.data.availability import read_availability
from ldreg.data.places import is_present, reachable_downloads
from ldreg.files import write_yaml
from ldreg.workflow.scale import Scale


def availability_file(results: Path, scale: str, dataset: str) -> Path:
    """The file that says whether the set is available (`ldreg.data.availability`)."""
    return results / scale / "transfer" / f"{dataset}.json"


def recheck_file(results: Path, scale: str, dataset: str) -> Path:
    """The file that changes when the set is to be looked for again."""
    return availability_file(results, scale, dataset).with_suffix(".yaml")


def write_rechecks(scale: Scale, results: Path) -> None:
    """Write, for each set that the scale transfers to, the time from which it is looked for again.

    Raises:
        LdregError: If an answer cannot be read.
    """
    sets = scale.content.transfer.datasets if scale.content.transfer else ()
    answers = {dataset: availability_file(results, scale.name, dataset) for dataset in sets}
    absent = {
        dataset
        for dataset, path in answers.items()
        if path.is_file() and "unavailable" in read_availability(path)
    }
    there = {dataset for dataset in absent if is_present(dataset, Path(scale.content.execution.data))}
    again = there | reachable_downloads(absent - there)
    for dataset, answer in answers.items():
        recheck = recheck_file(results, scale.name, dataset)
        if dataset in again or not recheck.is_file():
            comment = "Made when the workflow is read: a change has the data set looked for again."
            write_yaml(recheck, comment, _recheck(dataset, answer, dataset in again))


def _recheck(dataset: str, answer: Path, again: bool) -> dict[str, Any]:
    # The time is that of the answer and not the clock's, so that parsing the workflow twice changes nothing.
    asked = datetime.fromtimestamp(answer.stat().st_mtime, UTC).isoformat() if again else None
    return {"dataset": dataset, "left_out_at": asked}
