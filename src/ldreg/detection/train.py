"""Fine-tuning a detector, and testing it: from an encoder to the content of detection.json."""

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import nn

from ldreg.detection.coco import CocoSet
from ldreg.detection.evaluate import average_precision, predict
from ldreg.detection.loader import load_tasks, training_batches
from ldreg.detection.model import build_detector
from ldreg.detection.settings import DetectionSettings
from ldreg.distributed import rank, replicate, world_size
from ldreg.errors import LdregError

ROWS = 50  # of the history
_RANK_SEEDS = 1_000_003  # between the random states of ranks
Row = dict[str, float]


def train_and_evaluate(
    encoder: nn.Module,
    backbone: str,
    settings: DetectionSettings,
    train: CocoSet,
    val: CocoSet,
    device: torch.device,
    seed: int = 0,
    precision: str = "float32",
    workers: int = 0,
    on_row: Callable[[Row], None] = lambda row: None,
) -> dict[str, Any]:
    """Fine-tune a detector that starts from the encoder, and test it once, after the last iteration.

    On one CPU thread the result depends on the arguments alone. The encoder itself is not changed.

    Args:
        encoder, backbone: as of `ldreg.networks.build_backbone`; no vision transformer.
        train, val: of the same categories.
        device: this rank's.
        seed: of new weights, order, flips, sizes and sampled regions.
        precision: of the convolutions; float32, bf16 or fp16.
        workers: processes that decode images, on each rank.
        on_row: called on rank 0 with each row of the history.

    Returns:
        The content of detection.json: {"split": "val", "box": {"ap", "ap50", "ap75"}, "mask": {the same},
        in percent, "train_images", "val_images", "categories": counts, "seed", "settings", "history":
        [{"iteration", "loss", each loss, means since the row before, "learning_rate"}, ...]}.

    Raises:
        LdregError: for a vision transformer, splits of different categories, a training split without
            objects, a batch that does not divide among ranks, a damaged image, or if the loss is no longer
            finite.
    """
    check(settings, train, val)
    torch.manual_seed(seed)  # for the new weights
    detector = build_detector(encoder, backbone, len(train.categories), settings, precision)
    model = replicate(detector.train(), device)
    torch.manual_seed(seed + _RANK_SEEDS * rank())  # for sizes and sampled regions
    batches = training_batches(train, settings.batch_size, settings.flip, seed)
    loader = load_tasks(batches, workers, device)
    history = fit(model, loader, settings, precision, on_row if rank() == 0 else lambda row: None)
    refresh_norms(model, islice(loader, settings.precise_norm_batches))
    loader.close()  # ends its workers
    found = predict(detector, val, max(1, settings.batch_size // world_size()), device, workers)
    return {
        "split": "val",
        **average_precision(val, found),
        "train_images": len(train.trainable()),
        "val_images": len(val.image_ids),
        "categories": len(train.categories),
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        "history": history,
    }


def check(settings: DetectionSettings, train: CocoSet, val: CocoSet) -> None:
    """Refuse what would fail after hours; errors as of `train_and_evaluate`."""
    if train.categories != val.categories:
        odd = sorted(set(train.categories) ^ set(val.categories))[0]
        raise LdregError(
            f"{val.annotations}: categories: id {odd} is not in both this and {train.annotations}"
        )
    if not train.trainable():
        raise LdregError(f"{train.annotations}: annotations: no image has an object that is no crowd")
    if settings.batch_size % world_size():
        raise LdregError(f"batch_size: {settings.batch_size} does not divide among {world_size()} GPUs")


def fit(
    model: nn.Module,
    loader: Any,
    settings: DetectionSettings,
    precision: str,
    on_row: Callable[[Row], None],
) -> list[Row]:
    """Train `model` for `settings.iterations` batches of `loader`; returns about `ROWS` rows of history."""
    optimizer = build_optimizer(model, settings)
    device = next(model.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    every = math.ceil(settings.iterations / ROWS)
    history, sums, since = [], {}, 0
    model.train()
    for iteration, (images, targets) in zip(range(settings.iterations), loader, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(iteration)
        losses = model(images, targets)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(sum(losses.values())).backward()
        scaler.step(optimizer)
        scaler.update()
        sums = {key: sums.get(key, 0.0) + loss.detach() for key, loss in losses.items()}
        since += 1
        if (iteration + 1) % every == 0 or iteration + 1 == settings.iterations:
            history.append(_row(iteration, {key: value / since for key, value in sums.items()}, settings))
            on_row(history[-1])
            sums, since = {}, 0
    return history


def _row(iteration: int, means: dict[str, torch.Tensor], settings: DetectionSettings) -> Row:
    """A row of the history, of this rank's losses."""
    losses = {key: float(value) for key, value in means.items()}
    row = {"iteration": iteration + 1, "loss": sum(losses.values()), **losses}
    if not math.isfinite(row["loss"]):
        raise LdregError(
            f"detection diverged by iteration {iteration + 1}: the loss is {row['loss']}; lower"
            f" learning_rate ({settings.learning_rate})"
        )
    return row | {"learning_rate": settings.rate(iteration)}


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


@torch.no_grad()
def refresh_norms(model: nn.Module, batches: Any) -> None:
    """Set batch norms' running statistics to their plain mean over batches: detectron2's PRECISE_BN.

    Without any batches they stay as they are.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for number, (images, targets) in enumerate(batches):
        if number == 0:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the cumulative mean
        model(images, targets)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
