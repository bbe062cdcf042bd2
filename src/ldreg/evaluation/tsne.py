"""t-SNE of test representations of the first classes (the paper's Figure 4): tsne.csv in a run's folder."""

import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

from ldreg.config.run_spec import read_spec
from ldreg.config.scale_file import Execution
from ldreg.data.datasets import Split, load
from ldreg.data.decode import CorruptImages
from ldreg.errors import LdregError
from ldreg.evaluation.features import represent
from ldreg.files import replacing
from ldreg.models.load import load_encoder, trained_weights
from ldreg.runtime.distributed import process_group

CLASSES = 10  # the first, as in the paper
PER_CLASS = 200  # at most: 2,000 points in all
PERPLEXITY = 30.0  # t-SNE's usual one; the paper does not say


def first_classes(labels: Tensor, classes: int = CLASSES, per_class: int = PER_CLASS) -> Tensor:
    """The rows of the first `per_class` images of each class below `classes`, ascending: equal for all runs.

    >>> first_classes(torch.tensor([1, 0, 2, 1, 1, 0]), classes=2, per_class=2)
    tensor([0, 1, 3, 5])
    """
    rows = [(labels == label).nonzero().flatten()[:per_class] for label in range(classes)]
    return torch.cat(rows).sort().values


def perplexity(rows: int) -> float:
    """`PERPLEXITY`, or what few rows allow: three times as many neighbours take part."""
    return min(PERPLEXITY, (rows - 1) / 3)


def embed(features: Tensor, seed: int = 0) -> NDArray[np.float64]:
    """t-SNE (van der Maaten & Hinton 2008; scikit-learn's Barnes-Hut) of (n, dim) rows; the same each time.

    Runs on one thread, since t-SNE enlarges the rounding of sums in another order.

    Args:
        features: (n, dim) on any device, n at least 4.
        seed: of the search for principal components, where the places begin.

    Returns:
        (n, 2) places.

    Raises:
        ValueError: fewer than 4 rows.
    """
    if len(features) < 4:
        raise ValueError(f"t-SNE needs at least 4 rows, got {len(features)}")
    rows = features.detach().cpu().double().numpy()
    begin = "pca"
    if (rows == rows[0]).all():
        begin = "random"  # there is no principal component, and scikit-learn would divide by zero
    else:
        # t-SNE knows no offset and no scale, but scikit-learn goes on in single precision: there a collapsed
        # encoder's rows would be equal.
        rows = rows - rows.mean(axis=0)
        rows /= np.abs(rows).max()
    maker = TSNE(perplexity=perplexity(len(rows)), init=begin, random_state=seed, n_jobs=1)
    with threadpool_limits(limits=1):
        return maker.fit_transform(rows).astype(np.float64)


def tsne_job(spec_path: Path, data: Path, execution: Execution) -> None:
    """Embed test representations of the run of `spec_path`; writes tsne.csv beside it.

    Its columns are x, y, label and perplexity, its rows the test images of `first_classes` in their order.

    Raises:
        LdregError: the run is not trained, or its test split has fewer than 4 images of the first classes.
    """
    _, spec = read_spec(spec_path)
    weights = trained_weights(spec_path)
    images = load(spec.dataset, data.parent.parent, spec.train_images)
    rows = first_classes(images.test.labels)
    if len(rows) < 4:
        raise LdregError(f"{data}: t-SNE needs at least 4 test images of the first {CLASSES} classes")
    chosen = Split(images.test.images[rows], images.test.labels[rows])
    corrupt = CorruptImages(execution.corrupt_images)
    torch.set_num_threads(1)  # see `embed`
    with process_group(execution.gpus) as device:
        encoder = load_encoder(weights, spec, chosen.channels, device)
        features, labels = represent(encoder, chosen, spec.image_size, device, execution.workers, corrupt)
    corrupt.tell_total()
    points = embed(features)
    with replacing(spec_path.parent / "tsne.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("x", "y", "label", "perplexity"))
        used = f"{perplexity(len(points)):g}"
        writer.writerows(
            (f"{x:.6f}", f"{y:.6f}", label, used)
            for (x, y), label in zip(points.tolist(), labels.tolist(), strict=True)
        )
