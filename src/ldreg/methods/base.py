"""What all methods share: how the training loop uses them, and the momentum branch."""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Outputs(NamedTuple):
    """What the trained networks make of n images; every tensor has n rows, in the images' order."""

    representations: Sequence[Tensor]  # (n, dim) per view: the encoder's
    embeddings: Sequence[Tensor]  # (n, width) per view: the projector's
    predictions: Sequence[Tensor] = ()  # (n, width) per view: the predictor's (BYOL, MoCo v3)
    losses: Sequence[Tensor] = ()  # (n,): each image's own loss, where the networks end in it (MAE)


class Targets(NamedTuple):
    """What the momentum branch makes of the same images, without gradient; empty where there is none."""

    representations: Sequence[Tensor] = ()  # (n, dim) per view
    embeddings: Sequence[Tensor] = ()  # (n, width) per view


class SelfSupervisedMethod(nn.Module):
    """A self-supervised method.

    The training loop calls, on every step, `update`, then `forward` and `targets` on the views, then `loss`
    on what came out of them. The networks' passes stand apart from the loss, so that they can be taken in
    smaller parts than the loss: a loss that contrasts or correlates images needs its whole batch.

    Attributes:
        encoder: what is kept in the end; maps images to representations.
        loss_terms: how many terms, each a mean over one view, the method's loss is a sum of, where its
            authors count the regulariser as often; else 1. beta keeps its meaning relative to the loss.
        neighbors_among_targets: whether neighbours are sought among the momentum branch's rows too.
    """

    encoder: nn.Module
    loss_terms = 1
    neighbors_among_targets = False

    def forward(self, *inputs: Tensor) -> Outputs:
        """The trained networks' outputs for this process's views (n, channels, size, size)."""
        raise NotImplementedError

    def targets(self, *inputs: Tensor) -> Targets:
        """The momentum branch's outputs for the same inputs, without gradient."""
        return Targets()

    def update(self, progress: float) -> None:
        """Let the momentum branch follow; `progress` is the share of training that is done, in [0, 1)."""

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """The method's own loss, a scalar.

        With several processes its mean over them is the whole batch's loss, and gradients averaged over them
        are the whole batch's.
        """
        raise NotImplementedError


class MomentumMethod(SelfSupervisedMethod):
    """A method that predicts what a slowly following copy of encoder and projector makes (BYOL, MoCo v3).

    The copy starts equal to the trained networks. Its weights follow them as an exponential moving average
    whose momentum rises from `momentum` to 1 by half a cosine. Its buffers do not: the statistics of its
    batch norms are those of the batches that it sees itself, as in the authors' codes.
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
        # One pass per view, so that batch norm takes its statistics per view, as the authors do.
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
