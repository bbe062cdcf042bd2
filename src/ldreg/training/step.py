"""One training step: loss and gradients of a batch, computed at once or in micro-batches."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec
from ldreg.errors import LdregError
from ldreg.methods import SelfSupervisedMethod
from ldreg.methods.base import Outputs, Targets
from ldreg.runtime.distributed import gather_rows, rank, world_size

Made = TypeVar("Made", Outputs, Targets)


@dataclass(frozen=True)
class StepResult:
    """The values of one step, without gradient."""

    ssl_loss: Tensor  # scalar: loss of this rank's share of the batch
    term: Tensor  # scalar: regulariser of the whole batch
    representations: list[Tensor]  # (n, dim) per view, of this rank


class TrainingStep:
    """Computes the gradients of (ssl_loss + regulariser) for a batch and stores them in the parameters.

    - Whole batch: one forward and one backward pass.
    - Cached accumulation (GradCache; Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under
      Memory Limited Setup"): a first pass computes the outputs of all micro-batches without gradient. The
      objective of the whole batch gives the gradients with respect to these outputs. A second pass through
      each micro-batch propagates them to the weights. This is exact for every loss, unless a layer depends on
      several images, as batch norm does. Its statistics are then those of a micro-batch.
    - Plain accumulation: the gradients of the objectives of all micro-batches are summed. This is exact only
      if the objective is a mean over images, and takes a third less work.
    """

    def __init__(
        self,
        spec: RunSpec,
        method: SelfSupervisedMethod,
        model: nn.Module,
        regularizer: nn.Module | None,
        execution: Execution,
        device: torch.device,
    ) -> None:
        """`model` is `method`, wrapped for training on several ranks by `replicate`.

        Raises:
            LdregError: if plain accumulation is requested and the objective needs the whole batch.
        """
        self.method, self.model, self.regularizer = method, model, regularizer
        self.acts_on = spec.acts_on
        self.device = device
        self.precision = execution.precision
        self.scaler = torch.amp.GradScaler(device.type, enabled=execution.precision == "fp16")
        share = spec.batch_size // world_size()
        # Parts of nearly equal sizes: a small remainder would have poor statistics in batch norm, and one
        # image alone would have none.
        self.parts = math.ceil(share / min(execution.micro_batch or share, share))
        self.smallest = share // self.parts  # images
        _check_statistics(execution, method, share, self.smallest)
        self.plain = execution.accumulation == "plain"
        if self.parts == 1:
            return
        if self.plain and spec.couples_images:
            culprit = f"{spec.method}'s loss" if regularizer is None else f"regularizer {spec.regularizer}"
            deviation = (
                ", except that batch norm uses statistics of micro-batches" if batch_norms(method) else ""
            )
            raise LdregError(
                f"execution.accumulation: plain is not allowed: {culprit} needs the whole batch at once;"
                f" allowed: cached, which has the whole batch's gradients{deviation}"
            )

    def __call__(self, inputs: tuple[Tensor, ...], regularized: bool) -> StepResult:
        """Compute the gradients, scaled by `scaler`, for this rank's share of the batch.

        Args:
            inputs: inputs of the method, each with one row per image.
            regularized: whether the regulariser is added to the loss.

        Raises:
            NotFiniteError: if representations are not finite.
        """
        if self.parts == 1:
            outputs, targets = self._pass(inputs), self._targets(inputs)
            return self._backward(outputs, targets, regularized)
        parts = list(zip(*(rows.tensor_split(self.parts) for rows in inputs), strict=True))
        if self.plain:
            return self._accumulated(parts, len(inputs[0]))
        return self._cached(parts, regularized)

    def optimize(self, optimizer: torch.optim.Optimizer) -> None:
        """Update the weights. If fp16 gradients overflowed, skip the update and lower the gradient scale."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def _autocast(self) -> AbstractContextManager:
        if self.precision == "float32":
            return nullcontext()
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        return torch.autocast(self.device.type, dtype)

    def _pass(self, inputs: tuple[Tensor, ...]) -> Outputs:
        with self._autocast():
            return self.model(*inputs)

    def _targets(self, inputs: tuple[Tensor, ...]) -> Targets:
        with self._autocast():
            return self.method.targets(*inputs)

    def _backward(
        self, outputs: Outputs, targets: Targets, regularized: bool, weight: float = 1.0
    ) -> StepResult:
        with self._autocast():
            ssl_loss = self.method.loss(outputs, targets)
        term = ssl_loss.new_zeros(())
        if self.regularizer is not None and regularized:
            term = self.method.loss_terms * self._regularize(outputs, targets)
        self.scaler.scale(weight * (ssl_loss + term)).backward()
        return StepResult(
            ssl_loss.detach(), term.detach(), [rows.detach() for rows in outputs.representations]
        )

    def _regularize(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return the regulariser of this rank's rows, with neighbours among the rows of all ranks."""
        own = torch.cat(getattr(outputs, self.acts_on))
        everyone = gather_rows(own.detach())
        index = rank() * len(own) + torch.arange(len(own), device=own.device)
        if self.method.neighbors_among_targets:
            followers = torch.cat(getattr(targets, self.acts_on))
            everyone = torch.cat([everyone, gather_rows(followers)])
        return self.regularizer(own, everyone, index, gather_rows if world_size() > 1 else None)

    def _accumulated(self, parts: list[tuple[Tensor, ...]], rows: int) -> StepResult:
        found = []
        for last, part in _with_last(parts):
            weight = len(part[0]) / rows
            with self._sync(last):
                result = self._backward(self._pass(part), self._targets(part), False, weight)
            found.append((weight, result))
        ssl_loss = sum(weight * result.ssl_loss for weight, result in found)
        views = zip(*(result.representations for _, result in found), strict=True)
        return StepResult(ssl_loss, result.term, [torch.cat(view) for view in views])

    def _cached(self, parts: list[tuple[Tensor, ...]], regularized: bool) -> StepResult:
        with torch.no_grad(), _frozen_statistics(self.method), self._autocast():
            # `method` instead of `model`, because DistributedDataParallel would wait for gradients. Batch
            # norm's running statistics are frozen, because only the second pass should update them.
            outputs = _join(Outputs, [self.method(*part) for part in parts])
        targets = _join(Targets, [self._targets(part) for part in parts])
        leaves = Outputs(*([rows.requires_grad_() for rows in group] for group in outputs))
        result = self._backward(leaves, targets, regularized)
        gradients = [rows.grad for group in leaves for rows in group]
        begin = 0
        for last, part in _with_last(parts):
            with self._sync(last):
                made = [rows for group in self._pass(part) for rows in group]
                reached = [
                    (rows, gradient[begin : begin + len(rows)])
                    for rows, gradient in zip(made, gradients, strict=True)
                    if gradient is not None
                ]
                torch.autograd.backward(*zip(*reached, strict=True))
            begin += len(part[0])
        return result

    def _sync(self, last: bool) -> AbstractContextManager:
        """Average gradients over the ranks only once, after the last micro-batch."""
        return nullcontext() if last or world_size() == 1 else self.model.no_sync()


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Return the batch norms of a network, whose outputs depend on all images of a forward pass."""
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._NormBase)]


def _check_statistics(execution: Execution, module: nn.Module, share: int, smallest: int) -> None:
    """Check that no batch norm sees a single image; a synchronised one sees those of all GPUs.

    Raises:
        LdregError: if one does.
    """
    alone = [norm for norm in batch_norms(module) if not isinstance(norm, nn.SyncBatchNorm)]
    if smallest > 1 or not alone:
        return
    if share == 1:
        raise LdregError(
            f"batch_size: {world_size()} leaves one image to each of {world_size()} processes, of which batch"
            f" norm has no statistics; allowed: from {2 * world_size()}"
        )
    raise LdregError(
        f"execution.micro_batch: {execution.micro_batch} leaves one image of {share} to a part, of which"
        f" batch norm has no statistics; allowed: from {2 + share % 2}"
    )


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    norms = [norm for norm in batch_norms(module) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _with_last(parts: list[tuple[Tensor, ...]]) -> Iterator[tuple[bool, tuple[Tensor, ...]]]:
    for index, part in enumerate(parts):
        yield index == len(parts) - 1, part


def _join(kind: type[Made], parts: list[Made]) -> Made:
    """Concatenate the outputs for consecutive micro-batches."""
    groups = zip(*parts, strict=True)  # the parts' lists of views, one field after another
    return kind(*([torch.cat(rows) for rows in zip(*group, strict=True)] for group in groups))
