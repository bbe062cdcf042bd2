"""How many dimensions a set of representations fills globally: effective rank and RankMe.

Both are exp(-sum_i p_i ln p_i), the exponential of the entropy of a spectrum divided by its sum: the
eigenvalues of the features' second moments for `effective_rank`, the features' singular values for `rankme`.
They lie between 1 (all rows on one line) and min(rows, dim), and are measurements: computed in float64,
without gradients.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from ldreg.neighbors import checked_features

Matrix = Literal["correlation", "covariance", "second_moment"]


@torch.no_grad()
def effective_rank(features: Tensor, matrix: Matrix = "correlation") -> Tensor:
    """Effective rank of `features` (rows, dim): exp of the entropy of normalised eigenvalues.

    Roy & Vetterli (2007) define it for any matrix. LDReg only says "the correlation matrix of the features",
    and its public code does not compute it, so that the matrix is an argument here. No result depends on the
    order of the rows or on a common scale.

    - "correlation": Pearson's correlation matrix. The result does not change with the shift and the scale of
      each single feature, but it does with a rotation. A constant feature has no correlation and is dropped.
    - "covariance": the covariance matrix. The result does not change with a shift or a rotation of all rows.
    - "second_moment": X^T X of the uncentred features. The result does not change with a rotation. A common
      offset adds one large eigenvalue. The eigenvalues are the squares of the singular values of `rankme`.

    Returns:
        Scalar float64 tensor in [1, min(rows, dim)]; 0 for a matrix of zeros, such as the covariance of
        identical rows: its rank, so that a fully collapsed encoder can be reported too.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not 2-D, fewer than 2 rows, NaN or infinity, an unknown matrix.

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
        # Rounding of the mean must not pass for variance: a constant feature becomes exactly zero.
        constant = x.amax(dim=0) == x.amin(dim=0)
        x = torch.where(constant, 0, x - x.mean(dim=0))
    if matrix == "correlation":
        length = torch.linalg.vector_norm(x, dim=0)
        x = x[:, length > 0] / length[length > 0]
    gram = x.T @ x if x.shape[0] > x.shape[1] else x @ x.T  # the smaller has the same non-zero eigenvalues
    return _exp_entropy(torch.linalg.eigvalsh(gram).clamp(min=0))


@torch.no_grad()
def rankme(features: Tensor) -> Tensor:
    """RankMe of `features` (rows, dim): exp of the entropy of normalised singular values.

    This is the measure of Garrido et al. (2023). The features are taken as they are, without centring. The
    result does not change with a rotation or a common scale. Garrido et al. add 1e-7 to each normalised value
    to guard the logarithm; here 0 ln 0 = 0 instead, so that the values keep their sum of one.

    Returns:
        Scalar float64 tensor in [1, min(rows, dim)]; 0 if every feature is zero.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not 2-D, fewer than 2 rows, NaN or infinity.

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
