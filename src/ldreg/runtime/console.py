"""What a job tells: everything to its log file, the essentials also to the terminal."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ldreg.errors import LdregError

_BAR = 16  # characters
_EVERY = 5.0  # seconds between two lines of one run's progress


@contextmanager
def logging_to(path: Path | None) -> Iterator[TextIO]:
    """Send this process's output to `path`, appending; yields a stream that still reaches the terminal.

    Without a path the output stays where it is.
    """
    if path is None:
        yield sys.stderr
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("a", encoding="utf-8")
    except OSError as error:
        raise LdregError(f"{path}: the log cannot be written: {error.strerror}") from error
    # The descriptors and not sys.stdout, so that libraries written in C and subprocesses are caught too.
    sys.stdout.flush(), sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
    # A rank's standard error takes torchrun's own messages too, see `ldreg.runtime.launch.torchrun`.
    shown = saved[0] if "LOCAL_RANK" in os.environ else saved[1]
    terminal = os.fdopen(os.dup(shown), "w", encoding="utf-8")
    try:
        yield terminal
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        for descriptor, target in zip(saved, (1, 2), strict=True):
            os.dup2(descriptor, target)
            os.close(descriptor)
        with suppress(OSError):
            terminal.close()
        log.close()


def say(terminal: TextIO, text: str) -> None:
    """One line to the log and, where that is another place, to the terminal."""
    print(text, file=sys.stderr, flush=True)
    if terminal is not sys.stderr:
        tell(terminal, text)


class Progress:
    """A progress bar of one run as lines: several runs share a terminal, and logs and clusters have none."""

    def __init__(self, terminal: TextIO, run: str, epochs: int) -> None:
        self.terminal = terminal
        self.run = run
        self.epochs = epochs
        self.began = self.told = time.monotonic()

    def __call__(self, row: dict[str, float | None]) -> None:
        """Tell about the epoch whose row of the history this is."""
        done = int(row["epoch"] or 0)
        now = time.monotonic()
        line = self._line(done, now - self.began, row)
        print(line, file=sys.stderr, flush=True)
        if self.terminal is not sys.stderr and (now - self.told >= _EVERY or done == self.epochs):
            self.told = now
            tell(self.terminal, line)

    def _line(self, done: int, seconds: float, row: dict[str, float | None]) -> str:
        """E.g. `simclr-small_cnn/none/seed0  ######......  12/24 epochs  loss 3.21  mLID 5.9  0:07 left`."""
        filled = round(_BAR * done / self.epochs)
        left = seconds / done * (self.epochs - done)
        parts = [
            f"{self.run:<43} {'█' * filled}{'░' * (_BAR - filled)} {done}/{self.epochs} epochs",
            f"loss {row['loss']:.2f}",
            *([f"mLID {row['mlid']:.2f}"] if row["mlid"] is not None else []),
            f"{_clock(left)} left" if done < self.epochs else f"took {_clock(seconds)}",
        ]
        return "  ".join(parts)


def tell(terminal: TextIO, text: str) -> None:
    with suppress(OSError):  # a terminal that has gone away is no reason to lose a run
        print(text, file=terminal, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
