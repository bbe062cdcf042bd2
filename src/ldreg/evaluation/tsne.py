"""t-SNE of the test representations of the first ten classes (LDReg figure 4)."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

CLASSES = 10  # number of classes shown, the first ones, as in the paper
PER_CLASS = 200  # maximal number of points per class, so 2,000 in all
PERPLEXITY = 30.0  # the usual value; the paper does not state its own


def first_classes(labels: Tensor, classes: int = CLASSES, per_class: int = PER_CLASS) -> Tensor:
    """Return the rows of the first `per_class` images of each of the first `classes` classes, ascending.

    >>> first_classes(torch.tensor([1, 0, 2, 1, 1, 0]), classes=2, per_class=2)
    tensor([0, 1, 3, 5])
    """
    rows = [(labels == label).nonzero().flatten()[:per_class] for label in range(classes)]
    return torch.cat(rows).sort().values


def perplexity(rows: int) -> float:
    """Return `PERPLEXITY`, or less for few rows: t-SNE uses three times as many neighbours as this value."""
    return min(PERPLEXITY, (rows - 1) / 3)


def embed(features: Tensor, seed: int = 0) -> NDArray[np.float64]:
    """Embed rows (n, dim) in the plane by t-SNE (van der Maaten & Hinton 2008; scikit-learn's Barnes-Hut).

    It runs on one thread, because t-SNE amplifies rounding differences between orders of summation. The
    result is then the same in every run.

    Args:
        features: (n, dim) on any device, n at least 4.
        seed: seed of the principal component analysis that gives the initial positions.

    Returns:
        Positions (n, 2).

    Raises:
        ValueError: if there are fewer than 4 rows.
    """
    if len(features) < 4:
        raise ValueError(f"t-SNE needs at least 4 rows, got {len(features)}")
    rows = features.detach().cpu().double().numpy()
    begin = "pca"
    if (rows == rows[0]).all():
        begin = "random"  # equal rows have no principal component; scikit-learn would divide by zero
    else:
        # An offset or scale does not change t-SNE. Both are removed because scikit-learn computes in single
        # precision, in which the rows of a collapsed encoder would otherwise be equal.
        rows = rows - rows.mean(axis=0)
        rows /= np.abs(rows).max()
    maker = TSNE(perplexity=perplexity(len(rows)), init=begin, random_state=seed, n_jobs=1)
    with threadpool_limits(limits=1):
        return maker.fit_transform(rows).astype(np.float64)
