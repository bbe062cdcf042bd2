"""Linear evaluation on images, as in the paper (the `paper` protocol): LDReg's Table 9 and the authors' code.

A linear classifier is trained on random resized crops and flips, which pass the frozen encoder anew in every
epoch: the encoder is in eval mode, and BatchNorm without affine stands before the linear layer. LARS with
momentum 0.9, without weight decay; the learning rate is the base rate times batch / 256 and falls by a cosine
from the first step on. Weights start from N(0, 0.01), biases at 0 and, as one-dimensional parameters,
unadapted. Everything is computed in float32, as theirs is.

All ranks share a batch: its statistics, loss and gradients are those of the global batch, and an epoch's last
batch may be smaller. Accuracy is that after the last epoch. The authors' script also tells that of the best
test epoch. It is recorded under that name and is no result, as it is chosen on the images tested on.

The cached protocol (`ldreg.evaluation.linear`) trains on stored representations instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldreg.catalogue.optimizers import OPTIMIZERS
from ldreg.config.run_spec import ViewSettings
from ldreg.data.batches import Part, views_of
from ldreg.data.datasets import ImageData, Split
from ldreg.data.decode import CorruptImages
from ldreg.data.views import view_seed
from ldreg.evaluation.features import evaluating, represent
from ldreg.evaluation.knn import count_top_hits
from ldreg.runtime.distributed import rank, sum_over_ranks, world_size

WEIGHT_STD = 0.01  # of the weights at the start
NORM_MOMENTUM = 0.1  # share of a batch in the running statistics, torch's default
VIEW = ViewSettings(crop_scale=(0.08, 1.0), crop_ratio=(3 / 4, 4 / 3), interpolation="bicubic", flip=0.5)
# Counters of what is drawn (`view_seed`), other than pretraining's.
CROPS, ORDER, WEIGHTS = 4, 5, 6

TEST_ROWS = 4096  # at a time

Row = dict[str, float | None]  # of one epoch: its number, the loss, the accuracies on the test split


@dataclass(frozen=True)
class PaperSettings:
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
    """All that changes while the classifier is trained: with it, and the settings, training could go on.

    What is drawn depends on the seed and on the numbers of epoch and step alone, so no random state belongs
    to it. The epochs done are those of the history.
    """

    classifier: Classifier
    optimizer: torch.optim.Optimizer
    history: list[Row] = field(default_factory=list)


class Measured(NamedTuple):
    """Representations of this rank's share of the test split."""

    x: Tensor  # (n, dim)
    y: Tensor  # (n,)


def linear_paper(
    encoder: nn.Module,
    data: ImageData,
    image_size: int,
    settings: PaperSettings,
    seed: int,
    device: torch.device,
    workers: int = 0,
    corrupt: CorruptImages | None = None,
    on_epoch: Callable[[Row], None] = lambda row: None,
) -> dict[str, Any]:
    """Accuracy on the test split of a linear classifier trained on crops of the training split.

    Every rank calls it with the same arguments, but for its device, and gets the same result.

    Args:
        encoder: frozen; as `ldreg.evaluation.features.extract` takes it.
        data: its training split is trained on, its test split tested after each epoch.
        image_size: height and width of the views in pixels.
        settings: of the training.
        seed: of the first weights, the order of the images and their crops; no other random state enters.
        device, workers, corrupt: as in `extract`. In training, another image stands for a corrupt one
            (`ldreg.data.loader.load_views`); in testing it is left out.
        on_epoch: called with each epoch's row of the history.

    Returns:
        The content of `linear_paper.json`: {"split": "test", "protocol": "paper", "top1": percent, "top5":
        percent or None where there are at most 5 classes, "lr": at the first step, "epochs", "batch_size",
        "history": a row for each epoch, "best_test_epoch": {"epoch", "top1", "top5"}, ...}.

    Raises:
        FloatingPointError: the training diverged.
        ValueError: as `extract`.
    """
    with evaluating(encoder):
        tested = _test_features(encoder, data, image_size, settings, device, workers, corrupt)
        state = begin(tested.x.shape[1], data.classes, settings, seed, device)
        train = data.train
        if isinstance(train.images, Tensor):
            train = replace(train, images=train.images.to(device))
        while len(state.history) < settings.epochs:
            epoch = len(state.history)
            steps = epoch_parts(len(train.labels), settings.batch_size, epoch, seed)
            views = views_of(train, steps, image_size, [settings.view], workers, device, corrupt)
            losses = []
            for step, (part, (images,)) in enumerate(zip(steps, views, strict=True)):
                with torch.no_grad():
                    x = encoder(images)
                lr = settings.lr_after(epoch + step / len(steps))
                losses.append(train_step(state, x, train.labels[part.rows].to(device), lr))
            state.history.append(_row(epoch, losses, state.classifier, tested, data.classes))
            on_epoch(state.history[-1])
    return _content(state.history, settings, data.classes)


def begin(dim: int, classes: int, settings: PaperSettings, seed: int, device: torch.device) -> State:
    """The state before the first step, for representations of dimension `dim`."""
    classifier = Classifier(dim, classes, settings.norm_eps, seed).to(device)
    # Biases are not adapted, as in the authors' code.
    groups = [{"params": [classifier.weight]}, {"params": [classifier.bias], "adapt": False}]
    lars = OPTIMIZERS["lars"]
    return State(classifier, lars.implementation.load()(groups, lr=settings.lr, **lars.constants))


def epoch_parts(images: int, batch_size: int, epoch: int, seed: int) -> list[Part]:
    """This rank's part of each batch of an epoch, whose images come in an order of its own.

    Every image comes once: the last batch is what is left, shared out among the ranks like the others. It is
    left out where it has a single image, which has no variance, or fewer images than there are ranks.
    """
    generator = torch.Generator().manual_seed(view_seed(seed, epoch, 0, ORDER) % 2**32)
    order = torch.randperm(images, generator=generator)
    parts = []
    for step, batch in enumerate(order.split(batch_size)):
        if len(batch) < max(2, world_size()):
            break
        shares = batch.tensor_split(world_size())
        first = sum(len(share) for share in shares[: rank()])
        parts.append(Part(shares[rank()], (view_seed(seed, epoch, step, CROPS),), first))
    return parts


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


def _test_features(
    encoder: nn.Module,
    data: ImageData,
    image_size: int,
    settings: PaperSettings,
    device: torch.device,
    workers: int,
    corrupt: CorruptImages | None,
) -> Measured:
    """Representations of this rank's share of the test split, which no epoch changes: taken once."""
    rows = torch.arange(len(data.test.labels)).tensor_split(world_size())[rank()]
    share = Split(data.test.images[rows], data.test.labels[rows])
    x, y = represent(encoder, share, image_size, device, workers, corrupt, settings.test_view)
    return Measured(x.to(device), y.to(device))


@torch.no_grad()
def _row(epoch: int, losses: list[Tensor], classifier: Classifier, tested: Measured, classes: int) -> Row:
    """What is told of an epoch at its end."""
    loss = float(torch.stack(losses).mean())
    if not (math.isfinite(loss) and classifier.weight.isfinite().all() and classifier.bias.isfinite().all()):
        raise FloatingPointError(f"linear evaluation diverged in epoch {epoch + 1}: the loss is {loss}")
    classifier.eval()
    tops = (1, 5) if classes > 5 else (1,)
    counts = torch.zeros(1 + len(tops), dtype=torch.float64, device=tested.x.device)  # of rows, of hits
    for x, y in zip(tested.x.split(TEST_ROWS), tested.y.split(TEST_ROWS), strict=True):
        logits = classifier(x)
        counts += torch.stack(
            [torch.tensor(len(y), device=y.device)] + [count_top_hits(logits, y, top) for top in tops]
        )
    rows, *hits = sum_over_ranks(counts).tolist()
    top1, *top5 = (100 * each / rows for each in hits)
    return {"epoch": epoch + 1, "loss": loss, "top1": top1, "top5": top5[0] if top5 else None}


def _content(history: list[Row], settings: PaperSettings, classes: int) -> dict[str, Any]:
    last, best = history[-1], max(history, key=lambda row: row["top1"])
    return {
        "split": "test",
        "protocol": "paper",
        "top1": last["top1"],
        "top5": last["top5"],
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "base_lr": settings.base_lr,
        "lr": settings.lr,
        "final_lr_factor": settings.final_lr_factor,
        "view": settings.view.model_dump(mode="json", exclude_defaults=True),
        "test_view": settings.test_view,
        "best_test_epoch": {key: best[key] for key in ("epoch", "top1", "top5")},
        "classes": classes,
        "history": history,
    }
