"""Data sets to transfer to that may be left out: what is said of each, and when it is looked for again.

`ldreg data --offer` answers once whether a set can be had, and Snakemake would take that answer as up to date
for ever. So it depends on a small file, written when the workflow is read: that file changes once the set was
said to be unavailable and now either something lies there or its download answers. A dry run announces what
then runs, nothing is deleted, and where neither is so nothing runs again.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ldreg.data.fetch import Absent
from ldreg.data.places import answering, is_there
from ldreg.errors import LdregError
from ldreg.files import read_json, write_json, write_yaml
from ldreg.workflow.scale import Scale

AGAIN = "once it is there or can be fetched, run snakemake again, which then looks again"


def availability_file(results: Path, scale: str, dataset: str) -> Path:
    """What was found: {"dataset": ., "manifest": its dataset.json} or {"dataset": ., "unavailable": why}."""
    return results / scale / "transfer" / f"{dataset}.json"


def recheck_file(results: Path, scale: str, dataset: str) -> Path:
    """What changes when the set is to be looked for again."""
    return availability_file(results, scale, dataset).with_suffix(".yaml")


def write_availability(path: Path, dataset: str, manifest: Path, absent: Absent | None) -> None:
    """Write `path`: that the set is prepared at `manifest`, or why it is left out and what to do about it."""
    content = {"manifest": str(manifest)} if absent is None else {"unavailable": f"{absent}; {AGAIN}"}
    write_json(path, {"dataset": dataset, **content})


def read_availability(path: Path) -> dict[str, str]:
    """What `write_availability` wrote.

    Raises:
        LdregError: If there is no such file, or it is another's, such as a dataset.json.
    """
    found = read_json(path, "no such file; it is what `ldreg data DATASET --offer FILE` writes")
    if "dataset" not in found or not {"manifest", "unavailable"} & set(found):
        raise LdregError(
            f"{path}: expected dataset, and manifest or unavailable,"
            " as `ldreg data DATASET --offer FILE` writes"
        )
    return found


def write_rechecks(scale: Scale, results: Path) -> None:
    """Write for each set that the scale transfers to since when it is to be looked for again.

    Raises:
        LdregError: If an answer cannot be read.
    """
    sets = scale.content.transfer.datasets if scale.content.transfer else ()
    offers = {dataset: availability_file(results, scale.name, dataset) for dataset in sets}
    absent = {
        dataset
        for dataset, path in offers.items()
        if path.is_file() and "unavailable" in read_availability(path)
    }
    there = {dataset for dataset in absent if is_there(dataset, Path(scale.content.execution.data))}
    again = there | answering(absent - there)
    for dataset, offer in offers.items():
        look = recheck_file(results, scale.name, dataset)
        if dataset in again or not look.is_file():
            comment = "Made when the workflow is read: a change has the data set looked for again."
            write_yaml(look, comment, _recheck(dataset, offer, dataset in again))


def _recheck(dataset: str, offer: Path, again: bool) -> dict[str, Any]:
    # The answer's own time and not the clock's: reading the workflow twice changes nothing.
    asked = datetime.fromtimestamp(offer.stat().st_mtime, UTC).isoformat() if again else None
    return {"dataset": dataset, "left_out_at": asked}
