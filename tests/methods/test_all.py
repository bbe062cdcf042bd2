"""What holds for every method: what its networks are, see and learn, and which parameters are trained."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

import ldreg.training.pretrain
from ldreg.catalogue.methods import METHODS
from ldreg.config.execution import Execution
from ldreg.methods import build_method
from ldreg.training.monitors import Monitors
from ldreg.training.optim import build_optimizer
from ldreg.training.step import batch_norms

CPU = torch.device("cpu")
TWO_VIEWS = [name for name, each in METHODS.items() if each.views == 2]
MOMENTUM = ("byol", "moco")
every_method = pytest.mark.parametrize("name", METHODS)
every_two_view_method = pytest.mark.parametrize("name", TWO_VIEWS)
# How the heads end; on a vision transformer MoCo v3's predictor ends in a norm too.
ENDS = {
    "simclr": {"projector": "scaled_norm"},
    "simclr_tuned": {"projector": "scaled_norm"},
    "byol": {"projector": "linear", "predictor": "linear"},
    "moco": {"projector": "norm", "predictor": "linear"},
    "vicreg": {"projector": "linear"},
    "barlow_twins": {"projector": "linear"},
}


def build(spec):
    torch.manual_seed(0)
    return build_method(spec, channels=1)


def inputs_of(spec, n=8):
    """Views so different that the statistics of both together are neither's; or a view and its noise."""
    size = spec.image_size
    if spec.method == "mae":
        return torch.rand(n, 1, size, size), torch.rand(n, (size // 4) ** 2)
    return torch.rand(n, 1, size, size), 0.1 * torch.rand(n, 1, size, size)


def end(head):
    """How a head ends, after its last linear layer."""
    last = head[-1]
    if isinstance(last, nn.Linear):
        return "linear"
    return "norm" if last.weight is None else "scaled_norm"


@every_two_view_method
@pytest.mark.parametrize("backbone", ["small_cnn", "vit_mini"])
def test_heads_are_those_of_the_methods_authors(tiny_spec, name, backbone):
    widths = {"projector": (48, 32, 16)}
    widths |= {"predictor": (24, 16)} if name in MOMENTUM else {}
    method = build(tiny_spec(method=name, backbone=backbone, **widths))
    expected = dict(ENDS[name])
    if name == "moco" and backbone == "vit_mini":
        expected["predictor"] = "norm"
    assert {key: end(part) for key, part in method.named_children() if key in ENDS[name]} == expected
    for key, values in widths.items():
        layers = [layer for layer in getattr(method, key) if isinstance(layer, nn.Linear)]
        assert tuple(layer.out_features for layer in layers) == values


@every_two_view_method
def test_every_view_passes_the_networks_on_its_own(tiny_spec, name):
    """So that batch norm takes its statistics per view."""
    spec = tiny_spec(method=name)
    method = build(spec)
    apart, together = copy.deepcopy(method), copy.deepcopy(method)
    views = inputs_of(spec, n=16)
    outputs = method(*views)
    representations = [apart.encoder(view) for view in views]
    embeddings = [apart.projector(rows) for rows in representations]
    predictions = [apart.predictor(rows) for rows in embeddings] if name in MOMENTUM else []
    for found, expected in zip(
        [rows for group in outputs for rows in group], representations + embeddings + predictions, strict=True
    ):
        assert torch.equal(found, expected)
    assert (torch.cat(representations) - together.encoder(torch.cat(views))).abs().max() > 0.1
    for key, buffer in method.named_buffers():
        torch.testing.assert_close(buffer, apart.get_buffer(key), msg=key)
    trained = [part for key, part in method.named_children() if not key.startswith("momentum")]
    counters = [norm.num_batches_tracked for part in trained for norm in batch_norms(part)]
    assert len(counters) == 4 + sum(1 + (kind != "linear") for kind in ENDS[name].values())
    assert all(counter == 2 for counter in counters)


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("mae", "vit_mini"), *product(TWO_VIEWS, ["small_cnn", "resnet18_cifar", "vit_mini"])],
)
def test_loss_reaches_every_trained_parameter_and_no_other(tiny_spec, name, backbone):
    spec = tiny_spec(method=name, backbone=backbone)
    method = build(spec)
    inputs = inputs_of(spec)
    for norm in (module for module in method.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.ones_(norm.weight)  # a residual branch begins as zero: its layers have no gradient yet
    method.loss(method(*inputs), method.targets(*inputs)).backward()
    reached = {key for key, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    fixed = {"positions", "encoder.pos_embed"}
    if name != "mae" and backbone == "vit_mini":
        fixed |= {"encoder.patch_embed.proj.weight", "encoder.patch_embed.proj.bias"}
    parameters = dict(method.named_parameters())
    fixed |= {key for key in parameters if key.startswith("momentum_")}
    assert reached == parameters.keys() - fixed
    assert {key for key, p in parameters.items() if not p.requires_grad} == fixed & parameters.keys()


@every_two_view_method
def test_representations_have_a_gradient_without_the_heads(tiny_spec, name):
    spec = tiny_spec(method=name)
    method = build(spec)
    torch.cat(method(*inputs_of(spec)).representations).square().sum().backward()
    assert all(parameter.grad.any() for parameter in method.encoder.parameters())
    assert all(parameter.grad is None for parameter in method.projector.parameters())


@every_method
@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_every_trained_parameter_is_in_one_group(tiny_spec, name, optimizer):
    spec = tiny_spec(method=name, backbone="vit_mini", optimizer=optimizer, weight_decay=0.5)
    method = build(spec)
    groups = build_optimizer(spec, method).param_groups
    trained = {key: p for key, p in method.named_parameters() if p.requires_grad}
    assert len(trained) < len(list(method.parameters()))
    listed = [key for group in groups for key in group["names"]]
    assert sorted(listed) == sorted(trained)
    for group in groups:
        assert all(trained[key] is p for key, p in zip(group["names"], group["params"], strict=True))
    decayed = {key for group in groups if group["weight_decay"] for key in group["names"]}
    assert decayed == {key for key, p in trained.items() if optimizer == "adamw" or p.ndim > 1}
    assert len(groups) == (1 if optimizer == "adamw" else 2)


@every_method
def test_online_probe_has_an_optimiser_of_its_own(tiny_spec, few_digits, monkeypatch, name):
    optimizers, monitors = [], []

    def spied_optimizer(*arguments):
        optimizers.append(build_optimizer(*arguments))
        return optimizers[-1]

    def spied_monitors(*arguments):
        monitors.append(Monitors(*arguments))
        return monitors[-1]

    monkeypatch.setattr(ldreg.training.pretrain, "build_optimizer", spied_optimizer)
    monkeypatch.setattr(ldreg.training.pretrain, "Monitors", spied_monitors)
    spec = tiny_spec(method=name, epochs=1)
    ldreg.training.pretrain.pretrain(spec, few_digits, Execution(), CPU, lambda row: None)
    (optimizer,), (probe,) = optimizers, [monitor.probe for monitor in monitors]
    own = {id(p) for group in probe.optimizer.param_groups for p in group["params"]}
    assert own == {id(probe.weight), id(probe.bias)}
    assert not own & {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert probe.weight.any() and probe.bias.any()  # it has learned


@every_method
def test_loss_falls_over_30_steps(tiny_spec, few_digits, name):
    # At temperature 1 a contrast of 32 images has little room below that of chance.
    changes = {"temperature": 0.2} if name == "moco" else {}
    spec = tiny_spec(method=name, epochs=10, **changes)
    execution = Execution(monitors=False)
    _, history = ldreg.training.pretrain.pretrain(spec, few_digits, execution, CPU, lambda row: None)
    first, last = history[0]["ssl_loss"], history[-1]["ssl_loss"]
    assert last < 0.9 * first, (first, last)


@pytest.mark.parametrize("name", ["simclr", "simclr_tuned"])
@pytest.mark.parametrize("backbone", ["small_cnn", "vit_mini"])
def test_simclrs_projector_starts_as_in_the_authors_code(tiny_spec, name, backbone):
    method = build(tiny_spec(method=name, backbone=backbone, projector=(512, 64)))
    for layer in (layer for layer in method.projector if isinstance(layer, torch.nn.Linear)):
        uniform = (6 / sum(layer.weight.shape)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(
            0.01 if backbone == "small_cnn" else uniform / 3**0.5, rel=0.05
        )
        assert (layer.weight.abs().max() <= uniform) == (backbone == "vit_mini" or uniform > 0.06)


def test_other_heads_start_as_torchs_linear_layers(tiny_spec):
    for layer in build(tiny_spec(method="byol")).projector:
        if isinstance(layer, torch.nn.Linear):
            bound = layer.in_features**-0.5
            assert 0.9 * bound < layer.weight.abs().max() <= bound
