"""The error of LID in mini-batches, relative to LID in the full training split.

LDReg estimates the LID of a sample from its mini-batch. Here the same estimators with the same k are also
applied to the whole split, and the two estimates are compared for each sample.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ldreg.lid import mle_from_distances, mom_from_distances
from ldreg.neighbors import neighbor_distances

KS = (4, 8, 16, 32, 64, 128)
BATCH_ROWS = (32, 64, 128, 256, 512, 1024, 2048, 4096)  # sizes below that of the split are measured
BATCHES = 8  # number of random mini-batches of each size
BATCH_SEED = 0  # seed of the mini-batches; the same for all runs
TF32_ROWS = 2048  # rows that are measured in TF32: a batch of the paper

ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {"mom": mom_from_distances, "mle": mle_from_distances}


def random_batches(rows: int, size: int, batches: int = BATCHES, seed: int = BATCH_SEED) -> list[Tensor]:
    """Draw the row numbers of `batches` mini-batches with `size` of `rows` rows, without repetition in each.

    Mini-batches are consecutive parts of a permutation; when it is used up, another one is drawn.
    Mini-batches of one size therefore share few rows, but those of different sizes share many.

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
    """Measure the error of the mini-batch LID for each estimator, mini-batch size N and k.

    Let LID_i be the estimate for sample i in its mini-batch of N rows, and LID*_i that among all rows with
    the same k. Neither counts the sample as its own neighbour. Over the samples of `batches` random
    mini-batches:

    - bias: exp(mean_i ln(LID_i / LID*_i)), the ratio of the geometric means (mLID);
    - rms: sqrt(mean_i ln(LID_i / LID*_i)^2), the root mean squared asymptotic Fisher-Rao distance.

    Args:
        features: (n, dim), any floating type and device; half precision is measured in float32.
        batch_rows: values of N; values of n or more are left out.
        ks: neighbourhood sizes; each N uses those of at most N - 2, as in training.
        batches: number of mini-batches of each size.
        seed: seed of the mini-batches.

    Returns:
        [{"estimator": "mom" or "mle", "k": k, "batch_rows": N, "mlid": geometric mean of LID_i, "full_mlid":
        geometric mean of LID*_i, "bias", "rms", "batch_bias" and "batch_rms": lists with the bias and rms of
        each mini-batch}, ...]

    Raises:
        ValueError: if no pair of N and k is possible, or if representations are not finite.
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


@torch.no_grad()
def tf32_errors(features: Tensor, ks: Sequence[int] = KS, rows: int = TF32_ROWS) -> list[dict[str, Any]]:
    """The change of LID, by the method of moments, where its distances come from a product in TF32.

    Appendix I of the paper warns of it: `torch.cdist` takes the distances from a matrix product, which GPUs
    of compute capability 8 and above may compute in TF32. Here it is told to, and the LIDs are compared with
    those of exact distances, sample by sample.

    Args:
        features: (n, dim); of those the first `rows` are measured, among themselves.
        ks: neighbourhood sizes; those of up to rows - 2.

    Returns:
        [{"k": k, "rms": sqrt(mean_i ln(LID_i / exact LID_i)^2), "mlid", "exact_mlid"}, ...]. The list is
        empty on a device without TF32.
    """
    if features.device.type != "cuda" or torch.cuda.get_device_capability(features.device) < (8, 0):
        return []
    part = features[:rows].float()
    fitting = [k for k in ks if k <= len(part) - 2]
    with tf32_products():
        distances = torch.cdist(part, part, compute_mode="use_mm_for_euclid_dist")
    near = distances.sort(dim=1).values[:, 1:]  # the first is the point itself
    exact = neighbor_distances(part, None, fitting[-1])
    return [{"k": k, **_change(near[:, :k], exact[:, :k])} for k in fitting]


def _change(near: Tensor, exact: Tensor) -> dict[str, float]:
    """From distances (n, k) to neighbours, as they came from a product and as they are."""
    here, there = (mom_from_distances(each).double().log() for each in (near, exact))
    return {
        "rms": float((here - there).square().mean().sqrt()),
        "mlid": float(here.mean().exp()),
        "exact_mlid": float(there.mean().exp()),
    }


@contextmanager
def tf32_products() -> Iterator[None]:
    """Allow TF32 in matrix products of float32, and restore what was allowed before."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _full(
    features: Tensor, parts: list[Tensor], wanted: dict[int, list[int]]
) -> dict[tuple[str, int], Tensor]:
    """ln LID (n,) among all rows by estimator and k, float64 on the CPU; NaN for rows outside `parts`."""
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
    """Compute the errors from ln LID (batches, N) within mini-batches and among all rows."""
    error = here - there
    return {
        "mlid": float(here.mean().exp()),
        "full_mlid": float(there.mean().exp()),
        "bias": float(error.mean().exp()),
        "rms": float(error.square().mean().sqrt()),
        "batch_bias": error.mean(dim=1).exp().tolist(),
        "batch_rms": error.square().mean(dim=1).sqrt().tolist(),
    }
