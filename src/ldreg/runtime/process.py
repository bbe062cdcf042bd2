"""Which process holds a lease or logs to an MLflow run, and whether it has ended without saying so."""

import hashlib
import os
import socket
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path


def identity() -> dict[str, str]:
    """This process: its machine, the machine's boot, the namespace of process ids, its id and its start."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "namespace": _namespace(),
        "pid": str(os.getpid()),
        "start": _start(os.getpid()) or "",
    }


def has_ended(process: Mapping[str, str]) -> bool | None:
    """Whether the process of that `identity` lived on this machine and no longer does.

    None if that cannot be told: the process was on another machine, or in another container of this one.
    """
    here = identity()
    if "pid" not in process or process.get("machine") != here["machine"]:
        return None
    if process.get("boot") != here["boot"]:
        return True  # the machine has been started anew
    if process.get("namespace") != here["namespace"]:
        return None
    start, noted = _start(int(process["pid"])), process.get("start")
    # The system gives the id of an ended process to a later one, which has another time of start.
    return start is None or bool(start and noted and start != noted)


@lru_cache
def _machine() -> str:
    """A digest that tells machines apart, also those that have the same name."""
    node = uuid.getnode()
    # With this bit it is a random number, because there is no network card.
    address = "" if node >> 40 & 1 else node
    named = f"{socket.gethostname()} {_read('/etc/machine-id')} {address}"
    return hashlib.sha256(named.encode()).hexdigest()[:16]


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
