"""Base classes of the methods: their interface to the training loop, and the momentum branch."""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Outputs(NamedTuple):
    """Outputs of the trained networks for n images; row i of every tensor belongs to image i."""

    representations: Sequence[Tensor]  # (n, dim) per view: outputs of the encoder
    embeddings: Sequence[Tensor]  # (n, width) per view: outputs of the projector
    predictions: Sequence[Tensor] = ()  # (n, width) per view: outputs of the predictor (BYOL, MoCo v3)
    losses: Sequence[Tensor] = ()  # (n,): loss of each image, if the forward pass computes it (MAE)


class Targets(NamedTuple):
    """Outputs of the momentum branch for the same images, without gradient; empty if there is none."""

    representations: Sequence[Tensor] = ()  # (n, dim) per view
    embeddings: Sequence[Tensor] = ()  # (n, width) per view


class SelfSupervisedMethod(nn.Module):
    """A self-supervised method.

    In every step the training loop calls `update`, then `forward` and `targets` on the views, and then `loss`
    on their outputs. The forward passes are separate from the loss, because they can run on micro-batches. A
    loss that contrasts or correlates images needs the whole batch at once.

    Attributes:
        encoder: the network that maps images to representations; training returns it.
        loss_terms: factor of the regulariser. It is 2 if the loss is a sum of two terms, each a mean over one
            view, and the authors add the regulariser to each of them; otherwise 1. Then beta has the same
            meaning as in the paper.
        neighbors_among_targets: whether the regulariser searches neighbours among the representations of the
            momentum branch, too.
    """

    encoder: nn.Module
    loss_terms = 1
    neighbors_among_targets = False

    def forward(self, *inputs: Tensor) -> Outputs:
        """Return the outputs of the trained networks for this process's views (n, channels, size, size)."""
        raise NotImplementedError

    def targets(self, *inputs: Tensor) -> Targets:
        """Return the outputs of the momentum branch for the same inputs, without gradient."""
        return Targets()

    def update(self, progress: float) -> None:
        """Update the momentum branch; `progress` in [0, 1) is the fraction of training that is done."""

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return the loss of the method without regulariser, a scalar.

        With several processes, the mean of their losses is the loss of the whole batch, and the mean of their
        gradients is its gradient.
        """
        raise NotImplementedError


class MomentumMethod(SelfSupervisedMethod):
    """A method that predicts the outputs of a moving average of encoder and projector (BYOL, MoCo v3).

    The momentum networks start as a copy of the trained ones. Their weights are an exponential moving average
    whose momentum rises from `momentum` to 1 along half a cosine. Their buffers are not averaged: their batch
    norms use the statistics of their own inputs, as in the authors' code.
    """

    def __init__(
        self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module, momentum: float
    ) -> None:
        super().__init__()
        self.encoder, self.projector, self.predictor = encoder, projector, predictor
        self.momentum_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum_projector = copy.deepcopy(projector).requires_grad_(False)
        self.momentum = momentum

    def forward(self, *views: Tensor) -> Outputs:
        # One pass per view, so that batch norm computes statistics per view, as in the authors' code.
        representations = [self.encoder(view) for view in views]
        embeddings = [self.projector(rows) for rows in representations]
        predictions = [self.predictor(rows).float() for rows in embeddings]
        return Outputs(representations, [rows.float() for rows in embeddings], predictions)

    @torch.no_grad()
    def targets(self, *views: Tensor) -> Targets:
        representations = [self.momentum_encoder(view) for view in views]
        return Targets(representations, [self.momentum_projector(rows).float() for rows in representations])

    @torch.no_grad()
    def update(self, progress: float) -> None:
        momentum = 1 - (1 - self.momentum) * (math.cos(math.pi * progress) + 1) / 2
        follow = get_ema_multi_avg_fn(momentum)
        follow(list(self.momentum_encoder.parameters()), list(self.encoder.parameters()), None)
        follow(list(self.momentum_projector.parameters()), list(self.projector.parameters()), None)
