"""Layers for points in the plane (figures 1 and 3), their training and losses, and mLID at several k.

Every training step draws new points, so a layer learns a map and not the positions of single points. It is
measured on points that were not used in training.
"""

import math
from collections.abc import Callable, Sequence

import torch
from scipy.spatial import KDTree
from torch import Generator, Tensor, nn

from ldreg.lid import fisher_rao_distance, geometric_mean, mom_from_distances
from ldreg.neighbors import neighbor_distances

Loss = Callable[[Tensor], Tensor]


class DiagonalLayer(nn.Module):
    """A linear layer in the plane, x -> x diag(exp a), with the initial scales 1 and `height`.

    Up to rotations, which preserve distances, every invertible linear map has this form. The exponents are
    the parameters, because relevant heights span four orders of magnitude. A step then multiplies each scale
    by a factor.
    """

    def __init__(self, height: float) -> None:
        super().__init__()
        self.exponents = nn.Parameter(torch.tensor([0.0, math.log(height)]))

    def forward(self, points: Tensor) -> Tensor:
        """Map points (n, 2) to points (n, 2)."""
        return points * self.exponents.exp()

    def height(self) -> float:
        """Height of the image of a square, relative to its width."""
        return float((self.exponents[1] - self.exponents[0]).detach().exp())


class FourierLayer(nn.Module):
    """A linear layer from random Fourier features (Rahimi & Recht 2007) to the plane.

    The features are the coordinates and sqrt(2 / width) cos(w . x + b) with w ~ N(0, frequency^2) and
    b ~ U(0, 2 pi). The inner product of the cosine features approximates a Gaussian kernel with standard
    deviation 1 / frequency. The initial layer returns the coordinates unchanged.
    """

    def __init__(self, generator: Generator, width: int, frequency: float) -> None:
        super().__init__()
        self.directions = frequency * torch.randn(2, width, generator=generator)
        self.phases = 2 * math.pi * torch.rand(width, generator=generator)
        self.weight = nn.Parameter(torch.eye(2 + width, 2))

    def features(self, points: Tensor) -> Tensor:
        """Compute the features (n, 2 + width) of points (n, 2)."""
        waves = (points @ self.directions + self.phases).cos()
        return torch.cat([points, math.sqrt(2 / self.phases.numel()) * waves], dim=1)

    def forward(self, points: Tensor) -> Tensor:
        """Map points (n, 2) to points (n, 2)."""
        return self.features(points) @ self.weight


def train_layer(
    layer: nn.Module, draw: Callable[[], Tensor], loss: Loss, steps: int, rate: float
) -> list[float]:
    """Train a layer in place by Adam, with new points in each step and a cosine schedule to zero.

    Args:
        layer: the layer, which maps points (n, 2) to points (n, 2).
        draw: draws the points of a step, (n, 2).
        loss: the loss of the mapped points, a scalar.
        steps: number of steps.
        rate: initial learning rate.

    Returns:
        The loss in each step, before its update.
    """
    optimizer = torch.optim.Adam(layer.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        value = loss(layer(draw()))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    return losses


def mlid_to_target_loss(target: float, k: int) -> Loss:
    """Return the loss |ln(mLID / target)| = |mean_i ln(LID_i / target)|, with bars around the mean."""
    return lambda points: fisher_rao_distance(geometric_mean(lid_with_all_gradients(points, k)), target)


def lid_to_target_loss(target: float, k: int) -> Loss:
    """Return the loss mean_i |ln(LID_i / target)|, with bars around each sample as in `TargetLID`."""
    return lambda points: fisher_rao_distance(lid_with_all_gradients(points, k), target).mean()


def lid_with_all_gradients(points: Tensor, k: int) -> Tensor:
    """LID (n,) of points (n, 2) as by `ldreg.lid.lid_mom`, with gradients through both ends of each distance.

    In the rest of this project gradients flow only through the query, as in the authors' code. That does not
    work for the two parameters of `DiagonalLayer`, which all points share. The gradient of a point would then
    be proportional to its distance from the origin, which is about a hundred times that from its neighbours,
    and the sum over all points would be dominated by noise.
    """
    positions = points.detach().double().numpy()
    found = KDTree(positions).query(positions, k + 1)[1]
    neighbors = torch.from_numpy(found[:, 1:])  # the first is the point itself
    differences = points[:, None] - points[neighbors]
    return mom_from_distances(torch.linalg.vector_norm(differences, dim=2).sort(dim=1).values)


def mlid_over_k(points: Tensor, ks: Sequence[int]) -> list[float]:
    """mLID of points (n, 2) by the method of moments at each k, from one neighbour search."""
    distances = neighbor_distances(points, None, max(ks))
    return [float(geometric_mean(mom_from_distances(distances[:, :k]))) for k in ks]
