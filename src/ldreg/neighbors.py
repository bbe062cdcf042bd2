"""Distances to the k nearest neighbours: exact, differentiable in the query, with bounded memory.

The neighbours are *found* by a float64 matrix product of centred rows. It distinguishes neighbours down to
1e-7 of the radius of the point cloud, and float64 is never reduced to TF32 or half precision. The distances
are then *computed* from differences of rows. They are accurate under any common offset and zero for
duplicates, and their backward pass visits k neighbours instead of the whole reference.
"""

import math
import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Number of elements held in memory at once. On a CPU the float32 differences should fit into the cache.
SEARCH_ELEMENTS = 2**24  # query rows x reference rows, float64: 128 MiB
GATHER_ELEMENTS = {"cpu": 2**18, "other": 2**24}  # query rows x k x dim


class NotFiniteError(ValueError):
    """Features hold NaN or infinity, or values so large that squared distances overflow."""


def neighbor_distances(
    queries: Tensor,
    reference: Tensor | None,
    k: int,
    query_index: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Euclidean distances r_1 <= ... <= r_k of each query to its k nearest reference rows, (n, k).

    Arguments, dtype and errors are those of `ldreg.lid.lid_mom`. k is lowered if there are too few rows.
    Gradients flow only through `queries`. The gradient through a distance of zero is zero.

    Examples:
        >>> neighbor_distances(torch.tensor([[0.0], [1.0], [3.0], [7.0]]), None, k=2)[0]
        tensor([1., 3.])
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    queries = checked_features(queries, "queries")
    if reference is not None:
        reference = checked_features(reference, "reference").detach()
        query_index = _checked_index(query_index, len(queries), len(reference))
    elif query_index is None:
        reference, query_index = queries.detach(), torch.arange(len(queries), device=queries.device)
    else:
        raise ValueError("query_index needs a reference: without one each query leaves itself out")
    if queries.shape[1] != reference.shape[1]:
        raise ValueError(f"queries are {queries.shape[1]} wide but the reference {reference.shape[1]}")
    k = _usable_k(checked_k(k), len(reference), leave_one_out=query_index is not None)
    dtype = torch.promote_types(queries.dtype, reference.dtype)
    queries, reference = queries.to(dtype), reference.to(dtype)
    with torch.autocast(queries.device.type, enabled=False):
        neighbors = _nearest(queries.detach(), reference, k, query_index, chunk_size)
        distances: Tensor = _Distances.apply(queries, reference, neighbors, chunk_size)
        return distances.sort(dim=1).values


def checked_features(features: Tensor, name: str) -> Tensor:
    """Return `features` (rows, dim) in float32 or float64, after checking them.

    Raises:
        TypeError: if they are not a floating-point tensor; the error names them `name`.
        ValueError: if they are not 2-D or empty.
        NotFiniteError: if they are not finite, or so large that squared distances overflow.
    """
    kind = features.dtype if isinstance(features, Tensor) else type(features).__name__
    if not isinstance(features, Tensor) or not features.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {kind}")
    if features.ndim != 2 or features.numel() == 0:
        raise ValueError(f"{name} must have shape (rows, dim), both at least 1, got {tuple(features.shape)}")
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    # Below this limit no squared distance overflows. A comparison with NaN is false, hence "not <".
    limit = math.sqrt(torch.finfo(features.dtype).max / (4 * features.shape[1]))
    if not torch.linalg.vector_norm(features.detach(), ord=math.inf) < limit:
        row = int((~(features.detach().abs() < limit)).any(dim=1).nonzero()[0])
        raise NotFiniteError(f"{name} must be finite and below {limit:.0e} in magnitude: row {row} is not")
    return features


def checked_k(k: int) -> int:
    """Return `k` as an int.

    Raises:
        ValueError: if it is not an integer of at least 2.
    """
    if not isinstance(k, Integral) or k < 2:
        raise ValueError(f"k must be an integer of at least 2, got {k!r}")
    return int(k)


def _checked_index(query_index: Tensor | None, n: int, rows: int) -> Tensor | None:
    if query_index is None:
        return None
    kind = getattr(query_index, "dtype", type(query_index).__name__)
    if kind not in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64):
        raise TypeError(f"query_index must be a tensor of integers, got {kind}")
    if query_index.shape != (n,):
        raise ValueError(f"query_index must have shape ({n},), one per query, got {tuple(query_index.shape)}")
    if not ((query_index >= 0) & (query_index < rows)).all():
        raise ValueError(f"query_index must lie in [0, {rows}), the rows of the reference")
    return query_index.long()


def _usable_k(k: int, rows: int, leave_one_out: bool) -> int:
    most = rows - 1 - leave_one_out
    if most < 2:
        raise ValueError(f"LID needs at least 3 neighbours per query, but {rows} rows hold only {most + 1}")
    if k > most:
        message = f"k={k} is too many for {rows} reference rows: using k={most}"
        # The warning names the line that called lid_mom or lid_mle: three frames above this one.
        warnings.warn(message, stacklevel=4)
    return min(k, most)


@torch.no_grad()
def _nearest(
    queries: Tensor, reference: Tensor, k: int, query_index: Tensor | None, chunk_size: int | None
) -> Tensor:
    """(n, k) rows of the k nearest reference rows of each query, in no particular order."""
    dtype = torch.float32 if queries.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    center = reference.mean(dim=0, dtype=dtype)
    reference = reference - center
    squares = reference.square().sum(dim=1)  # |x|^2 - 2 q.x = |q - x|^2 - |q|^2 has the order of |q - x|
    size = min(chunk_size or max(1, SEARCH_ELEMENTS // len(reference)), len(queries))
    buffer = squares.new_empty(size, len(reference))
    found = []
    for start in range(0, len(queries), size):
        block = queries[start : start + size] - center
        scores = torch.addmm(squares, block, reference.T, alpha=-2, out=buffer[: len(block)])
        if query_index is not None:
            scores.scatter_(1, query_index[start : start + size, None], math.inf)
        found.append(scores.topk(k, dim=1, largest=False, sorted=False).indices)
    return torch.cat(found)


class _Distances(torch.autograd.Function):
    """Distances (n, k) of queries (n, dim) to reference[neighbors]; only the queries receive a gradient.

    The differences (n, k, dim) are computed in chunks, and computed again in the backward pass. Storing them
    would take k times the memory of the batch. At distance zero the norm has no derivative; the gradient
    there is zero.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, reference: Tensor, neighbors: Tensor, size: int | None) -> Tensor:
        elements = GATHER_ELEMENTS["cpu" if queries.device.type == "cpu" else "other"]
        ctx.size = size or max(1, elements // (neighbors.shape[1] * queries.shape[1]))
        distances = queries.new_empty(neighbors.shape)
        for rows, differences in _differences(queries, reference, neighbors, ctx.size):
            torch.linalg.vector_norm(differences, dim=2, out=distances[rows])
        ctx.save_for_backward(queries, reference, neighbors, distances)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        queries, reference, neighbors, distances = ctx.saved_tensors
        weights = torch.where(distances > 0, grad / distances, 0)
        result = torch.empty_like(queries)
        for rows, differences in _differences(queries, reference, neighbors, ctx.size):
            # A matrix product could be computed in TF32 or, under autocast, in half precision; a sum is not.
            torch.sum(differences.mul_(weights[rows, :, None]), dim=1, out=result[rows])
        return result, None, None, None


def _differences(
    queries: Tensor, reference: Tensor, neighbors: Tensor, size: int
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows of `size` queries at a time, and their differences from their neighbours (size, k, dim).

    One buffer serves all chunks, because thousands of allocations would cost time and fragment memory.
    """
    (n, k), dim = neighbors.shape, queries.shape[1]
    buffer = reference.new_empty(min(size, n) * k, dim)
    for start in range(0, n, size):
        rows = slice(start, start + size)
        index = neighbors[rows].flatten()
        gathered = torch.index_select(reference, 0, index, out=buffer[: len(index)]).view(-1, k, dim)
        yield rows, torch.sub(queries[rows, None], gathered, out=gathered)
