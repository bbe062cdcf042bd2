"""Differentiable estimators of local intrinsic dimensionality (LID), finite also for degenerate batches.

LID at a point x with distance distribution F(r) = Pr[d(x, s) <= r] is the limit of r F'(r) / F(r) for r -> 0.
`lid_mom` (method of moments, as in LDReg) and `lid_mle` (maximum likelihood, as in its monitor) estimate it
from the Euclidean distances r_1 <= ... <= r_k of x to its k nearest neighbours. `mom_from_distances` and
`mle_from_distances` take the distances themselves, so that one neighbour search serves both estimators and
several k. High dimensions are read low, because a neighbourhood of finitely many points reaches far: with
k = 64 among 2,500 points, a cube of 24 dimensions is read as 16 to 17.

LIDs are compared on a log scale: `fisher_rao_distance`, `geometric_mean`, `frechet_variance`.
"""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ldreg.neighbors import neighbor_distances

Convention = Literal["code", "text"]

# Smallest value of a mean ratio of two distances, or of one minus it: float32's epsilon, below which rounding
# errors dominate. float64 uses the same floor, so that both precisions agree on degenerate neighbourhoods.
RATIO_FLOOR = 2.0**-23
MONITOR_OFFSET = 1e-4  # added inside the logarithm by the maximum-likelihood monitor of the public code


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

    Gradients flow only through `queries`. The reference is detached, even if it is the queries themselves.

    Degenerate neighbourhoods have a finite positive LID and finite gradients. The gradient through a distance
    of zero is zero. The means of r_i / w and of 1 - r_i / w over the first k - 1 neighbours are clamped to at
    least `2**-23` (float32's epsilon), so LID_code lies in `[2**-23, 2**23]`. If all neighbours are equally
    far away, LID is at the upper bound. A collapsed neighbourhood (w = 0: k exact copies of the query) has
    zero gradient and the same low LID as k - 1 copies and one distinct neighbour: `2**-23` (code) or
    1 / (k - 1) (text). float32 distances below about 1e-22 count as zero.

    Args:
        queries: (n, dim), floating point. Half precision is computed in float32, also under autocast.
        reference: (rows, dim), the points among which neighbours are searched. None means the queries; each
            query then ignores its own row. An exact duplicate in another row is a neighbour at distance zero.
        k: number of neighbours, at least 2. If k is larger than the available neighbours less one, it is
            lowered to that number with a warning. That is rows - 1, or rows - 2 (as in the public code) if
            each query ignores its own row.
        query_index: (n,), integers: the row of `reference` that is the query itself and is ignored. With a
            reference and no `query_index`, no row is ignored.
        convention: "code" or "text", as above.
        chunk_size: number of queries processed at once, by default as many as need about 64 or 128 MiB. It
            changes the result by rounding at most.

    Returns:
        (n,), float32; float64 if an input is float64.

    Raises:
        TypeError: if queries or reference are not floating-point tensors, or query_index holds no integers.
        ValueError: if a value is NaN, infinite or so large that squared distances overflow; if a tensor is
            not 2-D; if the dimensions of queries and reference differ; if a query has fewer than 3
            neighbours; if k < 2; if an index is out of range; if the convention is unknown.

    Examples:
        >>> line = torch.tensor([[0.0], [1.0], [3.0], [7.0], [20.0]])
        >>> lid_mom(line, k=3)[0]  # neighbours at 1, 3, 7: mu = 2, LID = 2 / (7 - 2)
        tensor(0.4000)
        >>> lid_mom(line, k=3, convention="text")[0]  # mu = 11 / 3
        tensor(1.1000)
    """
    _check_convention(convention)
    distances = neighbor_distances(queries, reference, k, query_index, chunk_size)
    lid: Tensor = _MethodOfMoments.apply(distances, convention)
    return lid


def lid_mle(
    queries: Tensor,
    reference: Tensor | None = None,
    k: int = 64,
    query_index: Tensor | None = None,
    *,
    convention: Convention = "code",
    chunk_size: int | None = None,
) -> Tensor:
    """LID by maximum likelihood (Levina & Bickel 2004, Amsaleg et al. 2018), as in LDReg's monitor.

    - `convention="text"`: LID = -1 / mean_{i=1..k} ln(r_i / r_k). As the term i = k is zero, this equals
      -k / sum_{i=1..k-1} ln(r_i / r_k). (Levina & Bickel write k - 1 for k, as does scikit-dimension.)
    - `convention="code"` (monitor of the public code): LID = -k / sum_{i=1..k-1} ln(r_i / r_k + 1e-4). The
      neighbours are the same. The offset 1e-4 avoids ln 0 and multiplies a LID well above 1 by about
      1 + 1e-4 LID.

    Arguments, gradients, dtype and errors are those of `lid_mom`.

    In degenerate neighbourhoods the mean of -ln(...) is clamped to at least `2**-23`, so LID is at most
    `2**23`. Equidistant neighbours reach this bound, where the formula of the public code turns negative. The
    ratio r_i / r_k of the text is clamped to at least `2**-23`, too. A collapsed neighbourhood (r_k = 0) has
    zero gradient and the same low LID as k - 1 copies of the query and one distinct neighbour, namely
    k / ((k - 1) L), where L is ln 1e4 = 9.2 (code) or 23 ln 2 = 15.9 (text).

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
    """LID (n,) by the method of moments from distances (n, k), as `lid_mom` computes it.

    Each row holds the distances r_1 <= ... <= r_k to the k nearest neighbours. One neighbour search serves
    both estimators and every smaller k: `distances[:, :16]` gives the same LID as `lid_mom` with k=16, up to
    rounding among equally distant neighbours. Gradients flow into the distances.

    Args:
        distances: (n, k), k at least 2, floating point, in any unit, as `ldreg.neighbors.neighbor_distances`
            returns them. Half precision is computed in float32.
        convention: "code" or "text", as in `lid_mom`.

    Raises:
        TypeError: if the distances are not floating point.
        ValueError: if the shape is different; if a row is negative, not ascending or not finite; if the
            convention is unknown.

    Examples:
        >>> points = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        >>> distances = neighbor_distances(points, None, k=64)
        >>> torch.allclose(mom_from_distances(distances[:, :16]), lid_mom(points, k=16))
        True
    """
    _check_convention(convention)
    lid: Tensor = _MethodOfMoments.apply(_checked_distances(distances), convention)
    return lid


def mle_from_distances(distances: Tensor, convention: Convention = "code") -> Tensor:
    """LID (n,) by maximum likelihood from distances (n, k), as `lid_mle` computes it.

    Arguments, gradients and errors are those of `mom_from_distances`.

    Examples:
        >>> mle_from_distances(torch.tensor([[1.0, 2.0, 4.0]]), convention="text")  # 3 / (ln 4 + ln 2)
        tensor([1.4427])
    """
    _check_convention(convention)
    ratios, _ = _ratios(_checked_distances(distances))
    k = ratios.shape[1] + 1
    guarded = ratios + MONITOR_OFFSET if convention == "code" else ratios.clamp(min=RATIO_FLOOR)
    return k / (-guarded.log().sum(dim=1)).clamp(min=RATIO_FLOOR * k)


def geometric_mean(lid: Tensor) -> Tensor:
    """mLID = exp(mean_i ln LID_i), a scalar: the LID of the Frechet mean of the samples (LDReg theorem 2).

    It minimises the sum of squared asymptotic Fisher-Rao distances to the values in `lid`.

    Args:
        lid: LIDs in any shape.

    Raises:
        ValueError: if a LID is not positive and finite, or if there is none.

    Examples:
        >>> geometric_mean(torch.tensor([1.0, 4.0]))
        tensor(2.)
    """
    return _log(lid).mean().exp()


def fisher_rao_distance(lid_a: Tensor | float, lid_b: Tensor | float) -> Tensor:
    """Asymptotic Fisher-Rao distance |ln(LID_b / LID_a)|, elementwise with broadcasting (LDReg definition 3).

    A one-dimensional uniform distribution has LID 1, so its distance from LID_a is |ln LID_a|.

    Raises:
        ValueError: if a LID is not positive and finite, or if there is none.

    Examples:
        >>> fisher_rao_distance(torch.tensor([1.0, 2.0, 4.0]), 2.0)
        tensor([0.6931, 0.0000, 0.6931])
    """
    return (_log(lid_b) - _log(lid_a)).abs()


def frechet_variance(lid: Tensor) -> Tensor:
    """Frechet variance mean_i (ln LID_i - ln mLID)^2, a scalar (LDReg definition 4).

    This is the mean squared asymptotic Fisher-Rao distance of the LIDs from their geometric mean.

    Raises:
        ValueError: if a LID is not positive and finite, or if there is none.

    Examples:
        >>> frechet_variance(torch.tensor([1.0, 4.0]))  # (ln 2)^2
        tensor(0.4805)
    """
    return _log(lid).var(correction=0)


def _log(lid: Tensor | float) -> Tensor:
    """Natural logarithm of LIDs, after a check that all are positive and finite."""
    if not isinstance(lid, Tensor):  # a 0-d float64 tensor takes the precision of the other operand
        lid = torch.tensor(lid, dtype=torch.float64)
    if lid.numel() == 0 or not ((lid > 0) & (lid < math.inf)).all():
        raise ValueError("there must be at least one LID, and all must be positive and finite")
    return lid.to(torch.promote_types(lid.dtype, torch.float32)).log()


class _MethodOfMoments(torch.autograd.Function):
    """LID (n,) from distances (n, k), with its gradient in closed form: fewer and smaller operations.

    With near = sum_i r_i / w and gap = sum_i (1 - r_i / w) over the first k - 1 neighbours, LID is
    near / gap (code) or (near + 1) / gap (text). A clamped sum passes no gradient on.
    """

    @staticmethod
    def forward(ctx: Any, distances: Tensor, convention: Convention) -> Tensor:
        ratios, w = _ratios(distances)
        near = ratios.sum(dim=1)
        floor = RATIO_FLOOR * ratios.shape[1]
        gap = (1 - ratios).sum(dim=1)
        above = gap.clamp(min=floor)
        upper = near.clamp(min=floor) if convention == "code" else near + 1
        lid = upper / above
        ctx.save_for_backward(near, gap, above, lid, w)
        ctx.floor, ctx.convention = floor, convention
        ctx.shape = distances.shape
        return lid

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        near, gap, above, lid, w = ctx.saved_tensors
        # LID rises with near, and falls with gap, which is k - 1 - near.
        slope = torch.where(gap >= ctx.floor, lid, 0)
        slope += (near >= ctx.floor).to(slope) if ctx.convention == "code" else 1
        slope = grad * slope / (above * w[:, 0])
        gradients = slope[:, None].repeat(1, ctx.shape[1])
        gradients[:, -1].mul_(-near)
        return gradients, None


def _check_convention(convention: Convention) -> None:
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be 'code' or 'text', got {convention!r}")


def _checked_distances(distances: Tensor) -> Tensor:
    """Return `distances` in float32 or float64, after checking them."""
    if not distances.is_floating_point():
        raise TypeError(f"distances must be of floating point, got {distances.dtype}")
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise ValueError(f"distances must have shape (n, k), k at least 2, got {tuple(distances.shape)}")
    # A comparison with NaN is false, so NaN is refused, too.
    ascending = (distances[:, 1:] >= distances[:, :-1]).all()
    if not (ascending & (distances[:, 0] >= 0).all() & (distances[:, -1] < math.inf).all()):
        raise ValueError("distances must be finite, at least 0 and ascending in each row")
    return distances.to(torch.promote_types(distances.dtype, torch.float32))


def _ratios(distances: Tensor) -> tuple[Tensor, Tensor]:
    """(n, k - 1) ratios r_1/r_k <= ... <= r_{k-1}/r_k in [0, 1], and r_k (n, 1); 0 and 1 where r_k = 0."""
    w = distances[:, -1:]
    w = torch.where(w > 0, w, 1)
    return distances[:, :-1] / w, w
