"""Where data sets are looked for, and whether looking again could find one that was left out.

Of the standard library alone, because the workflow asks while it is read.
"""

import http.client
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PATIENCE = 3.0  # seconds in which the addresses of all sets must answer
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of its package dataset-fashion-mnist
# Folders to which archives unpack, in the set's own folder; and in torchvision's, which is the data folder.
EXTRACTED = {
    "cifar10": ("cifar-10-batches-bin", "cifar-10-batches-py"),
    "cifar100": ("cifar-100-python",),
    "food101": ("food-101",),
    "birdsnap": ("birdsnap",),
    "cars": ("stanford_cars",),
    "dtd": ("dtd",),
}
WHOLE = {"imagenet100": "imagenet"}  # sets that are some classes of another one, whose images serve them too


class Download(NamedTuple):
    """What torchvision downloads first of a set, and how much comes in all."""

    address: str
    size: str


DOWNLOADS = {
    "mnist": Download("https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz", "12 MB"),
    "fashion_mnist": Download(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz", "31 MB"
    ),
    "cifar10": Download("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "170 MB"),
    "cifar100": Download("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "169 MB"),
    "food101": Download("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "5.0 GB"),
    "dtd": Download("https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz", "0.6 GB"),
}


def holds_something(folder: Path) -> bool:
    """Whether anything lies in `folder`, hidden files aside; also where that cannot be told."""
    try:
        return any(not entry.name.startswith(".") for entry in folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError:  # preparing it tells what is wrong
        return True


def is_there(name: str, root: Path) -> bool:
    """Whether anything lies where the data set `name` is looked for. What does is never left out."""
    folders = [root / name, *(root / extracted for extracted in EXTRACTED.get(name, ()))]
    folders += [root / WHOLE[name]] if name in WHOLE else []
    folders += [DEBIAN_FOLDER] if name == "fashion_mnist" else []
    return any(map(holds_something, folders))


def answering(names: Iterable[str]) -> set[str]:
    """Those of the data sets whose download answers now, as torchvision would ask for it."""
    found: set[str] = set()

    def ask(name: str) -> None:
        request = urllib.request.Request(DOWNLOADS[name].address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE):
                found.add(name)
        except (OSError, http.client.HTTPException):
            pass

    # Threads, as resolving a name has no time limit of its own; daemons, so that none is waited for.
    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in names if name in DOWNLOADS]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return set(found)
