"""The momentum branch of BYOL and MoCo v3."""

import copy
import math

import pytest
import torch
from torch import nn

import ldreg.training.pretrain
from ldreg.config.execution import Execution
from ldreg.methods import build_method
from ldreg.methods.base import Outputs, Targets
from ldreg.training.optim import build_optimizer
from ldreg.training.step import batch_norms

CPU = torch.device("cpu")
PAIRS = [("encoder", "momentum_encoder"), ("projector", "momentum_projector")]
pytestmark = pytest.mark.parametrize("name", ["byol", "moco"])


@pytest.fixture
def method(tiny_spec, name):
    torch.manual_seed(0)
    return build_method(tiny_spec(method=name), channels=1)


def views(seed=0, n=16):
    generator = torch.Generator().manual_seed(seed)
    return [(index + 1) * torch.rand(n, 1, 8, 8, generator=generator) for index in range(2)]


def disturb(network):
    """Change every parameter, so that following it shows."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def branches(method):
    """Pairs of trained and following parameters."""
    return [
        pair
        for online, momentum in PAIRS
        for pair in zip(
            getattr(method, online).parameters(), getattr(method, momentum).parameters(), strict=True
        )
    ]


def test_momentum_networks_start_as_copies_of_their_own(method):
    for online, momentum in PAIRS:
        online, momentum = getattr(method, online).state_dict(), getattr(method, momentum).state_dict()
        assert online.keys() == momentum.keys()
        for key, value in online.items():
            assert torch.equal(value, momentum[key])
            assert value.data_ptr() != momentum[key].data_ptr()


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 0.999])
@pytest.mark.parametrize("start", [0.9, 0.99])
def test_update_is_an_average_whose_momentum_rises_to_one_by_half_a_cosine(tiny_spec, name, start, progress):
    torch.manual_seed(0)
    method = build_method(tiny_spec(method=name, momentum=start), channels=1)
    momentum = 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2
    disturb(method.encoder), disturb(method.projector)
    before = copy.deepcopy(method)
    method.update(progress)
    moved = 0.0
    for (online, after), (same, followed) in zip(branches(method), branches(before), strict=True):
        assert torch.equal(online, same)
        expected = momentum * followed.double() + (1 - momentum) * online.double()
        torch.testing.assert_close(after.double(), expected, rtol=1e-6, atol=1e-7)
        moved += float((after - followed).abs().sum())
    assert (moved > 1) == (progress < 0.9)


def test_updates_add_up_to_the_closed_form_of_the_average(method):
    """t_n = m_1 ... m_n t_0 + sum_i (1 - m_i) m_{i+1} ... m_n o_i."""
    followed = method.momentum_encoder[0].weight.detach().double()
    terms = [(1.0, followed)]
    for step in range(4):
        disturb(method.encoder)
        momentum = 1 - (1 - 0.9) * (math.cos(math.pi * step / 4) + 1) / 2
        terms = [(momentum * weight, value) for weight, value in terms]
        terms.append((1 - momentum, method.encoder[0].weight.detach().clone().double()))
        method.update(step / 4)
    expected = sum(weight * value for weight, value in terms)
    torch.testing.assert_close(method.momentum_encoder[0].weight.double(), expected, rtol=1e-5, atol=1e-7)


def test_predictor_is_the_trained_branchs_alone(method):
    assert not [key for key in method.state_dict() if "momentum" in key and "predictor" in key]
    assert [key for key in method.state_dict() if key.startswith("predictor.")]


def test_targets_are_the_momentum_networks_outputs_view_by_view(method):
    disturb(method.momentum_encoder), disturb(method.momentum_projector)
    twin = copy.deepcopy(method)
    targets = method.targets(*views())
    representations = [twin.momentum_encoder(view) for view in views()]
    for found, expected in zip(targets.representations, representations, strict=True):
        assert torch.equal(found, expected)
    embeddings = [twin.momentum_projector(rows) for rows in representations]
    for found, expected in zip(targets.embeddings, embeddings, strict=True):
        assert torch.equal(found, expected)


def test_statistics_of_momentum_batch_norms_are_those_of_their_own_batches(method, name):
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    norms = [*batch_norms(method.momentum_encoder), *batch_norms(method.momentum_projector)]
    assert len(norms) == {"byol": 5, "moco": 6}[name]
    kinds = {4: nn.BatchNorm2d, 2: nn.BatchNorm1d}
    plain = {}
    for norm in norms:

        def feed(norm, inputs):
            rows = inputs[0].detach()
            twin = plain.setdefault(norm, kinds[rows.ndim](rows.shape[1], affine=False))
            twin(rows)

        norm.register_forward_pre_hook(feed)
    for step in range(3):
        before = copy.deepcopy(dict(method.momentum_encoder.named_buffers()))
        method.update(step / 3)
        outputs = method(*views(step))
        for key, buffer in method.momentum_encoder.named_buffers():
            assert torch.equal(buffer, before[key])
        optimizer.zero_grad()
        method.loss(outputs, method.targets(*views(step))).backward()
        optimizer.step()
    for norm in norms:
        assert norm.num_batches_tracked == 2 * 3
        torch.testing.assert_close(norm.running_mean, plain[norm].running_mean)
        torch.testing.assert_close(norm.running_var, plain[norm].running_var)
    online = batch_norms(method.encoder)[-1]
    momentum = batch_norms(method.momentum_encoder)[-1]
    assert not torch.allclose(online.running_mean, momentum.running_mean, rtol=1e-3)


def test_no_gradient_reaches_the_momentum_branch(method):
    outputs, targets = method(*views()), method.targets(*views())
    assert not any(rows.requires_grad for group in targets for rows in group)
    method.loss(outputs, targets).backward()
    for online, followed in branches(method):
        assert online.grad is not None and online.grad.any()
        assert followed.grad is None and not followed.requires_grad


def test_gradient_stops_at_targets_though_the_loss_depends_on_them(method):
    made, targets = method(*views()), method.targets(*views())
    other = Targets(targets.representations, [rows.flip(0) for rows in targets.embeddings])
    assert not torch.isclose(method.loss(made, targets), method.loss(made, other), rtol=1e-3)
    # Nor does any reach the networks but through the predictor.
    leaves = Outputs(*([rows.detach().requires_grad_() for rows in group] for group in made))
    gradients = torch.autograd.grad(
        method.loss(leaves, targets),
        [rows for group in leaves[:3] for rows in group],
        allow_unused=True,
    )
    assert [gradient is None for gradient in gradients] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_optimiser_holds_no_momentum_parameter(tiny_spec, name, optimizer):
    method = build_method(tiny_spec(method=name), channels=1)
    groups = build_optimizer(tiny_spec(method=name, optimizer=optimizer), method).param_groups
    held = {id(parameter) for group in groups for parameter in group["params"]}
    trained = [method.encoder, method.projector, method.predictor]
    assert held == {id(parameter) for part in trained for parameter in part.parameters()}


def test_training_updates_before_every_step_and_keeps_the_trained_encoder(
    tiny_spec, name, few_digits, monkeypatch
):
    built, progress = [], []

    def build(*arguments):
        method = build_method(*arguments)
        update = method.update
        method.update = lambda share: (progress.append(share), update(share))
        built.append(method)
        return method

    monkeypatch.setattr(ldreg.training.pretrain, "build_method", build)
    spec = tiny_spec(method=name)
    encoder, _ = ldreg.training.pretrain.pretrain(spec, few_digits, Execution(), CPU, lambda row: None)
    (method,) = built
    assert progress == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    found = encoder.state_dict()
    assert found.keys() == method.encoder.state_dict().keys()
    assert all(torch.equal(value, found[key]) for key, value in method.encoder.state_dict().items())
    followed = method.momentum_encoder.state_dict()
    assert not any(torch.equal(value, found[key]) for key, value in followed.items() if "weight" in key)
