"""Files that record whether an optional data set is available."""

from pathlib import Path

from ldreg.data.fetch import Absent
from ldreg.errors import LdregError
from ldreg.files import read_json, write_json

AGAIN = "once it is there or can be fetched, run snakemake again, which then looks again"


def write_availability(path: Path, dataset: str, manifest: Path, absent: Absent | None) -> None:
    """Write to `path` either where a data set is prepared, or why it is left out and what to do about it.

    The content is {"dataset": name, "manifest": path of its dataset.json} or {"dataset": name, "unavailable":
    reason}. `absent` is the reason; None means that the set is prepared.
    """
    content = {"manifest": str(manifest)} if absent is None else {"unavailable": f"{absent}; {AGAIN}"}
    write_json(path, {"dataset": dataset, **content})


def read_availability(path: Path) -> dict[str, str]:
    """Return the content of a file that `write_availability` wrote.

    Raises:
        LdregError: if there is no such file, or if it has other content, for example that of a dataset.json.
    """
    found = read_json(path, "no such file; it is what `ldreg data DATASET --offer FILE` writes")
    if "dataset" not in found or not {"manifest", "unavailable"} & set(found):
        raise LdregError(
            f"{path}: expected dataset, and manifest or unavailable,"
            " as `ldreg data DATASET --offer FILE` writes"
        )
    return found
