"""All that changes while a run is pretrained, and how it is saved and restored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from ldreg.data.decode import CorruptImages
from ldreg.runtime.checkpoint import Found, State
from ldreg.runtime.distributed import rank, world_size
from ldreg.training.monitors import HistoryRow, Monitors
from ldreg.training.step import StepResult

if TYPE_CHECKING:
    from ldreg.training.pretrain import Trainer


class Course:
    """The course of a pretraining: its networks, optimiser and monitors, and how far it has come.

    Order, views and masks depend only on seed, epoch and step (`ldreg.data.batches`), so they need no state.

    Attributes:
        history: rows of the epochs that are finished.
        done: number of steps taken in the epoch that is not.
        sums: sums of SSL loss and regulariser over these steps, on this rank.
    """

    def __init__(
        self, trainer: Trainer, monitors: Monitors | None, corrupt: CorruptImages, device: torch.device
    ) -> None:
        self.trainer, self.monitors = trainer, monitors
        self.corrupt, self.device = corrupt, device
        self.history: list[HistoryRow] = []
        self.done = 0
        self.sums = torch.zeros(2, device=device, dtype=torch.float64)
        self._earlier, self._began = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time of the unfinished epoch, with that before an interruption."""
        return self._earlier + time.perf_counter() - self._began

    def begin(self) -> None:
        """Start the clock for the steps of the epoch that are left."""
        self._began = time.perf_counter()

    def add(self, result: StepResult) -> None:
        """Count a step."""
        self.sums += torch.stack([result.ssl_loss, result.term]).double()
        self.done += 1

    def finish(self, row: HistoryRow) -> None:
        """End the epoch with its row of the history."""
        self.history.append(row)
        self.done, self._earlier = 0, 0.0
        self.sums = torch.zeros_like(self.sums)

    def state(self) -> tuple[State, State]:
        """Return the state that is equal on all ranks, and the state of this rank."""
        shared, own = self.monitors.state() if self.monitors else (None, None)
        trainer, on_gpu = self.trainer, self.device.type == "cuda"
        return {
            "method": dict(trainer.method.state_dict()),
            "optimizer": trainer.optimizer.state_dict(),
            "scaler": trainer.training_step.scaler.state_dict(),
            "monitors": shared,
            "history": self.history,
            "done": self.done,
            "seconds": self.seconds,
        }, {
            "monitors": own,
            "sums": self.sums,
            "corrupt": self.corrupt.reasons,
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state(self.device) if on_gpu else None,
        }

    def restore(self, found: Found) -> None:
        """Go on from a checkpoint.

        Of another number of ranks, sums and queues are shared out anew and their means stay the same.
        """
        shared, owns, trainer = found.shared, found.owns, self.trainer
        own = found.own or owns[rank() % len(owns)]
        trainer.method.load_state_dict(shared["method"])
        trainer.optimizer.load_state_dict(shared["optimizer"])
        trainer.training_step.scaler.load_state_dict(shared["scaler"])
        if self.monitors:
            self.monitors.restore(shared["monitors"], [each["monitors"] for each in owns])
        self.history, self.done, self._earlier = shared["history"], shared["done"], shared["seconds"]
        sums = own["sums"] if found.own else torch.stack([each["sums"] for each in owns]).mean(dim=0)
        self.sums = sums.to(self.device)
        for each in owns if len(owns) != world_size() else [own]:
            self.corrupt.reasons |= each["corrupt"]
        torch.set_rng_state(own["random"])
        if own["random_gpu"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(own["random_gpu"], self.device)
