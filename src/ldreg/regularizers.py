"""Regularisers of local dimensionality, to be added to any self-supervised loss.

    loss = ssl_loss + LDReg(beta=0.01, k=64)(representations)

All are stateless modules which take the encoder's representations (n, dim), before any projector, and return
a scalar. LIDs are estimated by the method of moments in float32, also under autocast and from half precision,
never with TF32 (float64 stays float64). Only the representations get a gradient, never the reference.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ldreg.lid import lid_mom
from ldreg.neighbors import checked_k

Form = Literal["l1", "l2", "per_sample"]


class _LIDRegularizer(nn.Module):
    """A weight `beta` and the logarithms of the LIDs, which the forms below average."""

    def __init__(self, beta: float, k: int) -> None:
        super().__init__()
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be a finite number of at least 0, got {beta!r}")
        self.beta = beta
        self.k = checked_k(k)

    def log_lid(
        self, representations: Tensor, reference: Tensor | None, query_index: Tensor | None
    ) -> Tensor:
        return lid_mom(representations, reference, self.k, query_index).log()

    def extra_repr(self) -> str:
        return f"beta={self.beta}, k={self.k}"


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

    Args:
        beta: weight, finite and at least 0 (0.01 for SimCLR, 0.005 for BYOL, 5e-6 for MAE in the paper).
        k: neighbours per sample, an integer of at least 2 (64 in the paper). Lowered, with a warning, in
            batches that hold too few: see `ldreg.lid.lid_mom`.
        form: "l1", "l2" or "per_sample".

    Call with:
        representations: (n, dim), the query rows, which receive the gradient.
        reference: (rows, dim), detached, among which neighbours are sought; None means the representations,
            each without itself.
        query_index: (n,), each query's own row of `reference`, left out by its index (for gathered batches).

    Returns:
        Scalar to add to the loss. Value and gradients are finite also for duplicates and for collapsed
        batches; there the gradient is zero.

    Raises:
        ValueError: beta, k or form not as above. A call raises what `ldreg.lid.lid_mom` does: on NaN or
            infinity, fewer than 4 rows, and so on.

    Example:
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

    def forward(
        self, representations: Tensor, reference: Tensor | None = None, query_index: Tensor | None = None
    ) -> Tensor:
        log_lid = self.log_lid(representations, reference, query_index)
        if self.form == "l1":
            return -self.beta * log_lid.mean()
        if self.form == "l2":
            # A norm instead of sqrt(mean of squares): its gradient is zero, not NaN, where every LID is 1.
            return -self.beta * torch.linalg.vector_norm(log_lid) / math.sqrt(len(log_lid))
        return -self.beta * log_lid.abs().mean()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, form={self.form}"


class MinLID(_LIDRegularizer):
    """Min LID, beta * mean_i ln LID_i: drives every LID down, to show local collapse (LDReg appendix G.2).

    The opposite of `LDReg(beta, k, form="l1")`, with the same arguments, gradients and errors. The paper
    shows beta 0.01, 0.1, 1 and 10.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> representations = torch.randn(128, 16)
        >>> MinLID(beta=0.1)(representations) == -LDReg(beta=0.1)(representations)
        tensor(True)
    """

    def __init__(self, beta: float = 0.01, k: int = 64) -> None:
        super().__init__(beta, k)

    def forward(
        self, representations: Tensor, reference: Tensor | None = None, query_index: Tensor | None = None
    ) -> Tensor:
        return self.beta * self.log_lid(representations, reference, query_index).mean()


def build_regularizer(name: str, beta: float | None, k: int | None) -> nn.Module | None:
    """The regulariser that a run's `regularizer` setting names; None for "none".

    Raises:
        KeyError: an unknown name.

    Example:
        >>> build_regularizer("ldreg_l2", beta=0.1, k=16)
        LDReg(beta=0.1, k=16, form=l2)
    """
    forms = {
        "none": lambda: None,
        "ldreg_l1": lambda: LDReg(beta, k, "l1"),
        "ldreg_l2": lambda: LDReg(beta, k, "l2"),
        "ldreg_per_sample": lambda: LDReg(beta, k, "per_sample"),
        "min_lid": lambda: MinLID(beta, k),
    }
    return forms[name]()
