"""What a search for neighbours asks of its arguments."""

import math
import warnings
from numbers import Integral

import torch
from torch import Tensor


class NotFiniteError(ValueError):
    """Features hold NaN or infinity, or values so large that squared distances overflow."""


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
    low, high = torch.aminmax(features.detach())
    if not ((low > -limit) & (high < limit)):
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


def checked_index(query_index: Tensor | None, n: int, rows: int) -> Tensor | None:
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


def usable_k(k: int, rows: int, leave_one_out: bool) -> int:
    most = rows - 1 - leave_one_out
    if most < 2:
        raise ValueError(f"LID needs at least 3 neighbours per query, but {rows} rows hold only {most + 1}")
    if k > most:
        message = f"k={k} is too many for {rows} reference rows: using k={most}"
        # The warning names the line that called lid_mom or lid_mle: three frames above this one.
        warnings.warn(message, stacklevel=4)
    return min(k, most)
