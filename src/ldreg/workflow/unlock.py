"""Taking over the lock of a Snakemake that was killed."""

import os
from pathlib import Path

from ldreg.errors import LdregError

_LOCKS = Path(".snakemake/locks")


def unlock(folder: Path, processes: Path = Path("/proc")) -> str | None:
    """Remove the locks that a killed Snakemake left in its working folder, unless one lives there.

    A killed Snakemake cannot release its lock, and the next one then refuses to start. Its lock names no
    process, so every process of this machine is looked at. A Snakemake of another machine cannot be seen from
    here. Jobs that a killed Snakemake left running go on, and the next one waits for them
    (`ldreg.runtime.lease`).

    Args:
        folder: the working folder of Snakemake.
        processes: the processes of this machine, as Linux shows them.

    Returns:
        A line for the user; None where there is no lock, or where it belongs to a Snakemake that lives.

    Raises:
        LdregError: if this machine does not show its processes.
    """
    locks = [path for path in (folder / _LOCKS).glob("*.lock") if path.is_file()]
    if not locks:
        return None
    if not (processes / "self").exists():
        raise LdregError(f"{folder / _LOCKS}: locked; if no Snakemake runs here: snakemake --unlock")
    if _snakemakes(folder.resolve(), processes):
        return None
    for path in locks:
        path.unlink(missing_ok=True)
    return f"{folder / _LOCKS}: the Snakemake that held the lock has ended; the lock is taken over"


def _snakemakes(folder: Path, processes: Path) -> list[int]:
    """The processes of Snakemake whose working folder this is; those that cannot be read count too."""
    found = []
    for process in processes.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")[:4]
            if not any(b"snakemake" in os.path.basename(word) for word in words):
                continue
            if Path(os.readlink(process / "cwd")) == folder:
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        except OSError:
            found.append(int(process.name))  # of another user, who may share the folder
    return found
