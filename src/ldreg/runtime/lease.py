"""One writer per folder: a lease with a heartbeat, beside flock where the file system has it.

The holder writes who it is and a growing counter to the lease file every few seconds. Another job that wants
the same folder waits. On the same machine it knows at once whether the holder lives, by its process. On
another machine, it goes by the counter: one that has not changed for `EXPIRY` seconds of the waiter's own
monotonic clock belongs to nobody, whatever the clocks of the two machines say.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ldreg.files import write_json
from ldreg.runtime.locks import locked
from ldreg.runtime.process import has_ended, identity

HEARTBEAT = 5.0  # seconds between two counts of the holder
# Seconds without a count after which a holder on another machine counts as gone. Network file systems may
# show a file as it was a minute ago.
EXPIRY = 180.0
_POLL = 1.0  # seconds between two looks of a waiter


def describe_self(job: str) -> dict[str, Any]:
    """What a lease says of this process."""
    return {
        **identity(),
        "job": job,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "count": 0,
    }


def read_lease(path: Path) -> dict[str, Any] | None:
    """What a lease says; None if there is none, or one that was cut short."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and {"host", "pid", "count"} <= content.keys() else None


@contextmanager
def leased(path: Path, job: str, tell: Callable[[str], None], expiry: float = EXPIRY) -> Iterator[bool]:
    """Hold the lease `path` while the block runs; yields whether another held it and this process waited.

    Args:
        path: the lease file; its folder is made.
        job: what this process does, for the line of a waiter.
        tell: receives that line, which names the holder.
        expiry: seconds of this process's clock without a count after which an unseen holder is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine, waited = _take(path, job, tell, expiry)
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, mine, done), daemon=True, name="ldreg lease")
    beat.start()
    try:
        yield waited
    finally:
        done.set()
        beat.join()
        if _is_mine(read_lease(path), mine):
            path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)


def wait_until_free(path: Path, tell: Callable[[str], None], expiry: float = EXPIRY) -> bool:
    """Wait until nobody holds the lease `path`; returns whether anybody did."""
    return _wait(path, tell, expiry)[0]


def _take(path: Path, job: str, tell: Callable[[str], None], expiry: float) -> tuple[dict[str, Any], bool]:
    waited = False
    while True:
        held, silent = _wait(path, tell, expiry)
        waited |= held
        with locked(path.with_suffix(".lock")):
            found = read_lease(path)
            # Somebody else may have taken it meanwhile. What stood still for long enough may be replaced.
            if found is None or found == silent or has_ended(found):
                mine = describe_self(job)
                write_json(path, mine)
                return mine, waited


def _wait(path: Path, tell: Callable[[str], None], expiry: float) -> tuple[bool, dict[str, Any] | None]:
    """Wait until the lease is free or its holder is gone: whether anybody held it, and a lease given up."""
    told, last, changed = False, None, time.monotonic()
    while (found := read_lease(path)) is not None and (gone := has_ended(found)) is not True:
        now = time.monotonic()
        if found != last:
            last, changed = found, now
        elif gone is None and now - changed > expiry:
            return told, found
        if not told:
            told = True
            tell(
                f"{path.parent}: waiting for {found.get('job')}, which process {found['pid']} on"
                f" {found['host']} has been doing since {found.get('since')}"
            )
        time.sleep(min(_POLL, expiry / 4))
    return told, None


def _is_mine(found: dict[str, Any] | None, mine: dict[str, Any]) -> bool:
    return found is not None and all(found.get(key) == mine[key] for key in ("host", "pid", "start", "since"))


def _beat(path: Path, mine: dict[str, Any], done: threading.Event) -> None:
    """Count until `done`; a file that a cleaner removed is written again, one that another took is left."""
    while not done.wait(HEARTBEAT):
        found = read_lease(path)
        if found is not None and not _is_mine(found, mine):
            return
        mine["count"] += 1
        with suppress(OSError):  # a full disk must not end the job
            write_json(path, mine)
