"""Effective rank and RankMe: how many dimensions a set of representations fills globally.

Both are exp(-sum_i p_i ln p_i), where p is a spectrum divided by its sum. The spectrum is the eigenvalues of
a matrix of second moments for `effective_rank`, and the singular values of the features for `rankme`. The
result lies between 1 (all rows on one line) and min(rows, dim). Both are measurements without gradients,
computed in float64.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from ldreg.neighbors import checked_features

Matrix = Literal["correlation", "covariance", "second_moment"]


@torch.no_grad()
def effective_rank(features: Tensor, matrix: Matrix = "correlation") -> Tensor:
    """Effective rank of `features` (rows, dim): exp of the entropy of normalised eigenvalues.

    Roy & Vetterli (2007) define it for any matrix. LDReg names the feature correlation matrix (appendix B),
    but not whether features are centred and scaled for it, and its public code does not compute it, so the
    matrix is an argument here. No result depends on the order of the rows or on a common scale.

    - "correlation": Pearson's correlation matrix. Shifting or scaling single features does not change the
      result; a rotation does. A constant feature has no correlation and is dropped.
    - "covariance": the covariance matrix. A shift or rotation of all rows does not change the result.
    - "second_moment": X^T X of the uncentred features. A rotation does not change the result. A common offset
      adds one large eigenvalue. The eigenvalues are the squares of the singular values of `rankme`.

    Returns:
        Scalar float64 tensor in [1, min(rows, dim)]. A matrix of zeros, such as the covariance of identical
        rows, gives 0, so that a fully collapsed encoder can be reported, too.

    Raises:
        TypeError: if the features are not a floating-point tensor.
        ValueError: if they are not 2-D, have fewer than 2 rows or hold NaN or infinity, or if the matrix is
            unknown.

    Examples:
        >>> corners = torch.tensor([[1.0, 3.0], [-1.0, 3.0], [1.0, -3.0], [-1.0, -3.0]])
        >>> effective_rank(corners)  # two uncorrelated features: p = 0.5, 0.5
        tensor(2., dtype=torch.float64)
        >>> effective_rank(corners, matrix="covariance")  # p = 0.1, 0.9
        tensor(1.3841, dtype=torch.float64)
    """
    if matrix not in get_args(Matrix):
        raise ValueError(f"matrix must be one of {', '.join(get_args(Matrix))}, got {matrix!r}")
    x = _float64(features)
    if matrix != "second_moment":
        # A constant feature must become exactly zero, or the rounding of its mean would count as variance.
        constant = x.amax(dim=0) == x.amin(dim=0)
        x = torch.where(constant, 0, x - x.mean(dim=0))
    if matrix == "correlation":
        length = torch.linalg.vector_norm(x, dim=0)
        x = x[:, length > 0] / length[length > 0]
    gram = x.T @ x if x.shape[0] > x.shape[1] else x @ x.T  # the smaller has the same non-zero eigenvalues
    return _exp_entropy(torch.linalg.eigvalsh(gram).clamp(min=0))


@torch.no_grad()
def rankme(features: Tensor) -> Tensor:
    """RankMe (Garrido et al. 2023) of `features` (rows, dim): exp of the entropy of singular values.

    The singular values are divided by their sum. The features are not centred. A rotation or a common scale
    does not change the result. Garrido et al. add 1e-7 to each normalised value to avoid ln 0. Here 0 ln 0 =
    0 instead, so that the values sum to one.

    Returns:
        Scalar float64 tensor in [1, min(rows, dim)]; 0 if every feature is zero.

    Raises:
        TypeError: if the features are not a floating-point tensor.
        ValueError: if they are not 2-D, have fewer than 2 rows or hold NaN or infinity.

    Examples:
        >>> corners = torch.tensor([[1.0, 3.0], [-1.0, 3.0], [1.0, -3.0], [-1.0, -3.0]])
        >>> rankme(corners)  # singular values 2, 6: p = 0.25, 0.75
        tensor(1.7548, dtype=torch.float64)
    """
    return _exp_entropy(torch.linalg.svdvals(_float64(features)))


def _float64(features: Tensor) -> Tensor:
    features = checked_features(features, "features")
    if len(features) < 2:
        raise ValueError("features must have at least 2 rows, got 1")
    if features.device.type == "mps":  # Apple's GPUs have no float64
        features = features.cpu()
    return features.double()


def _exp_entropy(spectrum: Tensor) -> Tensor:
    """exp of the entropy of non-negative values (m,) divided by their sum; 0 if none is positive."""
    total = spectrum.sum()
    if not total > 0:
        return torch.zeros_like(total)
    entropy: Tensor = torch.special.entr(spectrum / total).sum()
    return entropy.exp()
