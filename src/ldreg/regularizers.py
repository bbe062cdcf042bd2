"""Regularisers of representations, to be added to any self-supervised loss.

    loss = ssl_loss + LDReg(beta=0.01, k=64)(representations)

`LDReg` raises the local intrinsic dimensionality (LID) of every sample, `MinLID` lowers it and `TargetLID`
sets it; the LIDs are estimated by the method of moments. `Covariance` and `CovarianceVariance` act on global
dimension and are what LDReg is compared with.

All are stateless modules that are called alike, so that a training loop need not know which one it has:

    regularizer(representations, reference=None, query_index=None, gather=None)

- `representations`: (n, dim), of floating point. The encoder's output, before any projector. Only they
  receive a gradient.
- `reference`: (rows, dim), detached, among which neighbours are sought. None means the representations, each
  without itself. The covariances ignore it and use the representations alone.
- `query_index`: (n,), integers. Each representation's own row of `reference`, which is left out.
- `gather`: None in one process. In a distributed run, a function that joins a tensor's rows from all
  processes in the order of their ranks, and whose backward pass sums the incoming gradients of all processes,
  each part for its own process. Each process then seeks neighbours for its own rows alone, and the value is
  that of the whole batch in every process. Once the gradients of the weights are averaged over the processes,
  as DistributedDataParallel does, they are those of the whole batch too. The function receives ln LID (n,),
  or for the covariances the representations.

The result is a scalar to add to the loss: float32, also under autocast, from half precision and where TF32 is
allowed; float64 if an input is float64.
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

# VICReg's gamma, the standard deviation that is asked of each feature, and the epsilon under its square root.
STD_TARGET = 1.0
VARIANCE_OFFSET = 1e-4


class _Regularizer(nn.Module):
    """A weight `beta`, by which the forms below multiply their term."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be a finite number of at least 0, got {beta!r}")
        self.beta = beta

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class _LIDRegularizer(_Regularizer):
    """Computes ln LID_i of the whole batch's samples, which the `term` of each form reduces to a scalar."""

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
        """(n,) to a scalar."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, k={self.k}"


class LDReg(_LIDRegularizer):
    """Local Dimensionality Regularisation (LDReg, ICLR 2024, equation 3): raises every sample's LID.

    The asymptotic Fisher-Rao distance of a sample's distance distribution from a one-dimensional uniform one
    is |ln LID_i|. Its mean over the samples enters the loss with a minus sign:

    - `form="l1"`: -beta * mean_i ln LID_i (equation 3 left) = -beta * ln mLID;
    - `form="l2"`: -beta * sqrt(mean_i (ln LID_i)^2) (equation 3 right);
    - `form="per_sample"`: -beta * mean_i |ln LID_i|, the pseudocode's and public code's "L2", which takes
      sqrt((ln LID_i)^2) per sample (and the public code's L1): equal to L1 where every LID is at least 1.

    L2 and the per-sample form assume LID >= 1, as the paper does: they reward a LID below 1 too, for its
    distance from 1, and push it further down, where L1 always pushes up.

    Call as described at the top of this module. Value and gradients are finite also for duplicates and for
    collapsed batches; there the gradient is zero.

    Args:
        beta: weight, finite and at least 0 (0.01 for SimCLR, 0.005 for BYOL, 5e-6 for MAE in the paper).
        k: neighbours per sample, an integer of at least 2 (64 in the paper). Lowered, with a warning, in
            batches that hold too few: see `ldreg.lid.lid_mom`.
        form: "l1", "l2" or "per_sample".

    Raises:
        ValueError: beta, k or form not as above. A call raises what `ldreg.lid.lid_mom` does: on NaN or
            infinity, fewer than 4 rows, and so on.

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
    """Min LID, beta * mean_i ln LID_i: drives every LID down, to show local collapse (LDReg appendix G.2).

    The opposite of `LDReg(beta, k, form="l1")`, with the same arguments, gradients and errors. The paper
    shows beta 0.01, 0.1, 1 and 10.

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

    The mean asymptotic Fisher-Rao distance from a distribution whose LID is the target. The bars are missing
    in print; without them there is no minimum at the target. Call, gradients and errors are those of `LDReg`.

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

    C (dim, dim) is the representations' covariance over the batch, with n - 1 below (LDReg table 16, "Cov").
    Call as described at the top of this module; `reference` and `query_index` change nothing.

    Args:
        beta: weight, finite and at least 0 (0.01 and 0.1 in the paper).

    Raises:
        ValueError: beta not as above. A call raises it on NaN, infinity or values whose squared distance
            overflows, another shape than (n, dim), and fewer than 2 rows; and TypeError if the
            representations are not of floating point.

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
        # Gathered before they are checked, so that a bad row is an error in all processes and none waits.
        rows = representations if gather is None else gather(representations)
        rows = checked_features(rows, "representations")
        return self.beta * self.term(_covariance(rows)).to(rows.dtype)

    def term(self, covariance: Tensor) -> Tensor:
        """(dim, dim) to a scalar."""
        off_diagonal = covariance - covariance.diagonal().diag()
        return off_diagonal.square().sum() / len(covariance)


class CovarianceVariance(Covariance):
    """VICReg's covariance and variance terms, beta * (Cov + Var) (LDReg table 16, "Cov+Var").

    Cov is `Covariance`'s; Var = 1/dim * sum_j max(0, 1 - sqrt(C_jj + 1e-4)) asks of every feature a standard
    deviation of at least 1. Arguments and errors are those of `Covariance`. The gradient is finite, and zero,
    for a collapsed batch.

    Examples:
        >>> CovarianceVariance(beta=1.0)(torch.zeros(8, 3))  # 1 - sqrt(1e-4)
        tensor(0.9900)
    """

    def term(self, covariance: Tensor) -> Tensor:
        deviations = (covariance.diagonal() + VARIANCE_OFFSET).sqrt()
        return super().term(covariance) + (STD_TARGET - deviations).clamp(min=0).mean()


def _covariance(rows: Tensor) -> Tensor:
    """(n, dim) to the unbiased covariance (dim, dim) of the columns, in float64 where the device has it."""
    if len(rows) < 2:
        raise ValueError(f"a covariance needs at least 2 rows, got {len(rows)}")
    # Neither TF32 nor autocast lowers a product of float64 or its gradient. Apple's GPUs have no float64 (and
    # no TF32): theirs is of float32, for which autocast must be off.
    rows = rows if rows.device.type == "mps" else rows.double()
    centered = rows - rows.mean(dim=0)
    with torch.autocast(rows.device.type, enabled=False):
        return centered.T @ centered / (len(rows) - 1)
