"""Distances to the k nearest neighbours, differentiable in the query.

float32 rows on a CPU take the fast way (`ldreg.neighbors.product`), all others the exact one
(`ldreg.neighbors.exact`). Both find the same neighbours, up to neighbours whose distances are equal within
rounding. The backward pass visits k neighbours instead of the whole reference.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ldreg.neighbors import exact, product
from ldreg.neighbors.checks import checked_features, checked_index, checked_k, usable_k


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
        query_index = checked_index(query_index, len(queries), len(reference))
    elif query_index is None:
        reference, query_index = queries.detach(), torch.arange(len(queries), device=queries.device)
    else:
        raise ValueError("query_index needs a reference: without one each query leaves itself out")
    if queries.shape[1] != reference.shape[1]:
        raise ValueError(f"queries are {queries.shape[1]} wide but the reference {reference.shape[1]}")
    k = usable_k(checked_k(k), len(reference), leave_one_out=query_index is not None)
    dtype = torch.promote_types(queries.dtype, reference.dtype)
    queries, reference = queries.to(dtype), reference.to(dtype)
    with torch.autocast(queries.device.type, enabled=False):
        distances: Tensor = _Distances.apply(queries, reference, k, query_index, chunk_size)
        return distances


class _Distances(torch.autograd.Function):
    """Ascending distances (n, k) of queries (n, dim) to their nearest rows; only the queries get a gradient.

    At distance zero the norm has no derivative; the gradient there is zero.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        reference: Tensor,
        k: int,
        query_index: Tensor | None,
        chunk_size: int | None,
    ) -> Tensor:
        ctx.chunk_size = chunk_size
        if queries.dtype == torch.float32 and queries.device.type == "cpu":
            found = product.search(queries, reference, k, query_index, chunk_size)
            ctx.save_for_backward(queries, reference, *found)
            return found.distances
        neighbors = exact.find(queries, reference, k, query_index, chunk_size)
        measured = exact.measure(queries, reference, neighbors, chunk_size)
        distances, order = measured.sort(dim=1)
        ctx.save_for_backward(queries, reference, neighbors.gather(1, order), distances)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        queries, reference, *found = ctx.saved_tensors
        neighbors, distances = found[:2]
        weights = torch.where(distances > 0, grad / distances, 0)
        if len(found) > 2:
            pulled = product.pull(product.Found(*found), weights, queries, reference)
        else:
            pulled = exact.pull(queries, reference, neighbors, weights, ctx.chunk_size)
        return pulled, None, None, None, None
