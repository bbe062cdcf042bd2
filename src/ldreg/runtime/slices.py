"""Time slices: a long job ends itself with a checkpoint before its time is over, and goes on in the next one.

It does the same at SIGTERM, SIGINT and SIGUSR1. It then ends with the status `UNFINISHED`, so that whoever
started it can tell it from a job that has failed.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

UNFINISHED = 75  # exit status of a job that goes on when it is started again (EX_TEMPFAIL of sysexits.h)
ENDS = "LDREG_SLICE_ENDS"  # tells ranks when the budget of their job is over, by the monotonic clock
LAUNCHED = "LDREG_LAUNCHED"  # tells ranks that a command of ours started them and waits for them
STOPPED = "stopped "  # begin of the line that says that a job ended itself with a checkpoint
LIMIT = "time limit"  # the reason of a job that SLURM would have ended
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_RESERVE, _SHARE = 60.0, 0.05  # seconds, and share of a slice, that are left free before its end, at most


_WAIT = 120.0  # seconds that SLURM may take to end a job that it was told to requeue


class SliceEnded(Exception):
    """A job ended itself with a checkpoint; the same command goes on.

    Args:
        reason: what ended it: the name of a signal, `budget` or `time limit`.
        where: how far it came.
    """

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"{STOPPED}{where} ({reason}); the same command goes on from there")
        self.reason = reason


BEGAN = time.monotonic()  # when this process began, or nearly so


class Slot(NamedTuple):
    """The part of a job's time that one start of its command has."""

    budget: float | None = (
        None  # seconds after which the job ends itself with a checkpoint; None sets no limit
    )
    attempt: int = 1  # how often Snakemake has started the job


WHOLE = Slot()  # all the time that there is


@dataclass(frozen=True)
class TimeLimit:
    """When a job has to end.

    Attributes:
        end: by `time.monotonic`, so that a clock that is set does not move it.
        reserve: seconds before it that are left free for what cannot be foreseen.
        reason: `budget` or `time limit`.
    """

    end: float
    reserve: float
    reason: str

    @classmethod
    def after(cls, seconds: float, reason: str) -> "TimeLimit":
        """The limit that lies `seconds` ahead."""
        return cls(time.monotonic() + seconds, max(0.0, min(_RESERVE, _SHARE * seconds)), reason)


def time_limit(budget: float | None) -> TimeLimit | None:
    """The limit of this job: its budget in seconds or the time that SLURM leaves it, whichever is shorter.

    None if there is neither.
    """
    limits = []
    if ENDS in os.environ:  # counted from the start of the command that started this rank
        limits.append(TimeLimit.after(float(os.environ[ENDS]) - time.monotonic(), "budget"))
    elif budget is not None:
        limits.append(TimeLimit.after(budget, "budget"))
    if (left := _left_by_slurm()) is not None:
        limits.append(TimeLimit.after(left, LIMIT))
    return min(limits, key=lambda limit: limit.end, default=None)


def seconds_of(text: str) -> float:
    """Return the seconds of a time with its unit: hours, minutes or seconds.

    Raises:
        ValueError: if it is anything else.

    >>> seconds_of("1.5h"), seconds_of("50m"), seconds_of("90s")
    (5400.0, 3000.0, 90.0)
    """
    seconds = float(text[:-1]) * {"h": 3600, "m": 60, "s": 1}.get(text[-1:], -1)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{text!r} is not allowed; it should be a time with its unit: 4h, 50m or 90s")
    return seconds


def slurm_seconds(text: str) -> float | None:
    """Return the seconds of a time that `squeue` prints; None if it is no time, such as UNLIMITED.

    >>> slurm_seconds("1-02:00:05"), slurm_seconds("59:30"), slurm_seconds("UNLIMITED")
    (93605.0, 3570.0, None)
    """
    days, _, clock = text.strip().rpartition("-")
    parts = clock.split(":")
    if not (all(part.isdecimal() for part in parts) and len(parts) in (2, 3) and (days or "0").isdecimal()):
        return None
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return 86_400 * int(days or 0) + seconds


def _left_by_slurm() -> float | None:
    """The time that SLURM leaves this job, in seconds; None outside of SLURM, or if there is no limit.

    It is asked for, because Snakemake's plugin removes the variables that say it.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return None
    try:
        command = ["squeue", "-h", "-j", os.environ["SLURM_JOB_ID"], "-o", "%L"]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        told = f"warning: squeue does not tell the time that is left to this job ({type(error).__name__})"
        print(f"{told}; it ends where SLURM ends it, and goes on from its last checkpoint", file=sys.stderr)
        return None
    return slurm_seconds(found)


def requeue(ended: str) -> bool:
    """Tell SLURM to start this job again later, if its time limit has ended it; returns whether SLURM will.

    Where the cluster does not allow it, or where this is no job of SLURM, nothing happens: Snakemake's
    retries or the user start the job again. A Snakemake that runs as a whole in one allocation is not
    requeued by its jobs either.

    Args:
        ended: the line that says why the job ended, of `SliceEnded`.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or not ended_by_slurm(ended) or _in_local_workflow():
        return False
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    if done.returncode:
        print(f"SLURM does not requeue this job: {done.stderr.strip()}", file=sys.stderr, flush=True)
        return False
    print(f"SLURM starts job {job} again", file=sys.stderr, flush=True)
    time.sleep(_WAIT)  # SLURM ends this process
    return True


def ended_by_slurm(ended: str) -> bool:
    """Whether a line of `SliceEnded` names a reason that SLURM has: its time limit, or its early warning."""
    return f"({LIMIT})" in ended or "(SIGUSR1)" in ended


def _in_local_workflow() -> bool:
    """Whether a Snakemake that runs its jobs in this same allocation started this process."""
    import psutil

    with suppress(psutil.Error):
        for parent in psutil.Process().parents():
            words = parent.cmdline()
            if any(Path(word).name == "snakemake" for word in words[:3]) and "remote" not in words:
                return True
    return False


class Stop:
    """Whether a signal has asked this job to end, and which."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note a signal. A second Ctrl-C ends the job at once; to a rank each comes twice, so not a rank."""
        if self.signal == "SIGINT" and number == signal.SIGINT and "RANK" not in os.environ:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name


@contextmanager
def listening() -> Iterator[Stop]:
    """Take the `SIGNALS` inside the block as wishes to end."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
        yield stop
        return
    with handled_by(stop.ask):
        yield stop


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let `handler` have the `SIGNALS` inside the block; the main thread alone may call this."""
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
