"""Output of jobs: everything goes to a log file, important lines also to the terminal."""

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
    """Append the output of this process to the file `path`; yields a stream that writes to the terminal.

    If `path` is None, the output is not redirected.

    Raises:
        LdregError: if the log cannot be written.
    """
    if path is None:
        yield sys.stderr
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("a", encoding="utf-8")
    except OSError as error:
        raise LdregError(f"{path}: the log cannot be written: {error.strerror}") from error
    # File descriptors are redirected instead of sys.stdout, to include C libraries and subprocesses.
    sys.stdout.flush(), sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
    # A rank writes to standard output, because torchrun writes its own messages to standard error, see
    # `ldreg.runtime.launch.start_ranks`.
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
    """Write one line to the log and, if it is not the same stream, to the terminal."""
    print(text, file=sys.stderr, flush=True)
    if terminal is not sys.stderr:
        tell(terminal, text)


class Progress:
    """Prints the progress of a run line by line, because several runs may share a terminal or log."""

    def __init__(self, terminal: TextIO, run: str, epochs: int, seconds: float = 0.0) -> None:
        """`seconds` is the time that the run took before it was interrupted, if it was."""
        self.terminal = terminal
        self.run = run
        self.epochs = epochs
        self.last_shown = time.monotonic()
        self.began = self.last_shown - seconds

    def __call__(self, row: dict[str, float | None]) -> None:
        """Print the progress after an epoch; `row` is its row of the history."""
        done = int(row["epoch"] or 0)
        now = time.monotonic()
        line = self._line(done, now - self.began, row)
        print(line, file=sys.stderr, flush=True)
        if self.terminal is not sys.stderr and (now - self.last_shown >= _EVERY or done == self.epochs):
            self.last_shown = now
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
    """Write one line to the terminal only."""
    with suppress(OSError):  # a closed terminal must not end a run
        print(text, file=terminal, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
