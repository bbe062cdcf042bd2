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
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ldreg.data.batches import Part, views_of
from ldreg.data.datasets import ImageData, Split
from ldreg.data.decode import CorruptImages
from ldreg.data.views import view_seed
from ldreg.evaluation.classifier import Classifier, ClassifierSettings, Row, begin, train_step
from ldreg.evaluation.features import evaluating, represent
from ldreg.evaluation.knn import count_top_hits
from ldreg.runtime.distributed import rank, sum_over_ranks, world_size
from ldreg.runtime.resumption import Resumption

CROPS, ORDER = 4, 5  # counters of what is drawn (`view_seed`), other than pretraining's

TEST_ROWS = 4096  # at a time


class Measured(NamedTuple):
    """Representations of this rank's share of the test split."""

    x: Tensor  # (n, dim)
    y: Tensor  # (n,)


def linear_paper(
    encoder: nn.Module,
    data: ImageData,
    image_size: int,
    settings: ClassifierSettings,
    seed: int,
    device: torch.device,
    workers: int = 0,
    corrupt: CorruptImages | None = None,
    on_epoch: Callable[[Row], None] = lambda row: None,
    resumption: Resumption | None = None,
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
        on_epoch: called with each epoch's row of the history, except those before an interruption.
        resumption: saves the training, which goes on from the checkpoint that was found.

    Returns:
        The content of `linear_paper.json`: {"split": "test", "protocol": "paper", "top1": percent, "top5":
        percent or None where there are at most 5 classes, "lr": at the first step, "epochs", "batch_size",
        "history": a row for each epoch, "best_test_epoch": {"epoch", "top1", "top5"}, ...}.

    Raises:
        FloatingPointError: the training diverged.
        SliceEnded: the training ended itself with a checkpoint.
        ValueError: as `extract`.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    with evaluating(encoder):
        tested = _test_features(encoder, data, image_size, settings, device, workers, corrupt)
        state = begin(tested.x.shape[1], data.classes, settings, seed, device)
        train = data.train
        if isinstance(train.images, Tensor):
            train = replace(train, images=train.images.to(device))
        if resumption and resumption.checkpoint.found:
            state.restore(resumption.checkpoint.found, corrupt)
        with resumption.running() if resumption else nullcontext():
            while len(state.history) < settings.epochs:
                epoch = len(state.history)
                parts = epoch_parts(len(train.labels), settings.batch_size, epoch, seed)
                views = views_of(
                    train, parts[state.done :], image_size, [settings.view], workers, device, corrupt
                )
                for part, (images,) in zip(parts[state.done :], views, strict=True):
                    with torch.no_grad():
                        x = encoder(images)
                    lr = settings.lr_after(epoch + state.done / len(parts))
                    state.losses.append(train_step(state, x, train.labels[part.rows].to(device), lr))
                    if resumption:
                        step, total = epoch * len(parts) + state.done, settings.epochs * len(parts)
                        resumption.after_step(step, total, partial(state.saved, corrupt))
                state.finish(_row(epoch, state.losses, state.classifier, tested, data.classes))
                on_epoch(state.history[-1])
    return _content(state.history, settings, data.classes)


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


def _test_features(
    encoder: nn.Module,
    data: ImageData,
    image_size: int,
    settings: ClassifierSettings,
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


def _content(history: list[Row], settings: ClassifierSettings, classes: int) -> dict[str, Any]:
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
