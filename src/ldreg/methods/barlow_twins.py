"""Barlow Twins (Zbontar et al. 2021, "Self-Supervised Learning via Redundancy Reduction")."""

import torch
from torch import Tensor

from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import Outputs, SelfSupervisedMethod, Targets
from ldreg.models.networks import build_encoder, build_head
from ldreg.runtime.distributed import sum_over_ranks, world_size

NORM_EPS = 1e-5  # added to the variances, as by the batch norm in the authors' code


class BarlowTwins(SelfSupervisedMethod):
    """Barlow Twins: the cross-correlation matrix of the embeddings of two views should be the identity.

    The regulariser acts on the encoder's outputs of both views, 2 x batch rows. The loss is implemented here,
    because lightly's computes means and variances per rank.
    """

    def __init__(self, spec: RunSpec, channels: int) -> None:
        super().__init__()
        self.encoder, dim = build_encoder(spec, channels)
        self.projector = build_head(dim, spec.projector, end="linear")
        self.redundancy_weight = spec.redundancy_weight

    def forward(self, *views: Tensor) -> Outputs:
        representations = [self.encoder(view) for view in views]
        return Outputs(representations, [self.projector(rows).float() for rows in representations])

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        with torch.autocast(outputs.embeddings[0].device.type, enabled=False):
            return barlow_twins_loss(*outputs.embeddings, self.redundancy_weight)


def barlow_twins_loss(first: Tensor, second: Tensor, redundancy_weight: float) -> Tensor:
    """sum_i (1 - C_ii)^2 + redundancy_weight sum_{i != j} C_ij^2 (Barlow Twins, equations 1 and 2).

    C (width, width) is the correlation between the features of `first` and of `second`, each (n, width) on
    each process, over the images of all processes.

    Returns:
        The loss, a scalar, which is the same in all processes.
    """
    rows = len(first) * world_size()
    # Every process computes the whole matrix; gradients flow through the sums over processes.
    correlation = sum_over_ranks(_standardized(first, rows).T @ _standardized(second, rows)) / rows
    squares = correlation.square()
    diagonal = correlation.diagonal()
    off_diagonal = squares.sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + redundancy_weight * off_diagonal


def _standardized(embeddings: Tensor, rows: int) -> Tensor:
    """Standardise features to mean 0 and variance 1 over the `rows` rows of all processes."""
    centered = embeddings - sum_over_ranks(embeddings.sum(dim=0)) / rows
    variance = sum_over_ranks(centered.square().sum(dim=0)) / rows
    return centered / (variance + NORM_EPS).sqrt()
