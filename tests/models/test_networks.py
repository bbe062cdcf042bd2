from itertools import product
from typing import get_args

import pytest
import torch
import torchvision
from torch import nn

from ldreg.catalogue.backbones import BACKBONES
from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec, ViewSettings
from ldreg.data.views import make_view
from ldreg.lid import geometric_mean, lid_mom
from ldreg.models.networks import build_backbone, build_encoder, build_head
from ldreg.training.pretrain import pretrain

DIMS = {
    "small_cnn": 128,
    "resnet18_cifar": 512,
    "resnet18": 512,
    "resnet50": 2048,
    "vit_mini": 128,
    "vit_b16": 768,
}
# Where it is not 32; ResNets with ImageNet's stem would have a single position left to pool.
PIXELS = {"resnet18": 64, "resnet50": 64, "vit_mini": 16, "vit_b16": 224}


@pytest.mark.parametrize("name", BACKBONES)
def test_declared_size_is_that_of_the_network(name):
    with torch.device("meta"):
        encoder, _ = build_backbone(name, channels=3)
    size = sum(value.numel() * value.element_size() for value in encoder.state_dict().values())
    assert BACKBONES[name].encoder_bytes == size


def test_a_spec_allows_exactly_the_backbones_there_are():
    assert set(get_args(RunSpec.model_fields["backbone"].annotation)) == set(BACKBONES) == set(DIMS)


@pytest.mark.parametrize(("name", "channels"), [*product(DIMS, [3]), *product([*DIMS][:-1], [1])])
def test_backbone_maps_images_to_representations_of_its_dimension(name, channels):
    torch.manual_seed(0)
    size = PIXELS.get(name, 32)
    backbone, dim = build_backbone(name, channels, size)
    representations = backbone(torch.rand(2, channels, size, size))
    assert representations.shape == (2, dim) == (2, DIMS[name])
    assert representations.std(dim=0).any()
    for parameter in backbone.parameters():  # zero at first: what lies before it has no gradient yet
        if not parameter.any() and parameter.requires_grad:
            nn.init.ones_(parameter)
    backbone(torch.rand(2, channels, size, size)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in backbone.parameters() if p.requires_grad)


def test_encoder_is_the_specs_backbone(tiny_spec):
    encoder, dim = build_encoder(tiny_spec(backbone="vit_mini", image_size=12), channels=1)
    assert dim == 128
    assert encoder(torch.rand(2, 1, 12, 12)).shape == (2, 128)
    assert not encoder.patch_embed.proj.weight.requires_grad
    masked, _ = build_encoder(tiny_spec(method="mae"), channels=1)
    assert masked.patch_embed.proj.weight.requires_grad


@pytest.mark.parametrize("size", [8, 16, 32])
def test_small_cnn_takes_small_images(size):
    assert build_backbone("small_cnn", 1)[0](torch.rand(2, 1, size, size)).shape == (2, 128)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("resnet18_cifar", [32, 16, 8, 4]), ("resnet18", [8, 4, 2, 1])],  # after each of the four stages
)
def test_cifar_stem_keeps_the_resolution_and_imagenets_quarters_it(name, sizes):
    backbone, _ = build_backbone(name, 3)
    found = []
    for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
        stage.register_forward_hook(lambda module, inputs, output: found.append(output.shape[-1]))
    backbone(torch.rand(2, 3, 32, 32))
    assert found == sizes


def test_imagenet_resnet_is_torchvisions():
    expected = torchvision.models.resnet50(weights=None).state_dict()
    network = build_backbone("resnet50", 3)[0]
    found = network.state_dict()
    shapes = {key: value.shape for key, value in expected.items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in found.items()} == shapes
    twin = torchvision.models.resnet50(weights=None)
    twin.load_state_dict({**expected, **found})
    twin.fc = nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(network.eval()(images), twin.eval()(images))


@pytest.mark.parametrize("name", ["resnet18_cifar", "resnet18", "resnet50"])
def test_every_residual_branch_begins_as_zero(name):
    network = build_backbone(name, 3)[0]
    blocks = [block for stage in range(1, 5) for block in getattr(network, f"layer{stage}")]
    last = [getattr(block, "bn3", None) or block.bn2 for block in blocks]
    assert len(last) == {"resnet18_cifar": 8, "resnet18": 8, "resnet50": 16}[name]
    assert all((norm.weight == 0).all() for norm in last)
    others = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m not in last]
    assert all((norm.weight == 1).all() for norm in others)
    # So a block without a projection is a ReLU of its input, in its first step.
    plain = blocks[1]
    inputs = torch.rand(2, next(plain.parameters()).shape[1], 8, 8)
    torch.testing.assert_close(plain(inputs), inputs)


LAYERS = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
ENDS = {"linear": [], "norm": [nn.BatchNorm1d], "scaled_norm": [nn.BatchNorm1d]}


@pytest.mark.parametrize("widths", [(16,), (32, 16), (64, 32, 16)])
@pytest.mark.parametrize("end", ENDS)
def test_head_has_norms_between_its_layers_and_ends_as_asked(widths, end):
    head = build_head(24, widths, end)
    inner = len(widths) - 1
    assert [type(layer) for layer in head] == LAYERS * inner + [nn.Linear] + ENDS[end]
    linear = [layer for layer in head if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in linear] == list(zip(widths, (24, *widths), strict=False))
    # A linear layer's bias would be taken away by the norm that follows.
    named = [name for name, _ in head.named_parameters() if not isinstance(head[int(name[0])], nn.Linear)]
    last = [f"{3 * inner + 1}.weight"] if end == "scaled_norm" else []
    assert named == [f"{3 * i + 1}.{kind}" for i in range(inner) for kind in ("weight", "bias")] + last
    assert all(layer.bias is None for layer in linear)


@pytest.mark.parametrize(("end", "standardized"), [("linear", False), ("norm", True), ("scaled_norm", True)])
def test_embeddings_are_standardised_at_the_start_where_a_norm_ends_the_head(end, standardized):
    torch.manual_seed(0)
    embeddings = build_head(24, (32, 16), end)(5 + 3 * torch.randn(64, 24))
    mean, deviation = embeddings.mean(dim=0), embeddings.std(dim=0, correction=0)
    assert torch.allclose(mean, torch.zeros(16), atol=1e-5) == standardized
    assert torch.allclose(deviation, torch.ones(16), atol=1e-2) == standardized


def test_batch_norm_across_gpus_keeps_the_parameters_that_the_optimiser_has():
    head = build_head(512, (32, 16), "scaled_norm")
    network = nn.Sequential(build_backbone("resnet18_cifar", 3)[0], head)
    before = dict(network.named_parameters())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    after = dict(converted.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert not [m for m in converted.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


@pytest.mark.parametrize("name", DIMS)
def test_representations_stay_float32_in_mixed_precision(name):
    torch.manual_seed(0)
    size = PIXELS.get(name, 32)
    backbone, _ = build_backbone(name, 3, size)
    inner = {"small_cnn": "0", "vit_mini": "blocks.0.mlp.fc1", "vit_b16": "blocks.0.mlp.fc1"}
    seen = []
    part = backbone.get_submodule(inner.get(name, "layer4"))
    part.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        representations = backbone(torch.rand(2, 3, size, size))
    assert seen == [torch.bfloat16]
    assert representations.dtype == torch.float32
    # Not merely written as float32: more digits than bfloat16 has.
    assert (representations != representations.bfloat16()).float().mean() > 0.5


@pytest.mark.parametrize(
    ("name", "size", "epochs", "rate"),
    [("small_cnn", 16, 2, 0.003), ("resnet18", 32, 4, 0.03), ("vit_mini", 16, 10, 0.003)],
)
def test_mlid_of_a_bfloat16_encoder_is_within_two_percent_of_float32s(
    tiny_spec, few_digits, name, size, epochs, rate
):
    # A little trained: what transformers and residual networks start with hardly differs between images.
    spec = tiny_spec(backbone=name, image_size=size, epochs=epochs, base_lr=rate)
    encoder, _ = pretrain(spec, few_digits, Execution(monitors=False), torch.device("cpu"), lambda row: None)
    images = make_view(few_digits.test.images, size, ViewSettings(), seed=0)
    mlid = {}
    for dtype in (torch.float32, torch.bfloat16):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            mlid[dtype] = geometric_mean(lid_mom(encoder.eval()(images), k=16)).item()
    assert mlid[torch.bfloat16] != mlid[torch.float32]
    assert mlid[torch.bfloat16] == pytest.approx(mlid[torch.float32], rel=0.02)
