"""How good is the LID of a mini-batch? Its error against the full training split's.

LDReg estimates the LID of each sample from the mini-batch that it happens to be in. Here the same estimators,
with the same k, are given the whole split instead, and the two answers are compared sample by sample.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ldreg.lid import mle_from_distances, mom_from_distances
from ldreg.neighbors import neighbor_distances

KS = (4, 8, 16, 32, 64, 128)
BATCH_ROWS = (32, 64, 128, 256, 512, 1024, 2048, 4096)  # those below the split's rows are measured
BATCHES = 8  # random ones of each size
BATCH_SEED = 0  # of their rows; the same for all runs

ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {"mom": mom_from_distances, "mle": mle_from_distances}


def random_batches(rows: int, size: int, batches: int = BATCHES, seed: int = BATCH_SEED) -> list[Tensor]:
    """Row numbers of `batches` mini-batches of `size` of `rows`, each without repetition.

    They are consecutive rows of one permutation, and of another one where that is used up, so that batches
    have few rows in common and those of every size have many.

    >>> [len(batch) for batch in random_batches(100, 40, batches=3)]
    [40, 40, 40]
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    while len(found) < batches:
        order = torch.randperm(rows, generator=generator)
        found += [part for part in order.split(size) if len(part) == size]
    return found[:batches]


@torch.no_grad()
def lid_errors(
    features: Tensor,
    batch_rows: Sequence[int] = BATCH_ROWS,
    ks: Sequence[int] = KS,
    batches: int = BATCHES,
    seed: int = BATCH_SEED,
) -> list[dict[str, Any]]:
    """Errors of the mini-batch LID for each estimator, mini-batch size N and k.

    With LID_i of sample i in its mini-batch of N rows and LID*_i among all rows, both with the same k and
    without the sample itself, over the samples of `batches` random mini-batches:

    - bias: exp(mean_i ln(LID_i / LID*_i)), the ratio of the geometric means (mLID);
    - rms: sqrt(mean_i ln(LID_i / LID*_i)^2), the root mean square asymptotic Fisher-Rao distance.

    Args:
        features: (n, dim), any floating type and device; half precision is measured in float32.
        batch_rows: N; those of n and more are left out.
        ks: neighbourhood sizes; for each N those of up to N - 2, as in training.
        batches: how many mini-batches of each size.
        seed: of the mini-batches' rows.

    Returns:
        [{"estimator": "mom" or "mle", "k": k, "batch_rows": N, "mlid": of the mini-batches' samples, within
        them, "full_mlid": of the same among all rows, "bias", "rms", "batch_bias": of each mini-batch,
        "batch_rms": likewise}, ...]

    Raises:
        ValueError: no N and k is left, or representations that are not finite.
    """
    rows = len(features)
    wanted = {
        size: fitting for size in batch_rows if size < rows and (fitting := [k for k in ks if k <= size - 2])
    }
    if not wanted:
        raise ValueError(f"{rows} rows hold no mini-batch of {list(batch_rows)} for a k of {list(ks)}")
    drawn = {size: random_batches(rows, size, batches, seed) for size in wanted}
    truth = _full(features, [part for parts in drawn.values() for part in parts], wanted)
    entries = []
    for size, fitting in wanted.items():
        # (batches, N, k): one search for both estimators and every k.
        near = torch.stack(
            [
                neighbor_distances(features[part.to(features.device)], None, fitting[-1])
                for part in drawn[size]
            ]
        )
        index = torch.stack(drawn[size])
        for name, estimator in ESTIMATORS.items():
            for k in fitting:
                here = estimator(near[..., :k].flatten(0, 1)).double().log().cpu().view(index.shape)
                entries.append(
                    {"estimator": name, "k": k, "batch_rows": size, **_errors(here, truth[name, k][index])}
                )
    return entries


def _full(
    features: Tensor, parts: list[Tensor], wanted: dict[int, list[int]]
) -> dict[tuple[str, int], Tensor]:
    """ln LID (n,) among all rows by estimator and k, float64 on the CPU; NaN for rows in none of `parts`."""
    used = torch.cat(parts).unique()
    ks = sorted({k for fitting in wanted.values() for k in fitting})
    queries = used.to(features.device)
    near = neighbor_distances(features[queries], features, ks[-1], queries)
    found = {}
    for name, estimator in ESTIMATORS.items():
        for k in ks:
            found[name, k] = torch.full((len(features),), torch.nan, dtype=torch.float64)
            found[name, k][used] = estimator(near[:, :k]).double().log().cpu()
    return found


def _errors(here: Tensor, there: Tensor) -> dict[str, Any]:
    """From ln LID (batches, N) within mini-batches and among all rows."""
    error = here - there
    return {
        "mlid": float(here.mean().exp()),
        "full_mlid": float(there.mean().exp()),
        "bias": float(error.mean().exp()),
        "rms": float(error.square().mean().sqrt()),
        "batch_bias": error.mean(dim=1).exp().tolist(),
        "batch_rms": error.square().mean(dim=1).sqrt().tolist(),
    }
