"""Fine-tuning a detector, and testing it: from an encoder to the content of detection.json."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import nn

from ldreg.config.detection import DetectionSettings
from ldreg.data.decode import CorruptImages
from ldreg.detection.checkpoint import Checkpoint
from ldreg.detection.coco import CocoSet
from ldreg.detection.evaluate import average_precision, predict, readable
from ldreg.detection.image_check import check_images
from ldreg.detection.loader import load_tasks, stand_ins, training_batches
from ldreg.detection.loop import DetectorTraining, HistoryRow
from ldreg.detection.model import build_detector
from ldreg.detection.norms import recompute_batch_norms
from ldreg.errors import LdregError
from ldreg.runtime.distributed import rank, replicate, world_size

_RANK_SEEDS = 1_000_003  # between the random states of ranks


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
    on_row: Callable[[HistoryRow], None] = lambda row: None,
    corrupt: CorruptImages | None = None,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Any]:
    """Fine-tune a detector that starts from the encoder, and test it once, after the last iteration.

    On one CPU thread the result depends on the arguments alone. The encoder itself is not changed.

    Args:
        encoder, backbone: as of `ldreg.models.networks.build_backbone`; no vision transformer.
        train, val: of the same categories.
        device: this rank's.
        seed: of new weights, order, flips, sizes and sampled regions.
        precision: of the convolutions; float32, bf16 or fp16.
        workers: processes that decode images, on each rank.
        on_row: called on rank 0 with each row of the history, also with those before an interruption.
        corrupt: what happens at images that cannot be decoded; holds those of all ranks at the end. In
            training another image takes the place of one that is skipped, in testing it is left out. The
            default stops.
        checkpoint: where the training is stored on its way, and resumed from.

    Returns:
        The content of detection.json: {"split": "val", "box": {"ap", "ap50", "ap75"}, "mask": {the same},
        in percent, "train_images", "val_images" (that were tested on), "categories": counts,
        "corrupt_images": how many were skipped, "left_out": names of validation images among these, "seed",
        "settings", "history": [{"iteration", "loss", each loss, means since the row before,
        "learning_rate"}, ...]}.

    Raises:
        LdregError: for a vision transformer, splits of different categories, a training split without
            objects, a batch that does not divide among ranks, an image that is not there or that is corrupt
            and not skipped, or if the loss is no longer finite. All but the last are looked for before
            training, in training images as far as their headers tell.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    check(settings, train, val)
    check_images(val, val.image_ids, True, workers, corrupt)
    check_images(train, train.trainable(), False, workers, corrupt)
    torch.manual_seed(seed)  # for the new weights
    detector = build_detector(encoder, backbone, len(train.categories), settings, precision)
    model = replicate(detector.train(), device)
    torch.manual_seed(seed + _RANK_SEEDS * rank())  # for sizes and sampled regions
    training = DetectorTraining(detector, model, settings, precision, corrupt, checkpoint)
    # The batches that an interrupted training has used are drawn again and not decoded.
    batches = training_batches(train, settings.batch_size, settings.flip, seed)
    batches = islice(batches, training.iteration, None)
    loader = load_tasks(batches, workers, device, corrupt, stand_ins(train, corrupt))
    training.fit(loader, on_row if rank() == 0 else lambda row: None)
    recompute_batch_norms(model, islice(loader, settings.precise_norm_batches))
    loader.close()  # ends its workers
    corrupt.gather()
    found = predict(detector, val, max(1, settings.batch_size // world_size()), device, workers, corrupt)
    tested = readable(val, corrupt)
    return {
        "split": "val",
        **average_precision(val, found, tested),
        "train_images": len(train.trainable()),
        "val_images": len(tested),
        "categories": len(train.categories),
        "corrupt_images": len(corrupt.reasons),
        "left_out": [val.index.imgs[each]["file_name"] for each in sorted({*val.image_ids} - {*tested})],
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        "history": training.history,
    }


def check(settings: DetectionSettings, train: CocoSet, val: CocoSet) -> None:
    """Refuse what would fail after hours; errors as of `train_and_evaluate`."""
    check_splits(train, val)
    if settings.batch_size % world_size():
        raise LdregError(f"batch_size: {settings.batch_size} does not divide among {world_size()} GPUs")


def check_splits(train: CocoSet, val: CocoSet) -> None:
    """Refuse splits of different categories, and a training split without objects."""
    if train.categories != val.categories:
        odd = sorted(set(train.categories) ^ set(val.categories))[0]
        raise LdregError(
            f"{val.annotations}: categories: id {odd} is not in both this and {train.annotations}"
        )
    if not train.trainable():
        raise LdregError(f"{train.annotations}: annotations: no image has an object that is no crowd")
