"""VICReg (Bardes, Ponce & LeCun 2022, "Variance-Invariance-Covariance Regularization")."""

import torch
from lightly.loss import VICRegLoss
from torch import Tensor

from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import Outputs, SelfSupervisedMethod, Targets
from ldreg.models.networks import build_encoder, build_head
from ldreg.runtime.distributed import world_size


class VICReg(SelfSupervisedMethod):
    """VICReg: embeddings of two views should be equal, with features of unit variance and no correlation.

    The regulariser acts on the encoder's outputs of both views, 2 x batch rows. The loss follows the authors'
    code, for which the usual weights 25, 25 and 1 were chosen, and not equations 5 and 6 of their paper: the
    invariance term is a mean over features, too, and the variance terms of the two views are averaged.
    """

    def __init__(self, spec: RunSpec, channels: int) -> None:
        super().__init__()
        self.encoder, dim = build_encoder(spec, channels)
        self.projector = build_head(dim, spec.projector, end="linear")
        # Variance and covariance are computed over the embeddings of all ranks.
        self.criterion = VICRegLoss(
            spec.invariance_weight,
            spec.variance_weight,
            spec.covariance_weight,
            gather_distributed=world_size() > 1,
        )

    def forward(self, *views: Tensor) -> Outputs:
        representations = [self.encoder(view) for view in views]
        return Outputs(representations, [self.projector(rows).float() for rows in representations])

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        with torch.autocast(outputs.embeddings[0].device.type, enabled=False):
            return self.criterion(*outputs.embeddings)
