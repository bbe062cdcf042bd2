"""Fine-tunes a detector from an encoder and tests it; the result is the content of detection.json."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import nn

from ldreg.config.detection import DetectionSettings
from ldreg.data.decode import CorruptImages
from ldreg.detection.coco import CocoSet
from ldreg.detection.evaluate import average_precision, predict, readable
from ldreg.detection.image_check import check_images
from ldreg.detection.loader import load_tasks, stand_ins, training_batches
from ldreg.detection.loop import DetectorTraining, HistoryRow
from ldreg.detection.model import build_detector
from ldreg.detection.norms import recompute_batch_norms
from ldreg.errors import LdregError
from ldreg.runtime.distributed import rank, replicate, world_size
from ldreg.runtime.resumption import Resumption

_RANK_SEEDS = 1_000_003  # difference between the seeds of consecutive ranks


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
    resumption: Resumption | None = None,
) -> dict[str, Any]:
    """Fine-tune a detector that starts from the encoder, and test it once after the last iteration.

    On one CPU thread the result depends only on the arguments. The encoder itself is not changed.

    Args:
        encoder, backbone: as in `ldreg.models.networks.build_backbone`, except vision transformers.
        settings: settings of the detector and its training.
        train, val: splits with the same categories.
        device: device of this rank.
        seed: seed of new weights, order, flips, image sizes and sampled regions.
        precision: precision of the convolutions: float32, bf16 or fp16.
        workers: number of processes that decode images, on each rank.
        on_row: called on rank 0 with each row of the history, including rows before an interruption.
        corrupt: policy for corrupt images; it records those of all ranks. In training another image replaces
            a skipped one, in testing it is left out. The default stops at the first.
        resumption: saves the training, which goes on from the checkpoint that was found.

    Returns:
        The content of detection.json, a dictionary with these keys:

        - "split": "val"; "box", "mask": {"ap", "ap50", "ap75"} in percent. - "train_images", "val_images",
        "categories": numbers of training images, tested images and categories. - "corrupt_images": number of
        skipped images; "left_out": names of the validation images among them. - "seed", "settings". -
        "history": [{"iteration", "loss", each loss, "learning_rate"}, ...]; losses are means since the
          previous row.

    Raises:
        LdregError: for a vision transformer, splits with different categories, a training split without
            objects, a batch that cannot be divided among ranks, an image that is missing, or corrupt and not
            skipped, or a loss that is not finite. All but the last are checked before training; of training
            images only the headers are checked.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    check(settings, train, val)
    check_images(val, val.image_ids, True, workers, corrupt)
    check_images(train, train.trainable(), False, workers, corrupt)
    torch.manual_seed(seed)  # for the new weights
    detector = build_detector(encoder, backbone, len(train.categories), settings, precision)
    model = replicate(detector.train(), device)
    torch.manual_seed(seed + _RANK_SEEDS * rank())  # for sizes and sampled regions
    training = DetectorTraining(detector, model, settings, precision, corrupt, resumption)
    # Batches that were used before an interruption are drawn again but not decoded.
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
    """Check settings and splits before training; errors are those of `train_and_evaluate`."""
    check_splits(train, val)
    if settings.batch_size % world_size():
        raise LdregError(f"batch_size: {settings.batch_size} does not divide among {world_size()} GPUs")


def check_splits(train: CocoSet, val: CocoSet) -> None:
    """Check that both splits have the same categories, and that the training split has objects."""
    if train.categories != val.categories:
        odd = sorted(set(train.categories) ^ set(val.categories))[0]
        raise LdregError(
            f"{val.annotations}: categories: id {odd} is not in both this and {train.annotations}"
        )
    if not train.trainable():
        raise LdregError(f"{train.annotations}: annotations: no image has an object that is no crowd")
