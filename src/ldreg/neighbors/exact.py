"""The exact way: neighbours by a float64 product, distances from the differences of rows.

A float64 product of centred rows tells neighbours apart down to 1e-7 of the radius of the cloud, and is never
reduced to TF32 or half precision. Distances from differences are accurate under any common offset and zero
for duplicates.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# Number of elements held in memory at once. On a CPU the float32 differences should fit into the cache.
SEARCH_ELEMENTS = 2**24  # query rows x reference rows, float64: 128 MiB
GATHER_ELEMENTS = {"cpu": 2**18, "other": 2**24}  # query rows x k x dim


@torch.no_grad()
def find(
    queries: Tensor, reference: Tensor, k: int, query_index: Tensor | None, chunk_size: int | None
) -> Tensor:
    """The k nearest rows of `reference` of each query, int64 (n, k), in no particular order."""
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


@torch.no_grad()
def measure(
    queries: Tensor,
    reference: Tensor,
    neighbors: Tensor,
    chunk_size: int | None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Distances (n, k) of queries (n, dim) to reference[neighbors], in the order of `neighbors` (n, k).

    Differences have the dtype of the queries; their norms are computed in `dtype`, by default in the same.
    """
    distances = queries.new_empty(neighbors.shape, dtype=dtype)
    for rows, differences in _differences(queries, reference, neighbors, chunk_size):
        torch.linalg.vector_norm(differences, dim=2, dtype=dtype, out=distances[rows])
    return distances


@torch.no_grad()
def pull(
    queries: Tensor, reference: Tensor, neighbors: Tensor, weights: Tensor, chunk_size: int | None
) -> Tensor:
    """sum_j weights_ij (query_i - reference[neighbors_ij]), (n, dim), for weights (n, k)."""
    result = torch.empty_like(queries)
    for rows, differences in _differences(queries, reference, neighbors, chunk_size):
        # A matrix product could be computed in TF32 or, under autocast, in half precision; a sum is not.
        torch.sum(differences.mul_(weights[rows, :, None]), dim=1, out=result[rows])
    return result


def _differences(
    queries: Tensor, reference: Tensor, neighbors: Tensor, chunk_size: int | None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows of some queries at a time, and their differences from their neighbours (rows, k, dim).

    One buffer serves all chunks, because thousands of allocations would cost time and fragment memory.
    """
    (n, k), dim = neighbors.shape, queries.shape[1]
    elements = GATHER_ELEMENTS["cpu" if queries.device.type == "cpu" else "other"]
    size = chunk_size or max(1, elements // (k * dim))
    buffer = reference.new_empty(min(size, n) * k, dim)
    for start in range(0, n, size):
        rows = slice(start, start + size)
        index = neighbors[rows].flatten()
        gathered = torch.index_select(reference, 0, index, out=buffer[: len(index)]).view(-1, k, dim)
        yield rows, torch.sub(queries[rows, None], gathered, out=gathered)
