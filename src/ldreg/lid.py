"""Local intrinsic dimensionality (LID) of representations: differentiable, and safe in degenerate batches.

LID at a point x with distance distribution F(r) = Pr[d(x, s) <= r] is the limit of r F'(r) / F(r) for r -> 0.
`lid_mom` (method of moments, LDReg's) and `lid_mle` (maximum likelihood, its authors' monitor) estimate it
from the Euclidean distances r_1 <= ... <= r_k of x to its k nearest neighbours. `mom_from_distances` and
`mle_from_distances` take the distances themselves, so that one neighbour search can serve both and several k.
LIDs are compared on a log scale: `fisher_rao_distance`, `geometric_mean`, `frechet_variance`.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from ldreg.neighbors import neighbor_distances

Convention = Literal["code", "text"]

# Below float32's epsilon a ratio of two float32 distances, or one minus it, means nothing. float64 has the
# same floor, so that both precisions read a degenerate neighbourhood alike.
RATIO_FLOOR = 2.0**-23
MONITOR_OFFSET = 1e-4  # inside the logarithm of the authors' maximum-likelihood monitor


def lid_mom(
    queries: Tensor,
    reference: Tensor | None = None,
    k: int = 64,
    query_index: Tensor | None = None,
    *,
    convention: Convention = "code",
    chunk_size: int | None = None,
) -> Tensor:
    """LID by the method of moments (Amsaleg et al. 2018), LDReg's estimator (section 5 and appendix J).

    LID = mu / (w - mu), with w = r_k the distance to the k-th neighbour and mu the mean neighbour distance:

    - `convention="code"` (pseudocode and public code of the paper): mu = (r_1 + ... + r_{k-1}) / (k - 1);
    - `convention="text"` (text of the paper): mu = (r_1 + ... + r_k) / k, and LID_code is
      ((k - 1) LID_text - 1) / k.

    Gradients flow only through `queries`: the reference is detached, also where it is the queries themselves.

    Degenerate neighbourhoods have a finite positive LID and finite gradients, which are zero through a zero
    distance. The means of r_i / w and of 1 - r_i / w over the first k - 1 neighbours are held to at least
    `2**-23` (float32's epsilon), so that LID_code lies in `[2**-23, 2**23]`. Neighbours that are all equally
    far away read as the upper end. A collapsed neighbourhood (w = 0: k exact copies of the query) reads as
    low, with zero gradient: like k - 1 copies and one distinct neighbour, that is `2**-23` (code) or
    1 / (k - 1) (text). float32 distances below about 1e-22 count as zero.

    Args:
        queries: (n, dim), floating point. Half precision is computed in float32, also under autocast.
        reference: (rows, dim), among which neighbours are sought; None means the queries, each without
            itself. An exact duplicate of a query in another row is a neighbour, at distance zero.
        k: number of neighbours, at least 2. Lowered, with a warning, to one less than there are: rows - 1, or
            rows - 2 (as in the public code) where each query leaves its own row out.
        query_index: (n,), integers: each query's own row of `reference`, which is left out. With a reference
            and no `query_index` nothing is left out.
        convention: "code" or "text", as above.
        chunk_size: query rows treated at once, by default what fits about 128 MiB. It changes no result.

    Returns:
        (n,), float32; float64 if an input is float64.

    Raises:
        TypeError: queries or reference not of floating point, query_index not of integers.
        ValueError: NaN, infinity or values whose squared distance overflows; not 2-D; widths that differ;
            fewer than 3 neighbours per query; k < 2; an index out of range; an unknown convention.

    Examples:
        >>> line = torch.tensor([[0.0], [1.0], [3.0], [7.0], [20.0]])
        >>> lid_mom(line, k=3)[0]  # neighbours at 1, 3, 7: mu = 2, LID = 2 / (7 - 2)
        tensor(0.4000)
        >>> lid_mom(line, k=3, convention="text")[0]  # mu = 11 / 3
        tensor(1.1000)
    """
    distances = neighbor_distances(queries, reference, k, query_index, chunk_size)
    return mom_from_distances(distances, convention)


def lid_mle(
    queries: Tensor,
    reference: Tensor | None = None,
    k: int = 64,
    query_index: Tensor | None = None,
    *,
    convention: Convention = "code",
    chunk_size: int | None = None,
) -> Tensor:
    """LID by maximum likelihood (Levina & Bickel 2004, Amsaleg et al. 2018), LDReg's monitor.

    - `convention="text"`: LID = -1 / mean_{i=1..k} ln(r_i / r_k). As the term i = k is zero, this equals
      -k / sum_{i=1..k-1} ln(r_i / r_k). (Levina & Bickel write k - 1 for k, as does scikit-dimension.)
    - `convention="code"` (the public code's monitor): -k / sum_{i=1..k-1} ln(r_i / r_k + 1e-4): the same
      neighbours, and 1e-4 as a guard, which raises a LID well above 1 by a factor of about 1 + 1e-4 LID.

    Arguments, gradients, dtype and errors are those of `lid_mom`.

    In degenerate neighbourhoods the mean of -ln(...) is held to at least `2**-23`, so that LID is at most
    `2**23` (equidistant neighbours, where the code's own form turns negative), and the text's r_i / r_k to at
    least `2**-23`. A collapsed neighbourhood (r_k = 0) reads as low, with zero gradient: like k - 1 copies of
    the query and one distinct neighbour, that is k / ((k - 1) L), where L is ln 1e4 = 9.2 (code) or
    23 ln 2 = 15.9 (text).

    Examples:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [4.0], [20.0]])
        >>> lid_mle(line, k=3, convention="text")[0]  # 3 / (ln 4 + ln 2)
        tensor(1.4427)
        >>> lid_mle(line, k=3)[0]
        tensor(1.4431)
    """
    distances = neighbor_distances(queries, reference, k, query_index, chunk_size)
    return mle_from_distances(distances, convention)


def mom_from_distances(distances: Tensor, convention: Convention = "code") -> Tensor:
    """`lid_mom`'s LID (n,) from the distances (n, k), each row r_1 <= ... <= r_k to the k nearest neighbours.

    One neighbour search serves both estimators and every smaller k: `distances[:, :16]` gives, up to rounding
    among neighbours equally far away, what `lid_mom` gives with k=16. Gradients flow into the distances.

    Args:
        distances: (n, k), k at least 2, floating point, in any unit, as `ldreg.neighbors.neighbor_distances`
            returns them. Half precision is computed in float32.
        convention: "code" or "text", as in `lid_mom`.

    Raises:
        TypeError: distances not of floating point.
        ValueError: another shape; a row that is negative, descending or not finite; an unknown convention.

    Examples:
        >>> points = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        >>> distances = neighbor_distances(points, None, k=64)
        >>> torch.allclose(mom_from_distances(distances[:, :16]), lid_mom(points, k=16))
        True
    """
    ratios = _ratios(distances, convention)
    floor = RATIO_FLOOR * ratios.shape[1]
    near, gap = ratios.sum(dim=1), (1 - ratios).sum(dim=1).clamp(min=floor)
    return near.clamp(min=floor) / gap if convention == "code" else (near + 1) / gap


def mle_from_distances(distances: Tensor, convention: Convention = "code") -> Tensor:
    """`lid_mle`'s LID (n,) from the distances (n, k).

    Arguments, gradients and errors are those of `mom_from_distances`.

    Examples:
        >>> mle_from_distances(torch.tensor([[1.0, 2.0, 4.0]]), convention="text")  # 3 / (ln 4 + ln 2)
        tensor([1.4427])
    """
    ratios = _ratios(distances, convention)
    k = ratios.shape[1] + 1
    guarded = ratios + MONITOR_OFFSET if convention == "code" else ratios.clamp(min=RATIO_FLOOR)
    return k / (-guarded.log().sum(dim=1)).clamp(min=RATIO_FLOOR * k)


def geometric_mean(lid: Tensor) -> Tensor:
    """mLID = exp(mean ln LID_i), a scalar: the LID of the samples' Frechet mean (LDReg theorem 2).

    No other LID has a smaller sum of squared asymptotic Fisher-Rao distances to those in `lid`.

    Args:
        lid: LIDs in any shape.

    Raises:
        ValueError: LIDs that are not positive and finite, or none at all.

    Examples:
        >>> geometric_mean(torch.tensor([1.0, 4.0]))
        tensor(2.)
    """
    return _log(lid).mean().exp()


def fisher_rao_distance(lid_a: Tensor | float, lid_b: Tensor | float) -> Tensor:
    """Asymptotic Fisher-Rao distance |ln(LID_b / LID_a)|, elementwise with broadcasting (LDReg definition 3).

    The distance from a one-dimensional uniform distribution, whose LID is 1, is |ln LID_a|.

    Raises:
        ValueError: LIDs that are not positive and finite, or none at all.

    Examples:
        >>> fisher_rao_distance(torch.tensor([1.0, 2.0, 4.0]), 2.0)
        tensor([0.6931, 0.0000, 0.6931])
    """
    return (_log(lid_b) - _log(lid_a)).abs()


def frechet_variance(lid: Tensor) -> Tensor:
    """Frechet variance mean_i (ln LID_i - ln mLID)^2, a scalar (LDReg definition 4).

    This is the mean squared asymptotic Fisher-Rao distance of the LIDs from their geometric mean.

    Raises:
        ValueError: LIDs that are not positive and finite, or none at all.

    Examples:
        >>> frechet_variance(torch.tensor([1.0, 4.0]))  # (ln 2)^2
        tensor(0.4805)
    """
    return _log(lid).var(correction=0)


def _log(lid: Tensor | float) -> Tensor:
    """Natural logarithm of LIDs, after checking that they have one."""
    if not isinstance(lid, Tensor):  # as a scalar of float64 it takes on the other operand's precision
        lid = torch.tensor(lid, dtype=torch.float64)
    if lid.numel() == 0 or not ((lid > 0) & (lid < math.inf)).all():
        raise ValueError("LIDs must be positive and finite, and at least one")
    return lid.to(torch.promote_types(lid.dtype, torch.float32)).log()


def _ratios(distances: Tensor, convention: Convention) -> Tensor:
    """(n, k - 1) ratios r_1/r_k <= ... <= r_{k-1}/r_k in [0, 1], or zeros where r_k = 0."""
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be 'code' or 'text', got {convention!r}")
    if not distances.is_floating_point():
        raise TypeError(f"distances must be of floating point, got {distances.dtype}")
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise ValueError(f"distances must have shape (n, k), k at least 2, got {tuple(distances.shape)}")
    # A comparison with NaN is false, so that it is refused too.
    ascending = (distances[:, 1:] >= distances[:, :-1]).all()
    if not (ascending & (distances[:, 0] >= 0).all() & (distances[:, -1] < math.inf).all()):
        raise ValueError("distances must be finite, at least 0 and ascending in each row")
    distances = distances.to(torch.promote_types(distances.dtype, torch.float32))
    w = distances[:, -1:]
    return distances[:, :-1] / torch.where(w > 0, w, 1)
