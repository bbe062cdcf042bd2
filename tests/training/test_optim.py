import math

import pytest
import torch
from torch import nn

from ldreg.methods import build_method
from ldreg.training.optim import build_optimizer, learning_rate, scaled_lr, set_learning_rate

RATES = (0.5, 0.25)  # of the two steps: the schedule changes the rate between steps
DECAY = 0.1


@pytest.mark.parametrize(
    ("scaling", "base_lr", "batch_size", "expected"),
    [
        ("sqrt", 0.075, 2048, 3.39411255),  # the paper's SimCLR
        ("linear", 0.5, 2048, 4.0),  # SimCLR-Tuned
        ("linear", 0.5, 256, 0.5),
        ("none", 0.003, 256, 0.003),
    ],
)
def test_learning_rate_grows_with_the_global_batch(tiny_spec, scaling, base_lr, batch_size, expected):
    spec = tiny_spec(lr_scaling=scaling, base_lr=base_lr, batch_size=batch_size)
    assert scaled_lr(spec) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0, 0.0),
        (0.5, 0.2),
        (1, 0.4),
        (2, 0.8),  # the warm-up's end: 0.1 x sqrt(64)
        (4, 0.8 * (1 + math.sqrt(0.5)) / 2),  # a quarter of the cosine
        (6, 0.4),
        (8, 0.8 * (1 - math.sqrt(0.5)) / 2),
        (10, 0.0),
    ],
)
def test_learning_rate_warms_up_and_falls_as_half_a_cosine(tiny_spec, progress, expected):
    spec = tiny_spec(base_lr=0.1, lr_scaling="sqrt", batch_size=64, epochs=10, warmup_epochs=2)
    assert learning_rate(spec, progress) == pytest.approx(expected, abs=1e-12)


def test_learning_rate_is_continuous_and_starts_high_without_warmup(tiny_spec):
    spec = tiny_spec(base_lr=0.1, epochs=10, warmup_epochs=2)
    assert learning_rate(spec, 2 - 1e-9) == pytest.approx(learning_rate(spec, 2), rel=1e-8)
    assert learning_rate(tiny_spec(base_lr=0.1, epochs=10, warmup_epochs=0), 0) == 0.1


@pytest.mark.parametrize(("progress", "expected"), [(1, 0.5), (2, 1.0), (6, 0.55), (10, 0.1)])
def test_cosine_ends_at_its_own_share_of_the_rate(tiny_spec, progress, expected):
    spec = tiny_spec(base_lr=1.0, epochs=10, warmup_epochs=2, final_lr_factor=0.1)
    assert learning_rate(spec, progress) == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["lars", "sgd"])
def test_biases_and_norms_have_a_rate_of_their_own(tiny_spec, optimizer):
    spec = tiny_spec(optimizer=optimizer, weight_decay=DECAY, bias_lr_factor=0.25)
    built = build_optimizer(spec, Two())
    for lr in (2.0, 0.4):  # not the factor of a factor
        set_learning_rate(built, lr)
        rates = {group["params"][0].ndim: group["lr"] for group in built.param_groups}
        assert rates == {2: lr, 1: pytest.approx(0.25 * lr)}


def test_adamw_has_one_rate_for_all(tiny_spec):
    built = build_optimizer(tiny_spec(optimizer="adamw"), Two())
    set_learning_rate(built, 0.4)
    assert [(group["lr"], group["names"]) for group in built.param_groups] == [(0.4, ["matrix", "vector"])]


class Two(nn.Module):
    """A matrix and a vector, of which only the first should decay."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        self.vector = nn.Parameter(torch.tensor([2.0, -1.0]))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)


def two_steps(spec):
    """Matrix and vector, flattened in float64, after two steps with given gradients; and these gradients."""
    module = Two()
    optimizer = build_optimizer(spec, module)
    gradients = [
        ([0.6, 0.0, 0.0, 0.8], [0.5, 0.25]),
        ([0.0, -3.0, 4.0, 0.0], [-1.0, 2.0]),
    ]
    for rate, (matrix, vector) in zip(RATES, gradients, strict=True):
        set_learning_rate(optimizer, rate)
        module.matrix.grad = torch.tensor(matrix).view(2, 2)
        module.vector.grad = torch.tensor(vector)
        optimizer.step()
    assert torch.equal(module.frozen, torch.ones(2, 2))
    return module.matrix.detach().double().flatten(), module.vector.detach().double(), gradients


def momentum_steps(start, gradients, adapt):
    """Plain momentum: v = 0.9 v + adapt(w, g), w = w - lr v."""
    weights, velocity = torch.tensor(start, dtype=torch.float64), 0
    for rate, gradient in zip(RATES, gradients, strict=True):
        velocity = 0.9 * velocity + adapt(weights, torch.tensor(gradient, dtype=torch.float64))
        weights = weights - rate * velocity
    return weights


def lars(weights, gradient):
    """0.001 |w| / |g + decay w| x (g + decay w)."""
    update = gradient + DECAY * weights
    return 0.001 * weights.norm() / update.norm() * update


def test_first_lars_step_by_hand(tiny_spec):
    spec = tiny_spec(optimizer="lars", weight_decay=DECAY)
    module = Two()
    optimizer = build_optimizer(spec, module)
    set_learning_rate(optimizer, 0.5)
    module.matrix.grad = torch.tensor([[0.6, 0.0], [0.0, 0.8]])  # norm 1 where the weights' is 5
    module.vector.grad = torch.tensor([0.5, 0.25])
    optimizer.step()
    # (0.6 + 0.3, 0.8 + 0.4) has norm 1.5: trust 0.001 x 5 / 1.5 = 1/300; times it (0.003, 0.004); times lr.
    torch.testing.assert_close(module.matrix.data, torch.tensor([[2.9985, 0.0], [0.0, 3.998]]))
    torch.testing.assert_close(module.vector.data, torch.tensor([1.75, -1.125]))


def test_lars_adapts_without_weight_decay(tiny_spec):
    module = Two()
    optimizer = build_optimizer(tiny_spec(optimizer="lars", weight_decay=0.0), module)
    set_learning_rate(optimizer, 1.0)
    module.matrix.grad = torch.tensor([[0.6, 0.0], [0.0, 0.8]])
    module.vector.grad = torch.tensor([0.5, 0.25])
    optimizer.step()
    torch.testing.assert_close(module.matrix.data, torch.tensor([[2.997, 0.0], [0.0, 3.996]]))
    torch.testing.assert_close(module.vector.data, torch.tensor([1.5, -1.25]))


def test_two_lars_steps(tiny_spec):
    matrix, vector, gradients = two_steps(tiny_spec(optimizer="lars", weight_decay=DECAY))
    expected = momentum_steps([3.0, 0.0, 0.0, 4.0], [g for g, _ in gradients], lars)
    # The steps are thousandths of the weights, so the tolerance is one of the steps, not of the weights.
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-6)
    assert (matrix - torch.tensor([3.0, 0.0, 0.0, 4.0], dtype=torch.float64)).abs().min() > 1e-4
    expected = momentum_steps([2.0, -1.0], [g for _, g in gradients], lambda w, g: g)
    torch.testing.assert_close(vector, expected)


def test_two_sgd_steps(tiny_spec):
    matrix, vector, gradients = two_steps(tiny_spec(optimizer="sgd", weight_decay=DECAY))
    expected = momentum_steps([3.0, 0.0, 0.0, 4.0], [g for g, _ in gradients], lambda w, g: g + DECAY * w)
    torch.testing.assert_close(matrix, expected)
    expected = momentum_steps([2.0, -1.0], [g for _, g in gradients], lambda w, g: g)
    torch.testing.assert_close(vector, expected)


@pytest.mark.parametrize("beta2", [0.999, 0.95])
def test_two_adamw_steps(tiny_spec, beta2):
    """Kingma & Ba's moments with betas 0.9 and `beta2`; decoupled decay of matrix and vector alike."""
    *found, gradients = two_steps(tiny_spec(optimizer="adamw", weight_decay=DECAY, adam_beta2=beta2))
    for start, weights, given in zip(
        ([3.0, 0.0, 0.0, 4.0], [2.0, -1.0]), found, zip(*gradients, strict=True), strict=True
    ):
        expected, first, second = torch.tensor(start, dtype=torch.float64), 0, 0
        for step, (rate, gradient) in enumerate(zip(RATES, given, strict=True), start=1):
            gradient = torch.tensor(gradient, dtype=torch.float64)
            first = 0.9 * first + 0.1 * gradient
            second = beta2 * second + (1 - beta2) * gradient**2
            unbiased = (second / (1 - beta2**step)).sqrt() + 1e-8
            expected = expected * (1 - rate * DECAY) - rate * first / (1 - 0.9**step) / unbiased
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_every_trainable_parameter_is_optimised_once(tiny_spec, optimizer):
    spec = tiny_spec(optimizer=optimizer)
    method = build_method(spec, channels=1)
    first, *others = method.parameters()
    first.requires_grad_(False)
    groups = build_optimizer(spec, method).param_groups
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in others)


@pytest.mark.parametrize("optimizer", ["lars", "sgd"])
def test_lars_and_sgd_leave_biases_and_norms_out_of_the_decay(tiny_spec, optimizer):
    spec = tiny_spec(optimizer=optimizer, weight_decay=0.5)
    method = build_method(spec, channels=1)
    layers = [m for m in method.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    decayed = {
        id(p) for g in build_optimizer(spec, method).param_groups if g["weight_decay"] for p in g["params"]
    }
    assert decayed == {id(layer.weight) for layer in layers}
