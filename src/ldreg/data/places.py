"""Checks whether a data set is present on disk, and whether its download is reachable.

This module imports only the standard library and the catalogue, because the workflow uses it while Snakemake
parses the rules.
"""

import http.client
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from ldreg.catalogue.data_sets import DATA_SETS

TIMEOUT = 3.0  # seconds within which all addresses must answer


def has_content(folder: Path) -> bool:
    """Whether `folder` contains anything but hidden files. A folder that cannot be read counts as true."""
    try:
        return any(not entry.name.startswith(".") for entry in folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError:  # preparing the data set reports the error
        return True


def is_present(name: str, root: Path) -> bool:
    """Whether there are files of the data set `name` below `root`. Such a set is never left out."""
    data_set = DATA_SETS[name]
    folders = [root / name, *(root / folder for folder in data_set.unpacked)]
    folders += [root / data_set.part_of] if data_set.part_of else []
    folders += [data_set.installed] if data_set.installed else []
    return any(map(has_content, folders))


def reachable_downloads(names: Iterable[str]) -> set[str]:
    """Return the names of the data sets whose torchvision download can be reached now."""
    found: set[str] = set()

    def ask(name: str, address: str) -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT):
                found.add(name)
        except (OSError, http.client.HTTPException):
            pass

    # Threads, because resolving a host name has no time limit; daemons, so that the process need not wait.
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
