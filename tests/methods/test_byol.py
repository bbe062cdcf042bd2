import pytest
import torch

from ldreg.methods import build_method
from ldreg.methods.base import Outputs, Targets


def byol(first, second, first_target, second_target):
    """BYOL's equation 2 for the first view's prediction plus its mirror image, in a plain loop."""
    total = 0.0
    for q, q_mirrored, z_mirrored, z in zip(first, second, first_target, second_target, strict=True):
        total += (q / q.norm() - z / z.norm()).square().sum()
        total += (q_mirrored / q_mirrored.norm() - z_mirrored / z_mirrored.norm()).square().sum()
    return total / len(first)


def rows(batch, count):
    generator = torch.Generator().manual_seed(batch)
    return [3 * torch.randn(batch, 5, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("batch", [1, 7, 32])
def test_loss_adds_both_views_distances_to_the_other_views_target(tiny_spec, assert_equivalent, batch):
    method = build_method(tiny_spec(method="byol"), channels=1)
    *predictions, first, second = rows(batch, 4)

    def loss(*views):
        targets = [target.to(views[0].dtype) for target in (first, second)]
        return method.loss(Outputs((), (), views), Targets((), targets))

    assert_equivalent(loss, lambda *views: byol(*views, first.double(), second.double()), predictions)


def test_loss_is_zero_for_right_predictions_and_eight_for_opposite_ones(tiny_spec):
    method = build_method(tiny_spec(method="byol"), channels=1)
    first, second = rows(8, 2)
    outputs = Outputs((), (), [2 * second, 3 * first])  # of any length
    assert float(method.loss(outputs, Targets((), [first, second]))) == pytest.approx(0, abs=1e-6)
    assert float(method.loss(outputs, Targets((), [-first, -second]))) == pytest.approx(8)
