"""The training of a detector: one iteration after the other, and all that the next one depends on."""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ldreg.config.detection import DetectionSettings
from ldreg.data.decode import CorruptImages
from ldreg.detection.checkpoint import Checkpoint
from ldreg.detection.loader import Batch
from ldreg.errors import LdregError
from ldreg.runtime.distributed import rank

ROWS = 50  # of the history
SAVED_EVERY = 5000  # iterations
HistoryRow = dict[str, float]


class DetectorTraining:
    """A detector that is trained, and where its training stands.

    With a checkpoint it goes on where an earlier one of the same settings was stored. On a CPU, in one
    process, it then gives the weights that it would have given without interruption; on GPUs up to what
    their kernels round differently from run to run.

    Args:
        detector: of `build_detector`, in training mode, on its device.
        model: the same as `ldreg.runtime.distributed.replicate` returns it.
        precision: float32, bf16 or fp16; the last one needs a gradient scaler.
        corrupt: the images that were met and skipped belong to what is stored.
    """

    def __init__(
        self,
        detector: nn.Module,
        model: nn.Module,
        settings: DetectionSettings,
        precision: str,
        corrupt: CorruptImages,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.detector, self.model, self.settings = detector, model, settings
        self.corrupt, self.checkpoint = corrupt, checkpoint
        self.device = next(model.parameters()).device
        self.optimizer = build_optimizer(model, settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.iteration = 0  # the next one; as many batches have been used
        self.history: list[HistoryRow] = []
        self.sums: dict[str, Tensor] = {}  # of losses, since the last row
        self.since = 0  # iterations
        if checkpoint and (found := checkpoint.load()):
            self._restore(*found)
            if rank() == 0:
                print(
                    f"{checkpoint.path}: goes on after iteration {self.iteration}",
                    file=sys.stderr,
                    flush=True,
                )

    def fit(self, batches: Iterator[Batch], on_row: Callable[[HistoryRow], None]) -> None:
        """Train on the batches from the `iteration`-th on; `on_row` gets every row, stored ones first."""
        for row in self.history:
            on_row(row)
        every = math.ceil(self.settings.iterations / ROWS)
        self.model.train()
        while self.iteration < self.settings.iterations:
            self._step(*next(batches))
            last = self.iteration == self.settings.iterations
            if self.iteration % every == 0 or last:
                self.history.append(self._row())
                on_row(self.history[-1])
            if self.checkpoint and (self.iteration % SAVED_EVERY == 0 or last):
                self.checkpoint.save(*self._state())

    def _step(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.iteration)
        losses = self.model(images, targets)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(sum(losses.values())).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.sums = {key: self.sums.get(key, 0.0) + loss.detach() for key, loss in losses.items()}
        self.since += 1
        self.iteration += 1

    def _row(self) -> HistoryRow:
        """A row of the history, of this rank's losses since the row before."""
        losses = {key: float(value / self.since) for key, value in self.sums.items()}
        self.sums, self.since = {}, 0
        row = {"iteration": self.iteration, "loss": sum(losses.values()), **losses}
        if not math.isfinite(row["loss"]):
            raise LdregError(
                f"detection diverged by iteration {self.iteration}: the loss is {row['loss']}; lower"
                f" learning_rate ({self.settings.learning_rate})"
            )
        return row | {"learning_rate": self.settings.rate(self.iteration - 1)}

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What ranks have alike, and what this one has of its own."""
        shared = {
            "iteration": self.iteration,
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        own = {
            "history": self.history,
            "sums": {key: value.cpu() for key, value in self.sums.items()},
            "since": self.since,
            "corrupt": self.corrupt.reasons,
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        return shared, own

    def _restore(self, shared: dict[str, Any], own: dict[str, Any]) -> None:
        self.iteration = shared["iteration"]
        self.detector.load_state_dict(shared["detector"])
        self.optimizer.load_state_dict(shared["optimizer"])
        self.scaler.load_state_dict(shared["scaler"])
        self.history, self.since = own["history"], own["since"]
        self.sums = {key: value.to(self.device) for key, value in own["sums"].items()}
        self.corrupt.reasons = own["corrupt"] | self.corrupt.reasons
        torch.set_rng_state(own["random"])
        if own["random_gpu"] is not None:
            torch.cuda.set_rng_state(own["random_gpu"], self.device)


def build_optimizer(model: nn.Module, settings: DetectionSettings) -> torch.optim.SGD:
    """SGD with momentum; norms are left out of the weight decay, as by detectron2's WEIGHT_DECAY_NORM 0."""
    norms = [
        parameter
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters()
    ]
    known = set(map(id, norms))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    groups = [{"params": rest, "weight_decay": settings.weight_decay}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
