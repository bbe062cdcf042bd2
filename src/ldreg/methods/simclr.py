"""SimCLR (Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations").

SimCLR-Tuned (Garrido et al. 2023, "On the duality between contrastive and non-contrastive self-supervised
learning") is the same method with other settings: a wider projector, BYOL's augmentations and another
temperature.
"""

import torch
from lightly.loss import NTXentLoss
from torch import Tensor, nn

from ldreg.catalogue.backbones import BACKBONES
from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import Outputs, SelfSupervisedMethod, Targets
from ldreg.models.networks import build_encoder, build_head
from ldreg.runtime.distributed import world_size

HEAD_STD = 0.01  # of the first weights of the projector behind a convolutional network


class SimCLR(SelfSupervisedMethod):
    """SimCLR: encoder, projector and the normalised temperature-scaled cross entropy over both views.

    The regulariser acts on the encoder's outputs of both views, 2 x batch rows (LDReg paper, section 4).
    """

    def __init__(self, spec: RunSpec, channels: int) -> None:
        super().__init__()
        self.encoder, dim = build_encoder(spec, channels)
        self.projector = build_head(dim, spec.projector, end="scaled_norm")
        _start_as_the_authors(self.projector, vision_transformer=BACKBONES[spec.backbone].patch is not None)
        # Negatives come from all ranks, and gradients return to the rank of each negative.
        self.criterion = NTXentLoss(spec.temperature, gather_distributed=world_size() > 1)

    def forward(self, *views: Tensor) -> Outputs:
        # One pass per view, so that batch norm computes statistics per view, as in the authors' code.
        representations = [self.encoder(view) for view in views]
        return Outputs(representations, [self.projector(rows).float() for rows in representations])

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        # In float32 also under autocast, because cosines are divided by a small temperature.
        with torch.autocast(outputs.embeddings[0].device.type, enabled=False):
            return self.criterion(*outputs.embeddings)


def _start_as_the_authors(projector: nn.Module, vision_transformer: bool) -> None:
    """Draw the first weights of SimCLR's projector as the LDReg authors' code does.

    The heads of its other methods start as torch's linear layers do.
    """
    for layer in projector.modules():
        if isinstance(layer, nn.Linear) and vision_transformer:
            nn.init.xavier_uniform_(layer.weight)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=HEAD_STD)
