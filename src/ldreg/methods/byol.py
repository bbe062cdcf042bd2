"""BYOL (Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning")."""

from torch import Tensor
from torch.nn import functional as F

from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import MomentumMethod, Outputs, Targets
from ldreg.models.networks import build_encoder, build_head


class BYOL(MomentumMethod):
    """BYOL: the online networks predict the momentum networks' embeddings of the other view.

    The regulariser acts on the online encoder's outputs of both views, 2 x batch rows. Neighbours are
    searched among these and the momentum encoder's outputs of both views, 4 x batch rows, as in LDReg's code.

    There are two deviations from LDReg's code. The momentum networks start as a copy of the online ones, as
    in BYOL's paper, and not from independent weights. Their batch norms compute statistics over all GPUs,
    too.
    """

    # The loss is the sum of one term per view (BYOL's equation 2 and its mirror image). As in LDReg's code,
    # the regulariser is also a sum over the views, which is twice the mean over all rows in the paper's text.
    loss_terms = 2
    neighbors_among_targets = True

    def __init__(self, spec: RunSpec, channels: int) -> None:
        encoder, dim = build_encoder(spec, channels)
        projector = build_head(dim, spec.projector, end="linear")
        predictor = build_head(spec.projector[-1], spec.predictor, end="linear")
        super().__init__(encoder, projector, predictor, spec.momentum)

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        first, second = outputs.predictions
        first_target, second_target = targets.embeddings
        return _distance(first, second_target) + _distance(second, first_target)


def _distance(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance of the rows on the unit sphere: 2 - 2 cosine (BYOL's equation 2)."""
    return 2 - 2 * F.cosine_similarity(predictions, targets).mean()
