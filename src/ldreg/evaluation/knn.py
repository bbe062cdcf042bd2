"""Weighted kNN classification, and helpers that the linear probe uses, too."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Number of similarities held in memory at once: 2^26 float32 numbers are 256 MiB.
SIMILARITIES_PER_CHUNK = 2**26


def holdout_split(labels: Tensor, fraction: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Split the rows of a training set by class into a part for fitting and a hold-out for model selection.

    The hold-out contains round(fraction * rows) rows of each class, at least one and never all. A class with
    a single row is only in the part for fitting. The split depends only on labels, fraction and seed.

    Args:
        labels: integer (n,).
        fraction: size of the hold-out relative to n, in (0, 1).
        seed: seed of the permutation; the same for all runs that are compared.

    Returns:
        (fit_index, holdout_index): int64 on the CPU, sorted. Each row is in exactly one of them.

    Raises:
        ValueError: if the fraction is outside (0, 1) or the hold-out would be empty.

    Example:
        >>> fit, holdout = holdout_split(torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), fraction=0.25)
        >>> len(fit), len(holdout)
        (6, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"hold-out fraction must lie between 0 and 1, got {fraction}")
    labels = labels.cpu()
    counts = torch.bincount(labels)
    quotas = (fraction * counts).round().long().clamp(min=1).minimum(counts - 1)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order].argsort(stable=True)]  # sorted by class, shuffled within each class
    sorted_labels = labels[order]
    rank_in_class = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[sorted_labels]
    held_out = rank_in_class < quotas[sorted_labels]
    if not held_out.any():
        raise ValueError(f"no class of these {len(labels)} rows has a second row to hold out")
    return order[~held_out].sort().values, order[held_out].sort().values


def count_top_hits(scores: Tensor, labels: Tensor, top: int) -> Tensor:
    """Count the rows whose label is among the `top` highest scores.

    A class with the score -inf or NaN was not predicted and never counts as a hit.

    Args:
        scores: (..., n, classes); a leading dimension can be the classifiers.
        labels: integer (n,).

    Returns:
        int64 (...), between 0 and n.
    """
    best = scores.topk(top, dim=-1)
    hits = (best.indices == labels[:, None]) & (best.values > -torch.inf)
    return hits.any(dim=-1).sum(dim=-1)


@torch.no_grad()
def knn_accuracy(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    classes: int,
    k: int = 20,
    temperature: float = 0.1,
) -> dict[str, float | None]:
    """Accuracy of the weighted k-nearest-neighbour classifier on representations.

    Each of the k training rows with the largest cosine similarity s votes for its class with weight
    exp(s / temperature) (Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", CVPR 2018, section 3.4). A class without votes is never predicted, so with small k
    top-5 may contain fewer than five classes.

    Args:
        train_x, test_x: (n, dim) and (m, dim), any floating type, on one device; compared in float32.
        train_y, test_y: integer (n,) and (m,), in [0, classes).
        classes: number of classes.
        k: number of neighbours, at most n.
        temperature: temperature of the votes, above 0.

    Returns:
        {"top1": percent, "top5": percent, or None where there are at most 5 classes}.

    Raises:
        ValueError: if k is outside [1, n], the temperature is not positive, or an input is empty or not
            finite.
    """
    if not 1 <= k <= len(train_x):
        raise ValueError(f"k must lie between 1 and the {len(train_x)} training rows, got {k}")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if len(test_x) == 0:
        raise ValueError("cannot measure an accuracy: no row to classify")
    reference, queries = F.normalize(train_x.float(), dim=1), F.normalize(test_x.float(), dim=1)
    if not (reference.isfinite().all() and queries.isfinite().all()):
        raise ValueError("representations must be finite, got NaN or infinity")
    train_y, test_y = train_y.to(reference.device), test_y.to(reference.device)
    tops = (1, 5) if classes > 5 else (1,)
    hits = torch.zeros(len(tops), dtype=torch.long)
    rows = max(1, SIMILARITIES_PER_CHUNK // len(reference))
    for query, label in zip(queries.split(rows), test_y.split(rows), strict=True):
        similarity, neighbor = (query @ reference.T).topk(k, dim=1)
        # softmax gives the weights up to a factor per query and does not overflow at low temperatures.
        weight = (similarity / temperature).softmax(dim=1)
        votes = weight.new_zeros(len(query), classes).scatter_add_(1, train_y[neighbor], weight)
        scores = votes.masked_fill(votes == 0, -torch.inf)
        hits += torch.stack([count_top_hits(scores, label, top) for top in tops]).cpu()
    top1, *top5 = (100 * hits.double() / len(queries)).tolist()
    return {"top1": top1, "top5": top5[0] if top5 else None}
