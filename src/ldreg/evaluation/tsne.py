"""t-SNE of test representations of the first classes (the paper's Figure 4)."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

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
