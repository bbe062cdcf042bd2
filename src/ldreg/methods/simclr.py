"""SimCLR (Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations").

SimCLR-Tuned (Garrido et al. 2023, "On the duality between contrastive and non-contrastive self-supervised
learning") is the same with other settings: a wider projector, BYOL's augmentations, another temperature.
"""

import torch
from lightly.loss import NTXentLoss
from torch import Tensor

from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import Outputs, SelfSupervisedMethod, Targets
from ldreg.models.networks import build_encoder, build_head
from ldreg.runtime.distributed import world_size


class SimCLR(SelfSupervisedMethod):
    """Encoder, projector and the normalised temperature-scaled cross entropy over both views.

    The regulariser acts on the encoder's outputs of both views, 2 x batch rows (LDReg paper, section 4).
    """

    def __init__(self, spec: RunSpec, channels: int) -> None:
        super().__init__()
        self.encoder, dim = build_encoder(spec, channels)
        self.projector = build_head(dim, spec.projector, end="scaled_norm")
        # Negatives from all ranks, with gradients that reach the rank they came from.
        self.criterion = NTXentLoss(spec.temperature, gather_distributed=world_size() > 1)

    def forward(self, *views: Tensor) -> Outputs:
        # One pass per view, so that batch norm takes its statistics per view, as the authors do.
        representations = [self.encoder(view) for view in views]
        return Outputs(representations, [self.projector(rows).float() for rows in representations])

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        # Cosines divided by a small temperature: float32, also under autocast.
        with torch.autocast(outputs.embeddings[0].device.type, enabled=False):
            return self.criterion(*outputs.embeddings)
