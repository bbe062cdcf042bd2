"""MoCo v3 (Chen et al. 2021, "An Empirical Study of Training Self-Supervised Vision Transformers")."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ldreg.catalogue.backbones import WITH_PATCHES
from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import MomentumMethod, Outputs, Targets
from ldreg.models.networks import build_encoder, build_head
from ldreg.runtime.distributed import gather_rows, rank


class MoCo(MomentumMethod):
    """MoCo v3: predictions are contrasted with the momentum networks' embeddings of the other view.

    LDReg's text cites MoCo (2020), but its released configurations (learning rate, temperature 1, rising
    momentum, no queue) are those of MoCo v3, which is implemented here. The regulariser acts on the online
    encoder's outputs of both views, 2 x batch rows, as for SimCLR.
    """

    def __init__(self, spec: RunSpec, channels: int) -> None:
        encoder, dim = build_encoder(spec, channels)
        projector = build_head(dim, spec.projector, end="norm")
        # As in the authors' code, the predictor ends with a norm only if the backbone is a transformer.
        end = "norm" if spec.backbone in WITH_PATCHES else "linear"
        predictor = build_head(spec.projector[-1], spec.predictor, end)
        super().__init__(encoder, projector, predictor, spec.momentum)
        self.temperature = spec.temperature

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        first, second = outputs.predictions
        first_target, second_target = (gather_rows(rows) for rows in targets.embeddings)
        return self._contrast(first, second_target) + self._contrast(second, first_target)

    def _contrast(self, queries: Tensor, keys: Tensor) -> Tensor:
        """InfoNCE of this process's queries (n, width) with all processes' keys, times 2 temperature."""
        with torch.autocast(queries.device.type, enabled=False):
            cosines = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T
            own = rank() * len(queries) + torch.arange(len(queries), device=queries.device)
            return 2 * self.temperature * F.cross_entropy(cosines / self.temperature, own)
