"""LARS against a plain loop over its formula, in float64."""

import math

import pytest
import torch
from torch import Tensor, nn

from ldreg.training.lars import LARS

SHAPES = ((7, 5), (3, 4, 2, 2), (6,), (1, 1))


def plain_step(
    parameters: list[Tensor], gradients: list[Tensor], buffers: list[Tensor], group: dict[str, float | bool]
) -> None:
    """One tensor after the other, with the norms as square roots of sums."""
    for p, g, m in zip(parameters, gradients, buffers, strict=True):
        d = g + group["weight_decay"] * p
        norm_p, norm_d = math.sqrt((p * p).sum()), math.sqrt((d * d).sum())
        q = group["trust_coefficient"] * norm_p / norm_d if group["adapt"] and norm_p and norm_d else 1.0
        m.copy_(group["momentum"] * m + q * d)
        p.copy_(p - group["lr"] * m)


@pytest.mark.parametrize("decay", [0.0, 1e-2])
@pytest.mark.parametrize("adapt", [True, False])
def test_a_hundred_steps_equal_the_plain_loop(decay: float, adapt: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    ours = [nn.Parameter(draw(shape)) for shape in SHAPES]
    theirs = [parameter.detach().clone() for parameter in ours]
    buffers = [torch.zeros_like(parameter) for parameter in theirs]
    group = {"momentum": 0.9, "weight_decay": decay, "trust_coefficient": 0.01, "adapt": adapt}
    optimizer = LARS([{"params": ours, "adapt": adapt}], 0.1, 0.9, decay, 0.01)
    for step in range(100):
        gradients = [draw(shape) for shape in SHAPES]
        optimizer.param_groups[0]["lr"] = group["lr"] = 0.1 * (1 + math.cos(math.pi * step / 100))
        for parameter, gradient in zip(ours, gradients, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
        plain_step(theirs, gradients, buffers, group)
        assert all(torch.equal(p.grad, g) for p, g in zip(ours, gradients, strict=True))
    for parameter, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(parameter.data, expected, rtol=1e-12, atol=1e-14)


def test_it_adapts_without_weight_decay() -> None:
    weight = nn.Parameter(torch.full((2, 2), 2.0, dtype=torch.float64))
    weight.grad = torch.full((2, 2), 8.0, dtype=torch.float64)
    LARS([weight], lr=1.0, trust_coefficient=0.5, weight_decay=0.0).step()
    assert weight.data.unique().item() == pytest.approx(2 - 0.5 * 2)  # q d = 0.5 (4 / 16) 8


def test_the_norm_is_that_of_the_whole_update() -> None:
    # Weights and gradient point in opposite ways: |g + wd p| = 1, while |g| + wd |p| = 3.
    weight = nn.Parameter(torch.tensor([[2.0]], dtype=torch.float64))
    weight.grad = torch.tensor([[-2.0]], dtype=torch.float64)
    LARS([weight], lr=1.0, trust_coefficient=0.1, weight_decay=0.5).step()
    assert weight.item() == pytest.approx(2 + 0.1 * 2 / 1 * 1)


def test_zero_weights_and_zero_gradients_move_without_adaptation() -> None:
    zero, still = nn.Parameter(torch.zeros(3, 1)), nn.Parameter(torch.ones(2, 1))
    zero.grad, still.grad = torch.ones(3, 1), torch.zeros(2, 1)
    LARS([zero, still], lr=0.5).step()
    assert zero.data.flatten().tolist() == [-0.5] * 3 and still.data.flatten().tolist() == [1.0, 1.0]


def test_parameters_without_a_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    used.grad = torch.ones(2)
    optimizer = LARS([used, unused], lr=0.5)
    optimizer.step()
    assert unused.data.tolist() == [1.0, 1.0] and unused not in optimizer.state
    assert used.data.tolist() != [1.0, 1.0]


def test_a_copy_of_its_state_goes_on_alike() -> None:
    def trained(steps: int, restored: dict | None = None, start: Tensor | None = None) -> tuple:
        weight = nn.Parameter(torch.tensor([[1.0, 2.0]]) if start is None else start.clone())
        optimizer = LARS([weight], lr=0.1, trust_coefficient=0.5)
        if restored:
            optimizer.load_state_dict(restored)
        for _ in range(steps):
            weight.grad = weight.detach() * 3 + 1
            optimizer.step()
        return weight.data, optimizer.state_dict()

    half, state = trained(2)
    assert torch.equal(trained(2, state, half)[0], trained(4)[0])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lr": -1.0}, "lr must be at least 0, got -1.0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"trust_coefficient": 0.0}, "trust_coefficient must be above 0, got 0.0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
    ],
)
def test_settings_out_of_bounds_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LARS([nn.Parameter(torch.ones(1))], **{"lr": 0.1, **setting})
