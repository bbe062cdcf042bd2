"""Where data sets are looked for, and whether looking again could find one that was left out.

It imports the standard library and the catalogue alone, because the workflow asks while it is read.
"""

import http.client
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from ldreg.catalogue.data_sets import DATA_SETS

TIMEOUT = 3.0  # seconds in which the addresses of all sets must answer


def has_content(folder: Path) -> bool:
    """Whether anything lies in `folder`, hidden files aside; also where that cannot be told."""
    try:
        return any(not entry.name.startswith(".") for entry in folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError:  # preparing it tells what is wrong
        return True


def is_present(name: str, root: Path) -> bool:
    """Whether anything lies where the data set `name` is looked for. What does is never left out."""
    data_set = DATA_SETS[name]
    folders = [root / name, *(root / folder for folder in data_set.unpacked)]
    folders += [root / data_set.part_of] if data_set.part_of else []
    folders += [data_set.installed] if data_set.installed else []
    return any(map(has_content, folders))


def reachable_downloads(names: Iterable[str]) -> set[str]:
    """Those of the data sets whose download answers now, as torchvision would ask for it."""
    found: set[str] = set()

    def ask(name: str, address: str) -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT):
                found.add(name)
        except (OSError, http.client.HTTPException):
            pass

    # Threads, as resolving a name has no time limit of its own; daemons, so that none is waited for.
    threads = [
        threading.Thread(target=ask, args=(name, download.address), daemon=True)
        for name in names
        if (download := DATA_SETS[name].download)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return set(found)
