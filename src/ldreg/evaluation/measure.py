"""Measures the dimensionality, kNN accuracy and linear accuracy of one trained encoder."""

from typing import Any

import torch
from torch import nn

from ldreg.config.scale_file import Evaluation
from ldreg.data.datasets import ImageData
from ldreg.data.decode import CorruptImages
from ldreg.errors import LdregError
from ldreg.evaluation.dimensionality import DimensionalitySettings, measure_dimensionality
from ldreg.evaluation.features import represent
from ldreg.evaluation.knn import knn_accuracy
from ldreg.evaluation.linear import LinearSettings, linear_probe


def measure(
    encoder: nn.Module,
    data: ImageData,
    image_size: int,
    evaluation: Evaluation,
    device: torch.device,
    workers: int = 0,
    corrupt: CorruptImages | None = None,
) -> dict[str, dict[str, Any]]:
    """Make all measurements of a frozen encoder, from one pass over both splits.

    Args:
        encoder: the network, as `ldreg.evaluation.features.extract` takes it.
        data: the data set.
        image_size: height and width of the views in pixels.
        evaluation: settings of the measurements.
        device: device of the encoder.
        workers: number of processes that decode image files.
        corrupt: policy for corrupt images. The default stops at the first.

    Returns:
        The contents of `dimensionality.json`, `knn.json` and, if `evaluation.linear` has `cached`,
        `linear.json`, by file name without suffix.

    Raises:
        LdregError: if a k for LID is too large for the test split, or that for kNN for the training split.
    """
    if (k := max(evaluation.lid_ks)) > (most := len(data.test.labels) - 2):
        raise LdregError(
            f"evaluation.lid_ks: {k} is not allowed; {data.name}'s test split allows {most} at most"
        )
    if evaluation.knn_k > (most := len(data.train.labels)):
        raise LdregError(
            f"evaluation.knn_k: {evaluation.knn_k} is not allowed; {data.name} has {most} training images"
        )
    (train_x, train_y), (test_x, test_y) = (
        represent(encoder, split, image_size, device, workers, corrupt, evaluation.test_view)
        for split in (data.train, data.test)
    )
    train_x, test_x = train_x.to(device), test_x.to(device)
    accuracy_inputs = (train_x, train_y, test_x, test_y, data.classes)
    k, temperature = evaluation.knn_k, evaluation.knn_temperature
    knn = knn_accuracy(*accuracy_inputs, k=k, temperature=temperature)
    measured = {
        "dimensionality": measure_dimensionality(
            test_x, DimensionalitySettings(evaluation.lid_ks, evaluation.lid_batch_rows)
        ),
        "knn": {"split": "test", "k": k, "temperature": temperature, **knn},
    }
    if "cached" not in evaluation.linear:
        return measured
    settings = LinearSettings(
        epochs=evaluation.linear_epochs,
        batch_size=evaluation.linear_batch_size,
        learning_rates=evaluation.linear_learning_rates,
        holdout=evaluation.holdout,
    )
    return {**measured, "linear": linear_probe(*accuracy_inputs, settings=settings, device=device)}
