"""Which process logs to an MLflow run, and whether it has ended without saying so."""

import hashlib
import os
import socket
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_PREFIX = "process."


@lru_cache
def process_tags() -> dict[str, str]:
    """Tags that identify this process: machine, boot, namespace of process ids, id and time of start."""
    return {
        f"{_PREFIX}host": socket.gethostname(),
        f"{_PREFIX}machine": _machine(),
        f"{_PREFIX}boot": _read("/proc/sys/kernel/random/boot_id"),
        f"{_PREFIX}namespace": _namespace(),
        f"{_PREFIX}pid": str(os.getpid()),
        f"{_PREFIX}start": _start(os.getpid()) or "",
    }


def has_ended(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags identify lived on this machine and no longer does.

    False if that cannot be told: the process was on another machine, or in another container of this one.
    """
    here = process_tags()
    if f"{_PREFIX}pid" not in tags or tags.get(f"{_PREFIX}machine") != here[f"{_PREFIX}machine"]:
        return False
    if tags.get(f"{_PREFIX}boot") != here[f"{_PREFIX}boot"]:
        return True  # the machine has been started anew
    if tags.get(f"{_PREFIX}namespace") != here[f"{_PREFIX}namespace"]:
        return False
    start, noted = _start(int(tags[f"{_PREFIX}pid"])), tags.get(f"{_PREFIX}start")
    # The system gives the id of an ended process to a later one, which has another time of start.
    return start is None or bool(start and noted and start != noted)


def _machine() -> str:
    """A digest that tells machines apart, also those that have the same name."""
    node = uuid.getnode()
    address = (
        "" if node >> 40 & 1 else node
    )  # with this bit it is a random number, as there is no network card
    identity = f"{socket.gethostname()} {_read('/etc/machine-id')} {address}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When a process started, in ticks since boot; "" if the system does not say, None if it has ended."""
    text = _read(f"/proc/{pid}/stat")
    if text:  # the name of the command comes first, in brackets, and may hold anything
        state, *numbers = text.rpartition(")")[2].split()
        return None if state in "ZX" else numbers[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # it lives, belongs to another user, and is not shown
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
