"""The training loop of a detector, and its state for checkpoints."""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ldreg.config.detection import DetectionSettings
from ldreg.data.decode import CorruptImages
from ldreg.detection.loader import Batch
from ldreg.errors import LdregError
from ldreg.runtime.checkpoint import Found
from ldreg.runtime.distributed import rank
from ldreg.runtime.resumption import Resumption

ROWS = 50  # number of rows in the history
HistoryRow = dict[str, float]


class DetectorTraining:
    """A detector in training, and the state of the training.

    If `resumption` has found a checkpoint, the training continues from it. On a CPU the final weights are
    those of an uninterrupted training. On GPUs they differ by the rounding of nondeterministic kernels.

    Args:
        detector: a detector of `build_detector`, in training mode, on its device.
        model: the detector after `ldreg.runtime.distributed.replicate`.
        settings: settings of the training.
        precision: float32, bf16 or fp16; fp16 uses a gradient scaler.
        corrupt: policy for corrupt images; the skipped images are part of the saved state.
        resumption: when and where the state is saved; None saves nothing.
    """

    def __init__(
        self,
        detector: nn.Module,
        model: nn.Module,
        settings: DetectionSettings,
        precision: str,
        corrupt: CorruptImages,
        resumption: Resumption | None = None,
    ) -> None:
        self.detector, self.model, self.settings = detector, model, settings
        self.corrupt, self.resumption = corrupt, resumption
        self.device = next(model.parameters()).device
        self.optimizer = build_optimizer(model, settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.iteration = 0  # next iteration, which is also the number of batches used
        self.history: list[HistoryRow] = []
        self.sums: dict[str, Tensor] = {}  # sums of the losses since the last row
        self.since = 0  # iterations since the last row
        if resumption and resumption.checkpoint.found:
            self._restore(resumption.checkpoint.found)

    def fit(self, batches: Iterator[Batch], on_row: Callable[[HistoryRow], None]) -> None:
        """Train on `batches` from the next iteration on; `on_row` gets every row, saved ones first.

        The end of the training is always saved, since testing follows, which may fail.

        Raises:
            SliceEnded: if the training ended itself with a checkpoint.
        """
        for row in self.history:
            on_row(row)
        total = self.settings.iterations
        every = math.ceil(total / ROWS)
        self.model.train()
        with self.resumption.running() if self.resumption else nullcontext():
            while self.iteration < total:
                self._step(*next(batches))
                last = self.iteration == total
                if self.iteration % every == 0 or last:
                    self.history.append(self._row())
                    on_row(self.history[-1])
                if self.resumption and last:
                    self.resumption.save(self.iteration, self._state)
                elif self.resumption:
                    self.resumption.after_step(self.iteration, total, self._state)

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
        """Return a row of the history: the mean losses of this rank since the previous row."""
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
        """Return the state that is equal on all ranks, and the state of this rank."""
        shared = {
            "iteration": self.iteration,
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        own = {
            "history": self.history,
            "sums": self.sums,
            "since": self.since,
            "corrupt": self.corrupt.reasons,
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        return shared, own

    def _restore(self, found: Found) -> None:
        """Go on from a checkpoint; of another number of ranks, a rank takes the history of one of them."""
        shared, own = found.shared, found.own or found.owns[rank() % len(found.owns)]
        self.iteration = shared["iteration"]
        self.detector.load_state_dict(shared["detector"])
        self.optimizer.load_state_dict(shared["optimizer"])
        self.scaler.load_state_dict(shared["scaler"])
        self.history, self.since = own["history"], own["since"]
        self.sums = {key: value.to(self.device) for key, value in own["sums"].items()}
        for each in found.owns if found.own is None else [own]:
            self.corrupt.reasons |= each["corrupt"]
        torch.set_rng_state(own["random"])
        if own["random_gpu"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(own["random_gpu"], self.device)


def build_optimizer(model: nn.Module, settings: DetectionSettings) -> torch.optim.SGD:
    """Build SGD with momentum, without weight decay of norms, as with detectron2's WEIGHT_DECAY_NORM 0."""
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
