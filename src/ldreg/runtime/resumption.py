"""When a job is saved, and when it ends: the one mechanism by which long jobs survive interruptions."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import distributed as dist

from ldreg.runtime.checkpoint import Checkpoint, State
from ldreg.runtime.distributed import rank, world_size
from ldreg.runtime.slices import SliceEnded, Stop, TimeLimit, listening

MINUTES = 10.0  # between two checkpoints
_AGREE = 2.0  # seconds between two agreements of several ranks
_MOST_STEPS = 10_000  # between two of them
Savable = Callable[[], tuple[State, State]]  # the shared state and that of this rank, see `Checkpoint.save`


class Resumption:
    """Saves a job by time, and ends it with a checkpoint before its time is over or when a signal asks it to.

    One process looks at its clock after every step. Several ranks have to do the same thing after the same
    step, so they agree on it, but only every few seconds: an agreement makes the host wait for the GPUs.

    Args:
        checkpoint: where the state is saved.
        device: device of this rank.
        minutes: time between two checkpoints.
        limit: when the job has to end; that of rank 0 counts.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        minutes: float = MINUTES,
        limit: TimeLimit | None = None,
    ) -> None:
        self.checkpoint, self.device = checkpoint, device
        self.pause, self.limit = 60 * minutes, limit
        self._stop = Stop()
        self._next = time.monotonic() + self.pause  # when the next checkpoint is due
        self._asked = 0.0  # when the ranks agreed last; 0 before the first step
        self._longest = 0.0  # longest time between two agreements
        self._saving = 0.0  # longest time that a checkpoint took
        self._steps, self._every = 0, 1  # steps since the last agreement, and between two

    @property
    def resumed(self) -> bool:
        """Whether the job goes on from a checkpoint."""
        return self.checkpoint.found is not None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take signals as wishes to end inside the block, which holds the steps of the job."""
        with listening() as self._stop:
            yield

    def after_step(self, step: int, total: int, state: Savable) -> None:
        """Save the job after step number `step` (from 1) if it is time; every rank must call this.

        Args:
            step: number of steps taken so far.
            total: number of steps of the whole job.
            state: returns the state to save.

        Raises:
            SliceEnded: if the job has to end. Its state is saved.
        """
        self._steps += 1
        if self._steps < self._every:
            return
        now = time.monotonic()
        if self._asked:
            self._longest = max(self._longest, now - self._asked)
        due, reason = self._agreed(now >= self._next, self._reason(now), now)
        self._steps = 0
        if due or reason:
            began = time.monotonic()
            saved = self.checkpoint.save(step, *state())
            self._saving = max(self._saving, time.monotonic() - began)
            self._next = time.monotonic() + self.pause
            if reason:
                where = f"after step {step} of {total}"
                raise SliceEnded(reason, where if saved else f"{where}, but this could not be saved")
        self._asked = time.monotonic()

    def save(self, step: int, state: Savable) -> None:
        """Save the job now, whatever the time; every rank must call this."""
        self.checkpoint.save(step, *state())
        self._next = time.monotonic() + self.pause

    def _reason(self, now: float) -> str | None:
        """Why the job has to end now, as far as this rank knows."""
        if self._stop.signal:
            return self._stop.signal
        if self.limit is None or rank() != 0:
            return None
        needed = 1.5 * self._longest + 2 * self._saving + self.limit.reserve
        return self.limit.reason if now + needed >= self.limit.end else None

    def _agreed(self, due: bool, reason: str | None, now: float) -> tuple[bool, str | None]:
        """Whether a checkpoint is due on rank 0, and why the job ends if it ends on any rank."""
        if world_size() == 1:
            return due, reason
        per_step = (now - self._asked) / self._steps if self._asked else math.inf
        wishes = [float(due and rank() == 0), float(reason is not None), per_step]
        agreed = torch.tensor(wishes, dtype=torch.float64, device=self.device)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        any_due, any_reason, slowest = agreed.tolist()
        self._every = max(1, min(_MOST_STEPS, int(_AGREE / max(slowest, 1e-6))))
        return bool(any_due), (reason or "another rank ended") if any_reason else None
