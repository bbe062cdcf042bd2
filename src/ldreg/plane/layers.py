"""The layers that figures 1 and 3 train on points in the plane, their losses, and mLID over k.

Every step draws new points, so that what is learned is a map and not a placement of some points: it is
measured on points that no step has seen.
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
    """A linear layer of the plane, x -> x diag(exp a), that starts `thin` times as high as wide.

    Up to rotations, which change no distance, every invertible linear map is of this form. Exponents are
    learned because heights that matter span four orders of magnitude: a step then changes each by a factor.
    """

    def __init__(self, thin: float) -> None:
        super().__init__()
        self.exponents = nn.Parameter(torch.tensor([0.0, math.log(thin)]))

    def forward(self, points: Tensor) -> Tensor:
        """(n, 2) to (n, 2)."""
        return points * self.exponents.exp()

    def height(self) -> float:
        """Height of the image of a square in widths."""
        return float((self.exponents[1] - self.exponents[0]).detach().exp())


class FourierLayer(nn.Module):
    """A linear layer from random Fourier features (Rahimi & Recht 2007) to the plane.

    The features are the coordinates, then sqrt(2 / width) cos(w . x + b), w ~ N(0, frequency^2) and
    b ~ U(0, 2 pi), whose inner product approaches a Gaussian kernel of standard deviation 1 / frequency. The
    layer starts by passing the coordinates through.
    """

    def __init__(self, generator: Generator, width: int, frequency: float) -> None:
        super().__init__()
        self.directions = frequency * torch.randn(2, width, generator=generator)
        self.phases = 2 * math.pi * torch.rand(width, generator=generator)
        self.weight = nn.Parameter(torch.eye(2 + width, 2))

    def features(self, points: Tensor) -> Tensor:
        """(n, 2) to (n, 2 + width)."""
        waves = (points @ self.directions + self.phases).cos()
        return torch.cat([points, math.sqrt(2 / self.phases.numel()) * waves], dim=1)

    def forward(self, points: Tensor) -> Tensor:
        """(n, 2) to (n, 2)."""
        return self.features(points) @ self.weight


def train_layer(
    layer: nn.Module, draw: Callable[[], Tensor], loss: Loss, steps: int, rate: float
) -> list[float]:
    """Train a layer on one loss alone, in place: Adam, newly drawn points in each step, cosine decay to zero.

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
    """|ln(mLID / target)| = |mean_i ln(LID_i / target)|: target LID with bars around the mean."""
    return lambda points: fisher_rao_distance(geometric_mean(lid_with_all_gradients(points, k)), target)


def lid_to_target_loss(target: float, k: int) -> Loss:
    """mean_i |ln(LID_i / target)|: target LID with bars around each sample, as `TargetLID`."""
    return lambda points: fisher_rao_distance(lid_with_all_gradients(points, k), target).mean()


def lid_with_all_gradients(points: Tensor, k: int) -> Tensor:
    """`ldreg.lid.lid_mom` of (n, 2) points, (n,), with gradients through both ends of each distance.

    Elsewhere in this project they flow through the query alone, as in the authors' code. For two numbers
    shared by all points that is useless: each point then pulls by its distance from the origin, some hundred
    times that from its neighbours, and what remains of these pulls is noise around the gradient.
    """
    place = points.detach().double().numpy()
    neighbors = torch.from_numpy(KDTree(place).query(place, k + 1)[1][:, 1:])  # the first is the point itself
    differences = points[:, None] - points[neighbors]
    return mom_from_distances(torch.linalg.vector_norm(differences, dim=2).sort(dim=1).values)


def mlid_over_k(points: Tensor, ks: Sequence[int]) -> list[float]:
    """mLID of (n, 2) points by the method of moments at each k, from one search."""
    distances = neighbor_distances(points, None, max(ks))
    return [float(geometric_mean(mom_from_distances(distances[:, :k]))) for k in ks]
