"""SimCLR (Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations")."""

import torch
from lightly.loss import NTXentLoss
from torch import Tensor, nn

from ldreg.distributed import world_size
from ldreg.methods.step import Step
from ldreg.networks import build_backbone, build_projector
from ldreg.spec import RunSpec


class SimCLR(nn.Module):
    """Encoder, projector and the normalised temperature-scaled cross entropy over both views.

    The regulariser acts on the encoder's outputs of both views, 2 x batch rows (LDReg paper, section 4).
    """

    def __init__(self, spec: RunSpec, channels: int) -> None:
        super().__init__()
        self.encoder, dim = build_backbone(spec.backbone, channels)
        self.projector = build_projector(dim, spec.projector)
        # Negatives from all ranks, with gradients that reach the rank they came from.
        self.criterion = NTXentLoss(spec.temperature, gather_distributed=world_size() > 1)

    def forward(self, view1: Tensor, view2: Tensor) -> Step:
        """Views (batch, channels, size, size) to loss and representations (2 batch, dim)."""
        # One pass per view, so that batch norm takes its statistics per view, as the authors do.
        representations = [self.encoder(view) for view in (view1, view2)]
        embeddings = [self.projector(rows).float() for rows in representations]
        # Cosines divided by a small temperature: float32, also under autocast.
        with torch.autocast(view1.device.type, enabled=False):
            loss = self.criterion(*embeddings)
        return Step(loss, torch.cat(representations))
