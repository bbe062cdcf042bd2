"""Pretraining: one run from its spec to an encoder."""

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ldreg.config import Evaluation, Execution
from ldreg.data.augment import make_view, view_seed
from ldreg.data.datasets import ImageData, balanced_rows
from ldreg.data.folder import ImageFiles
from ldreg.data.loader import Share, check_views, load_views
from ldreg.distributed import gather_rows, rank, replicate, world_size
from ldreg.errors import LdregError
from ldreg.evaluate.features import extract
from ldreg.evaluate.knn import holdout_split, knn_accuracy
from ldreg.lid import geometric_mean, lid_mom
from ldreg.methods import build_method
from ldreg.optim import build_optimizer, learning_rate
from ldreg.regularizers import build_regularizer
from ldreg.spec import RunSpec

Row = dict[str, float | None]
KNN_IMAGES = 50_000  # of the kNN monitor at most, while which the other ranks wait: all of CIFAR-10
ORDER = 2  # views 0 and 1 have counters of their own; the order of the images is the third thing drawn


def pretrain(
    spec: RunSpec,
    data: ImageData,
    execution: Execution,
    device: torch.device,
    on_epoch: Callable[[Row], None],
) -> tuple[nn.Module, list[Row]]:
    """Train the run's method; returns its encoder and one row of `history.csv` per epoch.

    Args:
        data: its training split alone is used.
        device: this rank's.
        on_epoch: called on rank 0 with each epoch's row.

    Raises:
        LdregError: if the batch is larger than the training split or does not divide among the ranks, if
            the loss is no longer finite, if a file holds no image, or if a view of files is rotated.
    """
    images = data.train.images
    if isinstance(images, ImageFiles):
        check_views(spec.views)
    else:
        images = images.to(device)
    steps = len(images) // spec.batch_size
    if steps == 0:
        raise LdregError(
            f"batch_size: {spec.batch_size} is more than the {len(images)} training images of {data.name}"
        )
    if spec.batch_size % world_size():
        raise LdregError(f"batch_size: {spec.batch_size} does not divide among {world_size()} GPUs")
    torch.manual_seed(spec.seed)  # for the initial weights; views and order have counters of their own
    # Channels last is the faster layout on CPUs and for half precision on GPUs.
    method = build_method(spec, channels=data.train.channels).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(spec, method)
    model = replicate(method, device)
    regularizer = build_regularizer(spec.regularizer, spec.beta, spec.k)
    start = round(spec.regularizer_start * spec.epochs)
    history = []
    for epoch in range(spec.epochs):
        sums = torch.zeros(3, device=device, dtype=torch.float64)  # SSL loss, regulariser, ln mLID
        began = time.perf_counter()
        model.train()
        for step, views in enumerate(batches(images, spec, epoch, steps, execution.workers, device)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(spec, epoch + step / steps)
            with torch.autocast(device.type, torch.bfloat16, enabled=execution.precision == "bf16"):
                ssl_loss, representations = model(*views)
            rows = gather_rows(representations.float())
            try:
                term = regularizer(rows) if regularizer and epoch >= start else ssl_loss.new_zeros(())
                mlid = geometric_mean(lid_mom(rows.detach(), k=spec.monitor_k))
            except ValueError as error:
                raise _diverged(spec, epoch, "representations are not finite, or too large") from error
            optimizer.zero_grad(set_to_none=True)
            (ssl_loss + term).backward()
            optimizer.step()
            sums += torch.stack([ssl_loss.detach(), term.detach(), mlid.log()]).double()
        seconds = time.perf_counter() - began
        row = _row(spec, epoch, sums / steps, learning_rate(spec, epoch + (steps - 1) / steps))
        row["images_per_second"] = steps * spec.batch_size / seconds
        row["knn_top1"] = _knn(spec, epoch, method.encoder, data, device, execution.workers)
        history.append(row)
        if rank() == 0:
            on_epoch(row)
    return method.encoder, history


def batches(
    images: Tensor | ImageFiles,
    spec: RunSpec,
    epoch: int,
    steps: int,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[list[Tensor]]:
    """This rank's share of each batch of an epoch: two views (batch / ranks, channels, size, size).

    Order and views depend on (seed, epoch, step) and an image's place in the batch alone. The views of a
    tensor are made where it lies; those of files on `device`, after `workers` processes have decoded them.
    """
    generator = torch.Generator().manual_seed(view_seed(spec.seed, epoch, 0, ORDER) % 2**32)
    order = torch.randperm(len(images), generator=generator)
    count = spec.batch_size // world_size()
    first = rank() * count
    chosen = [order[step * spec.batch_size + first :][:count] for step in range(steps)]
    seeds = [tuple(view_seed(spec.seed, epoch, step, view) for view in (0, 1)) for step in range(steps)]
    if isinstance(images, ImageFiles):
        shares = [Share(images[rows], keys, first) for rows, keys in zip(chosen, seeds, strict=True)]
        made = load_views(shares, spec.image_size, spec.views, workers, torch.device(device))
    else:
        made = (
            [
                make_view(images[rows.to(images.device)], spec.image_size, view, key, first)
                for view, key in zip(spec.views, keys, strict=True)
            ]
            for rows, keys in zip(chosen, seeds, strict=True)
        )
    for views in made:
        # The faster layout on CPUs and for half precision on GPUs.
        yield [view.contiguous(memory_format=torch.channels_last) for view in views]


def _row(spec: RunSpec, epoch: int, means: Tensor, lr: float) -> Row:
    """The epoch's means as a row of the history; the loss is averaged over ranks, which share the rest."""
    if world_size() > 1:
        ssl_loss = means[:1].clone()
        torch.distributed.all_reduce(ssl_loss)
        means[:1] = ssl_loss / world_size()
    ssl_loss, term, log_mlid = means.tolist()
    loss = ssl_loss + term
    if not torch.isfinite(means).all():
        raise _diverged(spec, epoch, f"the loss is {loss}")
    return {
        "epoch": epoch + 1,
        "loss": loss,
        "ssl_loss": ssl_loss,
        "regularizer": term,
        "mlid": math.exp(log_mlid),
        "lr": lr,
    }


def _knn(
    spec: RunSpec, epoch: int, encoder: nn.Module, data: ImageData, device: torch.device, workers: int
) -> float | None:
    """kNN accuracy on a hold-out of the training split, every `knn_every` epochs and at the end.

    A split of more than `KNN_IMAGES` is represented by a class-balanced part of it.
    """
    if rank() != 0 or ((epoch + 1) % spec.knn_every and epoch + 1 != spec.epochs):
        return None
    images, labels = data.train.images, data.train.labels
    if len(labels) > KNN_IMAGES:
        rows = balanced_rows(labels, KNN_IMAGES)
        images, labels = images[rows], labels[rows]
    try:
        features = extract(encoder, images, spec.image_size, device, workers=workers)
    except ValueError as error:  # not finite after the last step
        raise _diverged(spec, epoch, error) from error
    fit, holdout = holdout_split(labels, Evaluation().holdout)
    k = min(Evaluation().knn_k, len(fit))
    result = knn_accuracy(features[fit], labels[fit], features[holdout], labels[holdout], data.classes, k)
    return result["top1"]


def _diverged(spec: RunSpec, epoch: int, what: object) -> LdregError:
    """The error for a run whose weights grew out of bounds."""
    beta = f" or beta ({spec.beta})" if spec.beta else ""
    return LdregError(f"training diverged in epoch {epoch + 1}: {what}; lower base_lr ({spec.base_lr}){beta}")
