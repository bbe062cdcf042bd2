"""Regularisers of representations, to be added to any self-supervised loss.

    loss = ssl_loss + LDReg(beta=0.01, k=64)(representations)

`LDReg` raises the local intrinsic dimensionality (LID) of every sample, `MinLID` lowers it and `TargetLID`
draws it to a target. They estimate LID by the method of moments. `Covariance` and `CovarianceVariance` act on
the global dimension; LDReg is compared with them.

All are stateless modules with one call signature, so a training loop need not know which one it uses:

    regularizer(representations, reference=None, query_index=None, gather=None)

- `representations`: (n, dim), floating point: the output of the encoder, before any projector. Only this
  argument receives a gradient.
- `reference`: (rows, dim), the points among which neighbours are searched; it is detached. None means the
  representations; each then ignores its own row. The covariance regularisers ignore this argument.
- `query_index`: (n,), integers: the row of `reference` that is the representation itself and is ignored.
- `gather`: None in one process. In a distributed run, a function that concatenates the rows of a tensor from
  all processes in rank order. Its backward pass must sum the gradients of all processes and return to each
  process the part for its own rows. It is applied to ln LID (n,), or by the covariance regularisers to the
  representations. Each process then searches neighbours only for its own rows, and the value in every process
  is that of the whole batch. DistributedDataParallel averages the gradients of the weights over processes;
  they then equal those of the whole batch, too.

The result is a scalar to add to the loss. It is float64 if an input is float64. Otherwise it is float32, also
for half-precision inputs, under autocast and where TF32 is allowed.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ldreg.lid import lid_mom
from ldreg.neighbors import checked_features, checked_k

Form = Literal["l1", "l2", "per_sample"]
Gather = Callable[[Tensor], Tensor]

# VICReg's gamma (the standard deviation that each feature should reach) and the epsilon in its square root.
STD_TARGET = 1.0
VARIANCE_OFFSET = 1e-4


class _Regularizer(nn.Module):
    """Base of all regularisers: holds the weight `beta`, which multiplies the term of each subclass."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be a finite number of at least 0, got {beta!r}")
        self.beta = beta

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class _LIDRegularizer(_Regularizer):
    """Computes ln LID_i of all samples in the batch; `term` of each subclass reduces them to a scalar."""

    def __init__(self, beta: float, k: int) -> None:
        super().__init__(beta)
        self.k = checked_k(k)

    def forward(
        self,
        representations: Tensor,
        reference: Tensor | None = None,
        query_index: Tensor | None = None,
        gather: Gather | None = None,
    ) -> Tensor:
        log_lid = lid_mom(representations, reference, self.k, query_index).log()
        return self.beta * self.term(log_lid if gather is None else gather(log_lid))

    def term(self, log_lid: Tensor) -> Tensor:
        """Reduce ln LID (n,) to a scalar."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, k={self.k}"


class LDReg(_LIDRegularizer):
    """Local Dimensionality Regularisation (LDReg, ICLR 2024, equation 3): raises every sample's LID.

    The asymptotic Fisher-Rao distance between the distance distribution at a sample and a one-dimensional
    uniform distribution is |ln LID_i|. Its mean over the samples enters the loss with a minus sign:

    - `form="l1"`: -beta * mean_i ln LID_i (equation 3 left) = -beta * ln mLID;
    - `form="l2"`: -beta * sqrt(mean_i (ln LID_i)^2) (equation 3 right);
    - `form="per_sample"`: -beta * mean_i |ln LID_i|. This is what the pseudocode and the public code call L2,
      which take sqrt((ln LID_i)^2) per sample. The L1 of the public code is the same. It equals "l1" if every
      LID is at least 1.

    Like the paper, "l2" and "per_sample" assume LID >= 1. They push a LID below 1 further down, because they
    reward its distance from 1. "l1" always pushes up.

    The call is described at the top of this module. Value and gradients are finite for duplicates and for
    collapsed batches, too; there the gradient is zero.

    Args:
        beta: weight, finite and at least 0 (0.01 for SimCLR, 0.005 for BYOL, 5e-6 for MAE in the paper).
        k: neighbours per sample, an integer of at least 2 (64 in the paper). In batches with too few rows it
            is lowered with a warning, see `ldreg.lid.lid_mom`.
        form: "l1", "l2" or "per_sample".

    Raises:
        ValueError: if beta, k or form is not as above. A call raises the errors of `ldreg.lid.lid_mom`, for
            example on NaN, on infinity or on fewer than 4 rows.

    Examples:
        >>> _ = torch.manual_seed(0)
        >>> encoder, images = torch.nn.Linear(8, 16), torch.randn(128, 8)
        >>> representations = encoder(images)
        >>> ssl_loss = representations.square().mean()  # stands for the loss of your method
        >>> loss = ssl_loss + LDReg(beta=0.01, k=64)(representations)
        >>> loss.backward()
        >>> LDReg(beta=0.1, k=16, form="l2")
        LDReg(beta=0.1, k=16, form=l2)
    """

    def __init__(self, beta: float = 0.01, k: int = 64, form: Form = "l1") -> None:
        super().__init__(beta, k)
        if form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {form!r}")
        self.form = form

    def term(self, log_lid: Tensor) -> Tensor:
        if self.form == "l1":
            return -log_lid.mean()
        if self.form == "l2":
            # A norm instead of sqrt(mean of squares): its gradient is zero, not NaN, where every LID is 1.
            norm: Tensor = torch.linalg.vector_norm(log_lid)
            return -norm / math.sqrt(len(log_lid))
        return -log_lid.abs().mean()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, form={self.form}"


class MinLID(_LIDRegularizer):
    """Min LID, beta * mean_i ln LID_i: lowers every LID, to show local collapse (LDReg appendix G.2).

    It is the negative of `LDReg(beta, k, form="l1")`. Gradients and errors are those of `LDReg`.

    Args:
        beta: weight, finite and at least 0 (0.01, 0.1, 1 and 10 in the paper).
        k: neighbours per sample, as in `LDReg`.

    Examples:
        >>> _ = torch.manual_seed(0)
        >>> representations = torch.randn(128, 16)
        >>> MinLID(beta=0.1)(representations) == -LDReg(beta=0.1)(representations)
        tensor(True)
    """

    def __init__(self, beta: float = 0.01, k: int = 64) -> None:
        super().__init__(beta, k)

    def term(self, log_lid: Tensor) -> Tensor:
        return log_lid.mean()


class TargetLID(_LIDRegularizer):
    """Target LID, beta * mean_i |ln(LID_i / target)|: draws every LID to a target (LDReg appendix A).

    This is the mean asymptotic Fisher-Rao distance from a distribution whose LID is the target. The paper
    prints the formula without the bars, but then it has no minimum at the target. Call, gradients and errors
    are those of `LDReg`.

    Args:
        beta: weight, finite and at least 0.
        k: neighbours per sample, as in `LDReg`.
        target: LID, finite and above 0 (1.0 to 2.0 in figure 3, for points in the plane).

    Examples:
        >>> line = torch.tensor([[0.0], [9.0], [50.0]])
        >>> TargetLID(beta=1.0, k=2, target=2.0)(torch.tensor([[4.0]]), line)  # LID 4 / (5 - 4): ln(4 / 2)
        tensor(0.6931)
    """

    def __init__(self, beta: float, k: int, target: float) -> None:
        super().__init__(beta, k)
        if not 0 < target < math.inf:
            raise ValueError(f"target must be a finite number above 0, got {target!r}")
        self.target = target

    def term(self, log_lid: Tensor) -> Tensor:
        return (log_lid - math.log(self.target)).abs().mean()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, target={self.target}"


class Covariance(_Regularizer):
    """VICReg's covariance term (Bardes et al. 2022), beta / dim * sum_{i != j} C_ij^2: decorrelates features.

    C (dim, dim) is the unbiased covariance of the representations over the batch, divided by n - 1 (LDReg
    table 16, "Cov"). The call is described at the top of this module; `reference` and `query_index` have no
    effect.

    Args:
        beta: weight, finite and at least 0 (0.01 and 0.1 in the paper).

    Raises:
        ValueError: if beta is not as above. In a call, if the representations do not have shape (n, dim) with
            at least 2 rows, or hold NaN, infinity or values so large that squared distances overflow.
        TypeError: in a call, if the representations are not floating point.

    Examples:
        >>> Covariance(beta=0.1)(torch.tensor([[0.0, 0.0], [2.0, 4.0]]))  # C_12 = C_21 = 4
        tensor(1.6000)
    """

    def __init__(self, beta: float = 0.01) -> None:
        super().__init__(beta)

    def forward(
        self,
        representations: Tensor,
        reference: Tensor | None = None,
        query_index: Tensor | None = None,
        gather: Gather | None = None,
    ) -> Tensor:
        # Gather before checking, so that a bad row raises in all processes and none waits for the others.
        rows = representations if gather is None else gather(representations)
        rows = checked_features(rows, "representations")
        return self.beta * self.term(_covariance(rows)).to(rows.dtype)

    def term(self, covariance: Tensor) -> Tensor:
        """Reduce a covariance matrix (dim, dim) to a scalar."""
        off_diagonal = covariance - covariance.diagonal().diag()
        return off_diagonal.square().sum() / len(covariance)


class CovarianceVariance(Covariance):
    """VICReg's covariance and variance terms, beta * (Cov + Var) (LDReg table 16, "Cov+Var").

    Cov is the term of `Covariance`. Var = 1/dim * sum_j max(0, 1 - sqrt(C_jj + 1e-4)) penalises features with
    a standard deviation below 1. Arguments and errors are those of `Covariance`. For a collapsed batch the
    gradient is zero.

    Examples:
        >>> CovarianceVariance(beta=1.0)(torch.zeros(8, 3))  # 1 - sqrt(1e-4)
        tensor(0.9900)
    """

    def term(self, covariance: Tensor) -> Tensor:
        deviations = (covariance.diagonal() + VARIANCE_OFFSET).sqrt()
        return super().term(covariance) + (STD_TARGET - deviations).clamp(min=0).mean()


def _covariance(rows: Tensor) -> Tensor:
    """Unbiased covariance (dim, dim) of the columns of `rows` (n, dim), in float64 if the device has it."""
    if len(rows) < 2:
        raise ValueError(f"a covariance needs at least 2 rows, got {len(rows)}")
    # TF32 and autocast do not affect float64 products or their gradients. Apple's GPUs have neither float64
    # nor TF32; there the product is in float32, for which autocast must be off.
    rows = rows if rows.device.type == "mps" else rows.double()
    centered = rows - rows.mean(dim=0)
    with torch.autocast(rows.device.type, enabled=False):
        return centered.T @ centered / (len(rows) - 1)
