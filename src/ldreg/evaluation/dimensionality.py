"""Local and global dimensionality of a split's representations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ldreg.lid import frechet_variance, geometric_mean, lid_mle, lid_mom
from ldreg.spectrum import effective_rank, rankme

BATCH_SEED = 0  # seed of the permutation that forms mini-batches; the same for all runs

Estimator = Callable[..., Tensor]
ESTIMATORS: dict[str, Estimator] = {"mom": lid_mom, "mle": lid_mle}


@dataclass(frozen=True)
class DimensionalitySettings:
    """Neighbourhood sizes and mini-batch size.

    Attributes:
        ks: neighbourhood sizes for both estimators.
        batch_rows: rows per mini-batch; the authors' monitor gathers 2,048.
    """

    ks: tuple[int, ...]
    batch_rows: int = 2048

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 2:
            raise ValueError(f"ks must hold neighbourhood sizes of at least 2, got {self.ks}")
        check_rows(self.ks, self.batch_rows, "batch_rows is")


@torch.no_grad()
def measure_dimensionality(
    features: Tensor, settings: DimensionalitySettings, split: str = "test"
) -> dict[str, Any]:
    """Measure LID (by both estimators, for every k), three effective ranks and RankMe of representations.

    Each LID is measured twice: with the full split as the reference set, and within mini-batches, as the
    regulariser and the authors' monitor do. Mini-batches are consecutive `batch_rows` rows of one fixed
    permutation. An incomplete last mini-batch is left out, because a smaller reference set gives other
    values; `rows_used` is the number of remaining rows. A split with fewer than `batch_rows` rows has no
    mini-batch entries.

    Args:
        features: (n, dim), any floating type and device; half precision is measured in float32.
        settings: neighbourhood sizes and mini-batch rows.
        split: name of the split that `features` come from; copied to the result.

    Returns:
        {"split": split, "rows": n, "dim": dim,
        "lid": [{"estimator": "mom" or "mle", "k": k, "batch_rows": rows, or None for the full split,
        "rows_used": number of averaged LIDs, "mlid": geometric mean, "mean": arithmetic mean,
        "frechet_variance": Frechet variance of the LIDs}, ...],
        "effective_rank": {"correlation": ., "covariance": ., "second_moment": .}, "rankme": .}

    Raises:
        ValueError: if a k needs more rows than the split has, or if representations are not finite.
    """
    rows, dim = features.shape
    check_rows(settings.ks, rows, "the split has")
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(BATCH_SEED)).to(features.device)
    batches = [
        features[index] for index in order.split(settings.batch_rows) if len(index) == settings.batch_rows
    ]
    references: list[tuple[int | None, list[Tensor]]] = [(None, [features])]
    if batches:
        references.append((settings.batch_rows, batches))
    entries = []
    for name, estimator in ESTIMATORS.items():
        for k in settings.ks:
            for batch_rows, parts in references:
                lid = torch.cat([estimator(part, k=k) for part in parts])
                entries.append({"estimator": name, "k": k, "batch_rows": batch_rows, **summarize(lid)})
    ranks = {
        m: float(effective_rank(features, matrix=m)) for m in ("correlation", "covariance", "second_moment")
    }
    return {
        "split": split,
        "rows": rows,
        "dim": dim,
        "lid": entries,
        "effective_rank": ranks,
        "rankme": float(rankme(features)),
    }


def check_rows(ks: tuple[int, ...], rows: int, what: str) -> None:
    """Raise ValueError if a k is so large that the estimators would lower it, with a warning."""
    if max(ks) > rows - 2:
        raise ValueError(f"k = {max(ks)} needs at least {max(ks) + 2} rows, but {what} {rows}")


def summarize(lid: Tensor) -> dict[str, Any]:
    """Number, geometric and arithmetic mean, and Frechet variance of LIDs (n,), in float64."""
    lid = lid.double()
    return {
        "rows_used": len(lid),
        "mlid": float(geometric_mean(lid)),
        "mean": float(lid.mean()),
        "frechet_variance": float(frechet_variance(lid)),
    }
