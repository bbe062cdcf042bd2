import pytest
import torch

from ldreg.methods import build_method
from ldreg.methods.base import Outputs, Targets


def variance(rows):
    """Equation 1, with equation 2's deviations: mean over features of max(0, 1 - sqrt(var + 1e-4))."""
    total = 0.0
    for feature in rows.T:
        unbiased = ((feature - feature.sum() / len(rows)) ** 2).sum() / (len(rows) - 1)
        total += max(0 * unbiased, 1 - (unbiased + 1e-4) ** 0.5)
    return total / rows.shape[1]


def covariance(rows):
    """Equations 3 and 4: sum of the squared off-diagonal covariances, by the number of features."""
    n, width = rows.shape
    centered = [feature - feature.sum() / n for feature in rows.T]
    total = 0.0
    for i in range(width):
        for j in range(width):
            if i != j:
                total += ((centered[i] * centered[j]).sum() / (n - 1)) ** 2
    return total / width


def vicreg(first, second, invariance_weight, variance_weight, covariance_weight):
    """Equation 6 with the scale of its authors' code: the squared distances of equation 5 are a mean over
    features too, and the variance terms of both views are averaged."""
    invariance = sum(((a - b) ** 2).sum() for a, b in zip(first, second, strict=True)) / first.numel()
    return (
        invariance_weight * invariance
        + variance_weight * (variance(first) + variance(second)) / 2
        + covariance_weight * (covariance(first) + covariance(second))
    )


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (25.0, 0.0, 0.0), (0.0, 25.0, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("batch", [3, 32])
def test_loss_is_vicregs(tiny_spec, assert_equivalent, batch, weights):
    names = ("invariance_weight", "variance_weight", "covariance_weight")
    method = build_method(tiny_spec(method="vicreg", **dict(zip(names, weights, strict=True))), channels=1)
    generator = torch.Generator().manual_seed(batch)
    scales = torch.tensor([0.2, 0.5, 3.0, 0.9])  # deviations on both sides of the hinge, at 1
    assert_equivalent(
        lambda *views: method.loss(Outputs((), views), Targets()),
        lambda *views: vicreg(*views, *weights),
        [5 + scales * torch.randn(batch, 4, generator=generator) for _ in range(2)],
    )
