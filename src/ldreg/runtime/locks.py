"""Locks between the processes of a machine that need no file, and locks on files wherever these may lie."""

import errno
import fcntl
import hashlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

_WAIT = 0.02  # seconds between two attempts
_ABSTRACT = sys.platform == "linux"
# What file systems answer that have no flock: some network, FUSE and overlay file systems.
_NO_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def host_lock(name: str) -> socket.socket | None:
    """Take the lock `name` of this user on this machine; returns None if another process holds it.

    The lock is the name of a socket in Linux's abstract namespace. It needs no folder that can be written, no
    file that a cleaner may remove and no file system with flock. Closing the socket releases it, and so does
    the end of the process for whatever reason. On other systems there is nothing to compete for (GPUs with
    CUDA are on Linux), and the lock is always free.
    """
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if not _ABSTRACT:
        return held
    # An abstract name has at most 107 bytes.
    short = hashlib.sha256(name.encode()).hexdigest()[:32]
    try:
        held.bind(f"\0ldreg-{os.getuid()}-{short}")
    except OSError as error:
        held.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return held


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock of `path`, a file made for this purpose, which one process at a time can hold.

    Two locks are held. The machine's own (`host_lock`) works if the file system has no flock, or if a cleaner
    removes the file meanwhile. flock excludes other machines, where it exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while (own := host_lock(f"file {path.resolve()}")) is None:
        time.sleep(_WAIT)
    with closing(own), _flocked(path):
        yield


@contextmanager
def _flocked(path: Path) -> Iterator[None]:
    """Wait for flock on `path`; does nothing where the file system has none."""
    file, supported = _open_locked(path)
    with file:
        try:
            yield
        finally:
            # Closing is not enough: a worker that was forked meanwhile has the file open too.
            if supported:
                fcntl.flock(file, fcntl.LOCK_UN)


def _open_locked(path: Path) -> tuple[TextIO, bool]:
    """Open `path`, wait for flock on it; returns the file, and whether its file system has flock."""
    while True:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno in _NO_FLOCK:
                return file, False
            file.close()
            raise
        if _is_still(path, file.fileno()):
            return file, True
        file.close()  # it was removed while this process waited, and nobody else waits for it


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the file that is open as `descriptor`."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
