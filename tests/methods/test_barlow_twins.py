import pytest
import torch

from ldreg.methods import build_method
from ldreg.methods.base import Outputs, Targets


def barlow_twins(first, second, redundancy_weight):
    """Equations 1 and 2 in plain loops; 1e-5 beside the biased variances, as in the authors' batch norm."""
    n, width = first.shape
    standardized = []
    for rows in (first, second):
        centered = [feature - feature.sum() / n for feature in rows.T]
        standardized.append([c / ((c**2).sum() / n + 1e-5) ** 0.5 for c in centered])
    total = 0.0
    for i in range(width):
        for j in range(width):
            correlation = (standardized[0][i] * standardized[1][j]).sum() / n
            total += (1 - correlation) ** 2 if i == j else redundancy_weight * correlation**2
    return total


@pytest.mark.parametrize("redundancy_weight", [0.0, 0.005, 1.0])
@pytest.mark.parametrize("batch", [3, 32])
def test_loss_is_barlow_twins(tiny_spec, assert_equivalent, batch, redundancy_weight):
    method = build_method(tiny_spec(method="barlow_twins", redundancy_weight=redundancy_weight), channels=1)
    generator = torch.Generator().manual_seed(batch)
    scales = torch.tensor([0.01, 0.5, 3.0, 1.0])  # the smallest feels the 1e-5
    assert_equivalent(
        lambda *views: method.loss(Outputs((), views), Targets()),
        lambda *views: barlow_twins(*views, redundancy_weight),
        [5 + scales * torch.randn(batch, 4, generator=generator) for _ in range(2)],
    )


def test_a_constant_feature_has_a_finite_gradient(tiny_spec):
    method = build_method(tiny_spec(method="barlow_twins"), channels=1)
    views = [torch.zeros(8, 4).requires_grad_() for _ in range(2)]
    loss = method.loss(Outputs((), views), Targets())
    assert loss.item() == 4  # nothing correlates
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, views))
