"""The linear classifier of the paper's linear evaluation, and the state of its training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldreg.catalogue.optimizers import OPTIMIZERS
from ldreg.config.run_spec import ViewSettings
from ldreg.data.decode import CorruptImages
from ldreg.data.views import view_seed
from ldreg.runtime.checkpoint import Found
from ldreg.runtime.checkpoint import State as Saved
from ldreg.runtime.distributed import sum_over_ranks

VIEW = ViewSettings(crop_scale=(0.08, 1.0), crop_ratio=(3 / 4, 4 / 3), interpolation="bicubic", flip=0.5)
WEIGHT_STD = 0.01  # of the weights at the start
NORM_MOMENTUM = 0.1  # share of a batch in the running statistics, torch's default
WEIGHTS = 6  # counter of what is drawn (`view_seed`), beside those of `ldreg.evaluation.linear_paper`

Row = dict[str, float | None]  # of one epoch: its number, the loss, the accuracies on the test split


@dataclass(frozen=True)
class ClassifierSettings:
    """How the classifier is trained; the defaults are the paper's on ImageNet.

    Attributes:
        epochs: passes over the training split.
        batch_size: images per step, over all ranks.
        base_lr: learning rate at the first step for a batch of 256; it grows with the batch.
        final_lr_factor: the rate at the end of the cosine, as a share of that at its beginning.
        view: how a training image is cropped and flipped.
        test_view: what of a test image is seen (`ldreg.data.loader.TEST_VIEWS`).
        norm_eps: of BatchNorm. The authors' vision transformers have 1e-6.
    """

    epochs: int = 90
    batch_size: int = 4096
    base_lr: float = 0.1
    final_lr_factor: float = 1e-6
    view: ViewSettings = VIEW
    test_view: str = "authors"
    norm_eps: float = 1e-5

    @property
    def lr(self) -> float:
        """The learning rate at the first step."""
        return self.base_lr * self.batch_size / 256

    def lr_after(self, progress: float) -> float:
        """The learning rate after `progress` epochs: half a cosine, without warm-up."""
        left = 0.5 * (1 + math.cos(math.pi * progress / self.epochs))
        return self.lr * (left + self.final_lr_factor * (1 - left))


class Classifier(nn.Module):
    """BatchNorm without affine and a linear layer, for representations (n, dim) of any rank's images."""

    def __init__(self, dim: int, classes: int, norm_eps: float, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(view_seed(seed, 0, 0, WEIGHTS) % 2**32)
        self.norm_eps = norm_eps
        self.weight = nn.Parameter(WEIGHT_STD * torch.randn(classes, dim, generator=generator))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes): in training by the global batch's statistics, else by the running ones."""
        x = x.to(self.weight.dtype)
        mean, variance = self._take_statistics(x) if self.training else (self.mean, self.variance)
        return F.linear((x - mean) * (variance + self.norm_eps).rsqrt(), self.weight, self.bias)

    @torch.no_grad()
    def _take_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the global batch; running ones take a part of them, unbiased as torch's."""
        n = sum_over_ranks(torch.tensor(float(len(x)), device=x.device, dtype=x.dtype))
        mean = sum_over_ranks(x.sum(dim=0)) / n
        variance = sum_over_ranks((x - mean).square().sum(dim=0)) / n
        self.mean.lerp_(mean, NORM_MOMENTUM)
        self.variance.lerp_(variance * n / (n - 1), NORM_MOMENTUM)
        return mean, variance


@dataclass
class State:
    """All that changes while the classifier is trained: with it, and the settings, training goes on.

    What is drawn depends on the seed and on the numbers of epoch and step alone, so no random state belongs
    to it. The epochs done are those of the history; `losses` are those of the steps of the unfinished epoch.
    """

    classifier: Classifier
    optimizer: torch.optim.Optimizer
    history: list[Row] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)

    @property
    def done(self) -> int:
        """The number of steps taken in the unfinished epoch."""
        return len(self.losses)

    def finish(self, row: Row) -> None:
        """End the epoch with its row of the history."""
        self.history.append(row)
        self.losses = []

    def saved(self, corrupt: CorruptImages) -> tuple[Saved, Saved]:
        """The state that is equal on all ranks, and that of this rank, for a checkpoint."""
        shared = {
            "classifier": dict(self.classifier.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "losses": self.losses,
        }
        return shared, {"corrupt": corrupt.reasons}

    def restore(self, found: Found, corrupt: CorruptImages) -> None:
        """Go on from a checkpoint, which may be of another number of ranks."""
        self.classifier.load_state_dict(found.shared["classifier"])
        self.optimizer.load_state_dict(found.shared["optimizer"])
        device = self.classifier.weight.device
        self.history = found.shared["history"]
        self.losses = [loss.to(device) for loss in found.shared["losses"]]
        for own in found.owns if found.own is None else [found.own]:
            corrupt.reasons |= own["corrupt"]


def begin(dim: int, classes: int, settings: ClassifierSettings, seed: int, device: torch.device) -> State:
    """The state before the first step, for representations of dimension `dim`."""
    classifier = Classifier(dim, classes, settings.norm_eps, seed).to(device)
    # Biases are not adapted, as in the authors' code.
    groups = [{"params": [classifier.weight]}, {"params": [classifier.bias], "adapt": False}]
    lars = OPTIMIZERS["lars"]
    return State(classifier, lars.implementation.load()(groups, lr=settings.lr, **lars.constants))


def train_step(state: State, x: Tensor, y: Tensor, lr: float) -> Tensor:
    """One step on this rank's representations `x` (n, dim) and labels `y` (n,); the global batch's loss."""
    state.classifier.train()
    n = sum_over_ranks(torch.tensor(float(len(x)), device=x.device, dtype=x.dtype))
    loss = F.cross_entropy(state.classifier(x), y, reduction="sum") / n
    state.optimizer.zero_grad()
    loss.backward()
    for group in state.optimizer.param_groups:
        group["lr"] = lr
        for parameter in group["params"]:
            parameter.grad = sum_over_ranks(parameter.grad)
    state.optimizer.step()
    return sum_over_ranks(loss.detach())
