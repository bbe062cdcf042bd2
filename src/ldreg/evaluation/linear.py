"""Linear evaluation on stored representations, which result files call the `cached` protocol."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ldreg.evaluation.knn import count_top_hits, holdout_split

HOLDOUT_SEED = 0  # all runs use the same hold-out, independent of their seed
NORM_EPS = 1e-5  # epsilon of BatchNorm


@dataclass(frozen=True)
class LinearSettings:
    """How the linear classifier is trained.

    Attributes:
        epochs: passes over the training rows.
        batch_size: maximal number of rows per step; an epoch is divided into steps of equal size.
        learning_rates: candidates for the initial rate, not scaled by the batch size. The rate falls to 0
            along a cosine.
        holdout: fraction of the training split that is held out to choose the learning rate.
        momentum: momentum of SGD.
        weight_decay: weight decay of the weights, and of the biases if `decay_biases` is set.
        nesterov: whether Nesterov momentum is used.
        decay_biases: whether weight decay applies to the biases, as by default in torch's SGD.
    """

    epochs: int
    batch_size: int
    learning_rates: tuple[float, ...]
    holdout: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    decay_biases: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs and batch_size must be at least 1, got {self.epochs}, {self.batch_size}"
            )
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise ValueError(f"learning_rates must hold positive numbers, got {self.learning_rates}")


class Heads(NamedTuple):
    """Several linear classifiers with the same standardised input."""

    mean: Tensor  # (dim,)
    scale: Tensor  # (dim,), 1 / sqrt(variance + NORM_EPS)
    weight: Tensor  # (heads, dim, classes)
    bias: Tensor  # (heads, classes)

    def logits(self, x: Tensor) -> Tensor:
        """Return logits (heads, batch, classes) for `x` (batch, dim) of any device and floating type."""
        x = (x.to(self.mean) - self.mean) * self.scale
        return torch.einsum("bd,hdc->hbc", x, self.weight) + self.bias[:, None]


def zero_heads(x: Tensor, classes: int, heads: int, device: torch.device) -> Heads:
    """Return classifiers with zero weights; inputs are standardised by mean and variance of `x` (n, dim)."""
    # In blocks of columns, so that half-precision features are not converted to float32 all at once.
    moments = [torch.var_mean(block.float(), dim=0, correction=0) for block in x.split(64, dim=1)]
    variance, mean = (torch.cat(parts).to(device) for parts in zip(*moments, strict=True))
    weight = torch.zeros(heads, x.shape[1], classes, device=device, requires_grad=True)
    bias = torch.zeros(heads, classes, device=device, requires_grad=True)
    return Heads(mean, (variance + NORM_EPS).rsqrt(), weight, bias)


def shuffled_batches(rows: int, steps: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Yield the row numbers of each step: every epoch cuts a new permutation into `steps` equal parts."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(rows, generator=generator).tensor_split(steps)


@torch.enable_grad()
def train_heads(
    x: Tensor,
    y: Tensor,
    classes: int,
    learning_rates: Sequence[float],
    settings: LinearSettings,
    seed: int,
    device: torch.device,
    weight_decays: Sequence[float] | None = None,
) -> Heads:
    """Train one linear classifier per learning rate, all at once on the same batches.

    Each classifier minimises the softmax cross-entropy by SGD with momentum. Weights start at zero, because
    the problem is convex. The learning rate at step t of T is lr * (1 + cos(pi t / T)) / 2. The input is
    standardised by the mean and variance of `x`. This corresponds to the BatchNorm without affine parameters
    in the paper's linear evaluation, with the statistics of the whole split.

    Args:
        x: (n, dim), any floating type and device; batches are moved to `device`.
        y: integer (n,).
        classes: number of classes.
        learning_rates: initial learning rate of each classifier.
        settings: the other settings of the training.
        seed: seed of the batch order.
        device: device of the classifiers.
        weight_decays: weight decay of each classifier; None uses that of the settings.
    """
    heads = zero_heads(x, classes, len(learning_rates), device)
    y = y.to(device)
    # SGD is written out here, because torch.optim has one learning rate per tensor, not one per classifier.
    parameters = (heads.weight, heads.bias)
    velocities = tuple(torch.zeros_like(parameter) for parameter in parameters)
    rates = torch.tensor(learning_rates, device=device)
    decay = torch.tensor(weight_decays or [settings.weight_decay] * len(rates), device=device)
    decays = (decay, decay if settings.decay_biases else torch.zeros_like(decay))
    steps = math.ceil(len(x) / settings.batch_size)  # per epoch
    for step, rows in enumerate(shuffled_batches(len(x), steps, settings.epochs, seed)):
        logits = heads.logits(x[rows.to(x.device)])
        target = y[rows.to(device)].expand(len(logits), -1)
        # Mean over the batch and sum over classifiers, so each gets the gradient of its own loss.
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum") / len(rows)
        gradients = torch.autograd.grad(loss, parameters)
        step_rates = rates * (1 + math.cos(math.pi * step / (steps * settings.epochs))) / 2
        for state in zip(parameters, velocities, gradients, decays, strict=True):
            _sgd(*state, step_rates, settings)
    return heads._replace(weight=heads.weight.detach(), bias=heads.bias.detach())


@torch.no_grad()
def _sgd(
    parameter: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    decays: Tensor,
    rates: Tensor,
    settings: LinearSettings,
) -> None:
    """Take one step of torch's SGD in place: `parameter` is (heads, ...), decays and rates (heads,)."""
    decays, rates = (values.view(-1, *[1] * (parameter.ndim - 1)) for values in (decays, rates))
    gradient = gradient + decays * parameter
    velocity.mul_(settings.momentum).add_(gradient)
    parameter.sub_(rates * (gradient + settings.momentum * velocity if settings.nesterov else velocity))


@torch.no_grad()
def top_accuracy(heads: Heads, x: Tensor, y: Tensor, top: int, batch_size: int = 4096) -> list[float]:
    """Percentage of rows of `x` (n, dim) whose label is among the `top` highest logits, per classifier."""
    hits = torch.zeros(len(heads.weight), dtype=torch.long)
    for batch, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits = heads.logits(batch)
        hits += count_top_hits(logits, labels.to(logits.device), top).cpu()
    return (100 * hits.double() / len(x)).tolist()


def linear_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    classes: int,
    settings: LinearSettings,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> dict[str, Any]:
    """Train a linear classifier on representations of the training split and test it on the test split.

    The learning rate is the one with the highest accuracy on a stratified hold-out of the *training* split;
    the lowest wins a tie. The classifier with that rate is then trained on the whole training split and
    tested once, after its last epoch. Nothing is selected on the test split. (The authors report the best
    test epoch.)

    Args:
        train_x, test_x: (n, dim) and (m, dim), any floating type; computed in float32.
        train_y, test_y: integer (n,) and (m,), in [0, classes).
        classes: number of classes.
        settings: settings of the training.
        seed: seed of the batch order. The hold-out does not depend on it.
        device: device of the classifier; None means that of `train_x`. Features on another device are moved
            batch by batch.

    Returns:
        {"split": "test", "protocol": "cached", "top1": percent, "top5": percent, or None for at most 5
        classes, "lr": chosen learning rate, "at_grid_edge": whether it is the lowest or highest candidate, so
        that a rate outside the grid may be better, "epochs": settings.epochs,
        "holdout": [{"lr": candidate, "top1": percent on the hold-out}, ...] by rising rate}.

    Raises:
        ValueError: if representations are not finite, the test split is empty, or no class has a second row
            to hold out.
        FloatingPointError: if the training diverges at the chosen learning rate.
    """
    if not (train_x.isfinite().all() and test_x.isfinite().all()):
        raise ValueError("representations must be finite, got NaN or infinity")
    if len(test_x) == 0:
        raise ValueError("cannot measure an accuracy: no row to classify")
    device = torch.device(device) if device is not None else train_x.device
    rates = sorted(settings.learning_rates)
    fit, holdout = (
        index.to(train_x.device) for index in holdout_split(train_y, settings.holdout, HOLDOUT_SEED)
    )
    labels = train_y.to(train_x.device)
    heads = train_heads(train_x[fit], labels[fit], classes, rates, settings, seed, device)
    scores = top_accuracy(heads, train_x[holdout], labels[holdout], top=1)
    chosen = rates[scores.index(max(scores))]

    head = train_heads(train_x, labels, classes, [chosen], settings, seed, device)
    if not (head.weight.isfinite().all() and head.bias.isfinite().all()):
        raise FloatingPointError(f"the linear probe diverged at learning rate {chosen}")
    return {
        "split": "test",
        "protocol": "cached",
        "top1": top_accuracy(head, test_x, test_y, top=1)[0],
        "top5": top_accuracy(head, test_x, test_y, top=5)[0] if classes > 5 else None,
        "lr": chosen,
        "at_grid_edge": chosen in (rates[0], rates[-1]),
        "epochs": settings.epochs,
        "holdout": [{"lr": rate, "top1": score} for rate, score in zip(rates, scores, strict=True)],
    }
