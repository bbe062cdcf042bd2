"""The fast way: neighbours and distances from one float32 product, with a certificate for each query.

|q - x|^2 = |q|^2 + |x|^2 - 2 q.x loses digits where the distance is small against the norms of the centred
rows, as for near-duplicates and after a collapse. So each query is certified: its distances are accurate
enough for LID, and its k-th neighbour is certainly the k-th, since LID treats it unlike the others. A query
that fails is measured again by the differences from its nearest `k + EXTRA` rows, and if its neighbours may
not be among these, it is searched for again in float64 (`ldreg.neighbors.exact`).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ldreg.neighbors import exact

EXTRA = 16  # rows beyond the k nearest that are looked at
# Half a float32's spacing at 1: the relative error of one rounding.
UNIT = 2.0**-24
# Errors of |q - x|^2 in units of UNIT (|q|^2 + |x|^2), measured against float64 on clouds of 8 to 4,096
# dimensions: at most 9 for rows that point in different directions, whose partial sums stay small, and at
# most 19 for rows of nearly the same direction.
ERROR, ERROR_ALIGNED = 9.0, 10.0
# LID depends on the gap between the last distance and the mean one. An error of a distance may be at most
# this share of the gap, and of the distance.
TOLERANCE = 1e-4
SEARCH_ELEMENTS = 2**24  # products held in memory at once, float32: 64 MiB
# Query rows x reference rows x dimensions up to which float64 is faster, since it needs no certificate. A
# squared distance must only be more than NEAR of the squared norms; its error is then at most 1e-8 of it.
SMALL, NEAR = 2**21, 1e-6
BLOCK = 512  # rows of a block of the symmetric product
TOP_ELEMENTS = 2**19  # elements that one selection of the smallest reads: they should fit into the cache


class Found(NamedTuple):
    """The k nearest rows of each query, in ascending order of distance."""

    neighbors: Tensor  # int64 (n, k)
    distances: Tensor  # (n, k)
    doubtful: Tensor  # int64 (m,): the queries that failed the certificate and were measured exactly
    centered_queries: Tensor  # (n, dim)
    centered_reference: Tensor  # (rows, dim)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Compute float32 products in float32, whatever `torch.set_float32_matmul_precision` allows."""
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


@torch.no_grad()
@_full_precision()
def search(
    queries: Tensor, reference: Tensor, k: int, query_index: Tensor | None, chunk_size: int | None
) -> Found:
    """The k nearest rows of `reference` (rows, dim) of each of `queries` (n, dim), float32 on a CPU.

    `query_index` (n,) holds the row of `reference` that each query leaves out. There must be more than k
    other rows.
    """
    if len(queries) * reference.numel() <= SMALL:
        small = _in_float64(queries, reference, k, query_index)
        if small is not None:
            return small
    rows, others, of_rows, of_others = _centered(queries, reference)
    looked_at = min(k + EXTRA, len(reference) - (query_index is not None))
    squares = rows.new_empty(len(rows), looked_at)
    nearest = torch.empty(squares.shape, dtype=torch.int64)
    for part, products in _products(rows, others, chunk_size):
        index = None if query_index is None else query_index[part]
        _smallest(products, of_others, index, squares[part], nearest[part])
    squares.add_(of_rows[:, None]).clamp_(min=0)
    distances = squares[:, :k].sqrt()
    last = slice(k - 2, k + 1)  # the rows around the k-th, which LID treats unlike those before it
    error = _error(of_rows[:, None] + of_others[nearest[:, last]], squares[:, last])
    doubtful = (~_certified(distances, squares[:, last], error)).nonzero()[:, 0]
    neighbors = nearest[:, :k]
    if len(doubtful):
        outer = _outer(of_rows[doubtful], squares[doubtful, -1])
        index = None if query_index is None else query_index[doubtful]
        found = _again(queries[doubtful], reference, nearest[doubtful], k, index, outer)
        neighbors[doubtful], distances[doubtful] = found
    return Found(neighbors.contiguous(), distances, doubtful, rows, others)


def _in_float64(queries: Tensor, reference: Tensor, k: int, query_index: Tensor | None) -> Found | None:
    """As `search`, by a float64 product; None if a distance is too small even for that."""
    rows, others, of_rows, of_others = _centered(queries, reference, torch.float64)
    scores = torch.addmm(of_others, rows, others.T, alpha=-2)
    if query_index is not None:
        scores.scatter_(1, query_index[:, None], math.inf)
    squares, neighbors = scores.topk(k, dim=1, largest=False)
    squares += of_rows[:, None]
    if not (squares[:, 0] > NEAR * of_rows).all():
        return None
    distances, same = squares.sqrt_().float(), rows is others
    others = others.float()
    return Found(neighbors, distances, neighbors.new_empty(0), others if same else rows.float(), others)


def _centered(
    queries: Tensor, reference: Tensor, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both less the mean of `reference`, in `dtype`, and the squared norms of their rows.

    If both are the same rows, so are the results.
    """
    center = reference.mean(dim=0, dtype=dtype)
    others = reference - center
    of_others = torch.linalg.vecdot(others, others)
    if queries.data_ptr() == reference.data_ptr() and queries.shape == reference.shape:
        return others, others, of_others, of_others
    rows = queries - center
    return rows, others, torch.linalg.vecdot(rows, rows), of_others


def pull(found: Found, weights: Tensor, queries: Tensor, reference: Tensor) -> Tensor:
    """sum_j weights_ij (query_i - its neighbour_ij), (n, dim), for weights (n, k)."""
    pulled = F.embedding_bag(
        found.neighbors, found.centered_reference, per_sample_weights=weights, mode="sum"
    ).neg_()
    pulled.addcmul_(found.centered_queries, weights.sum(dim=1, keepdim=True))
    if len(doubtful := found.doubtful):
        pulled[doubtful] = exact.pull(
            queries[doubtful], reference, found.neighbors[doubtful], weights[doubtful], None
        )
    return pulled


def _products(rows: Tensor, others: Tensor, chunk_size: int | None) -> Iterator[tuple[slice, Tensor]]:
    """Some rows at a time and their products with all others (part of n, rows), which may be overwritten."""
    if rows is others and chunk_size is None and len(rows) ** 2 <= 4 * SEARCH_ELEMENTS:
        yield from _symmetric_products(rows)
        return
    size = chunk_size or max(1, SEARCH_ELEMENTS // len(others))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        yield part, rows[part] @ others.T


def _symmetric_products(rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """As `_products`, with each pair of blocks computed once; at most a quarter of all products is kept."""
    parts = [slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK)]
    kept: dict[tuple[int, int], Tensor] = {}
    buffer = rows.new_empty(min(BLOCK, len(rows)), len(rows))
    for i, part in enumerate(parts):
        products = buffer[: len(rows[part])]
        for j, earlier in enumerate(parts[:i]):
            products[:, earlier] = kept.pop((j, i)).T
        torch.mm(rows[part], rows[part.start :].T, out=products[:, part.start :])
        for j, later in enumerate(parts[i + 1 :], i + 1):
            kept[i, j] = products[:, later].clone()
        yield part, products


def _smallest(
    products: Tensor, of_others: Tensor, index: Tensor | None, values: Tensor, rows: Tensor
) -> None:
    """Store each query's smallest |x|^2 - 2 q.x, ascending, in `values`, and their x in `rows`.

    `products` holds q.x (n, rows) and is overwritten.
    """
    size = max(1, TOP_ELEMENTS // products.shape[1])
    for start in range(0, len(products), size):
        part = slice(start, start + size)
        scores = products[part].mul_(-2).add_(of_others)
        if index is not None:
            scores.scatter_(1, index[part, None], math.inf)
        torch.topk(scores, values.shape[1], dim=1, largest=False, out=(values[part], rows[part]))


def _error(norms: Tensor, squares: Tensor) -> Tensor:
    """Bound of the errors of `squares`, |q - x|^2, where `norms` are |q|^2 + |x|^2; of one shape."""
    aligned = (norms - squares).abs() / norms.clamp(min=torch.finfo(norms.dtype).tiny)
    return UNIT * (ERROR + ERROR_ALIGNED * aligned) * norms


def _outer(of_rows: Tensor, last: Tensor) -> Tensor:
    """Distance (n,) below which no row lies that was not looked at; `last` is the last square looked at."""
    # Of such a row |x| <= |q| + r, so |q|^2 + |x|^2 <= 3 |q|^2 + 2 r^2.
    error = UNIT * (ERROR + ERROR_ALIGNED) * (3 * of_rows + 2 * last)
    return (last - error).clamp_(min=0).sqrt_()


def _certified(distances: Tensor, around: Tensor, error: Tensor) -> Tensor:
    """Whether each query's distances (n, k) are accurate, and its k-th neighbour is certainly the k-th.

    `around` (n, 3) holds the squared distances of the k-th row and of those before and after it, and `error`
    their errors.
    """
    # A distance r has the error error / (2 r). The comparison is false where a distance is zero.
    first, gap = distances[:, 0], distances[:, -1] - distances.mean(dim=1)
    accurate = error[:, 1] < 2 * TOLERANCE * first * torch.minimum(first, gap)
    return accurate & (around.diff(dim=1).amin(dim=1) > 2 * error[:, 2])


def _again(
    queries: Tensor, reference: Tensor, nearest: Tensor, k: int, query_index: Tensor | None, outer: Tensor
) -> tuple[Tensor, Tensor]:
    """Neighbours and distances (n, k) by differences from `nearest`, among which they should be.

    A query is searched for anew unless they are nearer than `outer` (n,), the least distance of other rows.
    """
    neighbors, distances = _measured(queries, reference, nearest, k)
    # The comparison is false where an overflow has made `outer` NaN.
    missed = (~(distances[:, -1] <= outer)).nonzero()[:, 0]
    if len(missed):
        index = None if query_index is None else query_index[missed]
        candidates = exact.find(queries[missed], reference, nearest.shape[1], index, None)
        found = _measured(queries[missed], reference, candidates, k)
        neighbors[missed], distances[missed] = found
    return neighbors, distances


def _measured(queries: Tensor, reference: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the `candidates`, int64 (n, k or more), and their distances, ascending."""
    # In float64, since among many neighbours some differ in the last digit of a float32.
    distances, order = exact.measure(queries, reference, candidates, None, torch.float64).sort(dim=1)
    return candidates.gather(1, order[:, :k]), distances[:, :k].float()
