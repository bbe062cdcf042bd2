"""What a container or a job's control group leaves of a machine: processors, memory, shared memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/vmstat")
_SHARED = Path("/dev/shm")
_UNLIMITED = 2**60  # version 1 writes a number near 2^63 for "no limit"


class Memory(NamedTuple):
    """The memory of this process's control group."""

    limit: int | None  # bytes; None: no limit
    peak: int | None  # bytes; None: unknown
    kills: int  # processes that the kernel has killed because memory was short


def available_cpus() -> int:
    """The processors that this process may use: those of its affinity, or fewer by a container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = []
    for folder in _groups("cpu"):
        words = _text(folder / "cpu.max").split()  # version 2: "200000 100000" or "max 100000"
        if not words:
            words = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return max(1, min(cpus, *(int(quota) for quota in quotas))) if quotas else cpus


def memory() -> Memory:
    """The memory of this process's control group, or of the closest group around it that has a limit."""
    found = Memory(None, None, _machine_kills())
    for folder in _groups("memory"):
        limit = _number(folder, "memory.max", "memory.limit_in_bytes")
        counters = _counters(folder / "memory.events") or _counters(folder / "memory.oom_control")
        if limit is not None and limit < _UNLIMITED:
            peak = _number(folder, "memory.peak", "memory.max_usage_in_bytes")
            return Memory(limit, peak, counters.get("oom_kill", found.kills))
    return found


def told_of_kill(before: Memory) -> str:
    """Explain, with the numbers that can be read, why a process was killed (SIGKILL, status 137).

    `before` is what `memory` returned when the process was started.
    """
    now = memory()
    sure = now.kills > before.kills
    text = "it took more memory than there is" if sure else "most often because memory was short"
    if now.limit is not None:
        peak = f", of which {_gigabytes(now.peak)} were in use at most" if now.peak is not None else ""
        text += f"; this container or job may take {_gigabytes(now.limit)}{peak}"
    if sure:
        text += f"; processes killed for memory since the start: {now.kills - before.kills}"
    return f"{text}; raise execution.memory_mb, or lower execution.workers, micro_batch or --cores"


def shared_memory_free() -> int | None:
    """The free bytes of /dev/shm, through which worker processes hand over tensors; None if unknown."""
    try:
        status = os.statvfs(_SHARED)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of the groups around it, innermost first.

    In a container the own group's path may be that of the machine outside, which is not there. The folders
    that exist are then those from the root down.
    """
    for line in _text(_MEMBERSHIP).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            root = _ROOT
        elif controller in controllers.split(","):
            root = next(
                (_ROOT / name for name in (controllers, controller) if (_ROOT / name).is_dir()), _ROOT
            )
        else:
            continue
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_dir():
                yield folder
            if folder == root:
                break


def _machine_kills() -> int:
    """How many processes the kernel has killed for want of memory since the machine was started."""
    return _counters(_MACHINE).get("oom_kill", 0)


def _counters(path: Path) -> dict[str, int]:
    """The numbers in a file of lines `name number`; empty if there is none."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(folder: Path, *names: str) -> int | None:
    """The number in the first of these files that has one."""
    texts = (_text(folder / name).strip() for name in names)
    return next((int(text) for text in texts if text.isdigit()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _gigabytes(number: int | None) -> str:
    return "?" if number is None else f"{number / 2**30:.3g} GiB"
