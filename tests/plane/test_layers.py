"""The layers of figures 1 and 3, their losses and gradients."""

import math

import pytest
import torch

from ldreg.lid import geometric_mean, lid_mom
from ldreg.plane.layers import (
    DiagonalLayer,
    FourierLayer,
    lid_to_target_loss,
    lid_with_all_gradients,
    mlid_over_k,
    mlid_to_target_loss,
    train_layer,
)
from ldreg.regularizers import LDReg, TargetLID


def square(n=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 2, generator=generator) - 0.5, generator


def mlid(points, k=16) -> float:
    return float(geometric_mean(lid_mom(points, k=k)))


def test_features_are_the_coordinates_and_a_gaussian_kernel() -> None:
    points, generator = square(50)
    features = FourierLayer(generator, width=40000, frequency=5.0).features(points)
    assert features.shape == (50, 40002) and torch.equal(features[:, :2], points)
    waves = features[:, 2:]
    expected = torch.exp(-0.5 * (5.0 * torch.cdist(points, points)) ** 2)
    assert torch.allclose(waves @ waves.T, expected, atol=0.03)


def test_layers_start_as_the_points_and_as_a_flat_rectangle() -> None:
    points, generator = square(50)
    assert torch.allclose(FourierLayer(generator, 64, 10.0)(points), points)
    scales = DiagonalLayer(0.05)
    assert torch.allclose(scales(points), points * torch.tensor([1.0, 0.05]))
    assert scales.height() == pytest.approx(0.05)


def test_ldreg_raises_mlid_on_points_that_the_layer_has_not_seen() -> None:
    _, generator = square()

    def draw():
        return torch.rand(400, 2, generator=generator) * torch.tensor([1.0, 0.02])

    layer = FourierLayer(generator, width=256, frequency=60.0)
    losses = train_layer(layer, draw, LDReg(beta=1.0, k=16), steps=20, rate=0.02)
    unseen = draw()
    assert len(losses) == 20 and mlid(layer(unseen).detach()) > mlid(unseen) + 0.2


@pytest.mark.parametrize("target", [1.2, 1.6])
def test_a_rectangle_reaches_its_target_on_points_that_it_has_not_seen(target) -> None:
    points, generator = square(500)
    layer = DiagonalLayer(0.05)
    train_layer(
        layer, lambda: torch.rand(500, 2, generator=generator), mlid_to_target_loss(target, 16), 60, rate=0.1
    )
    assert mlid(layer(points).detach()) == pytest.approx(target, abs=0.1)


def test_every_step_draws_anew() -> None:
    drawn = []

    def draw():
        drawn.append(square(100, seed=len(drawn))[0])
        return drawn[-1]

    losses = train_layer(DiagonalLayer(0.05), draw, mlid_to_target_loss(1.5, 16), steps=3, rate=0.0)
    assert len(drawn) == 3 and losses[0] == pytest.approx(
        abs(math.log(mlid(drawn[0] * SCALE) / 1.5)), abs=1e-4
    )


def test_the_forms_of_the_loss_are_the_distances_they_are_named_for() -> None:
    points, _ = square()
    lid = lid_mom(points, k=16)
    assert mlid_to_target_loss(1.3, 16)(points) == pytest.approx(abs(lid.log().mean().item() - math.log(1.3)))
    inner = lid_to_target_loss(1.9, 16)(points)
    assert inner == pytest.approx(TargetLID(1.0, 16, 1.9)(points).item(), rel=1e-5)
    assert inner > 2 * mlid_to_target_loss(1.9, 16)(points)


def test_lid_of_pairs_is_lid_mom_s_with_the_gradient_of_both_ends() -> None:
    points, _ = square(300)
    points = points.double().requires_grad_()
    lid = lid_with_all_gradients(points, 16)
    assert torch.allclose(lid, lid_mom(points, k=16))
    (gradient,) = torch.autograd.grad(lid.log().mean(), points)
    assert torch.allclose(gradient.sum(dim=0), torch.zeros(2).double(), atol=1e-9)  # a shift changes nothing
    assert torch.allclose((gradient * points).sum(), torch.zeros(()).double(), atol=1e-9)  # nor does a factor
    step = 1e-7 * torch.randn(300, 2, generator=torch.Generator().manual_seed(1)).double()
    change = (
        lid_with_all_gradients(points + step, 16).log().mean()
        - lid_with_all_gradients(points - step, 16).log().mean()
    )
    assert change.item() == pytest.approx(2 * (gradient * step).sum().item(), rel=1e-3)


def test_mlid_over_k_is_mlid_at_each_k() -> None:
    points, _ = square()
    assert mlid_over_k(points, (5, 16, 40)) == pytest.approx([mlid(points, k) for k in (5, 16, 40)], rel=1e-5)


SCALE = torch.tensor([1.0, 0.05])
