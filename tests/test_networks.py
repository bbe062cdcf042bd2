from typing import get_args

import pytest
import torch
import torchvision
from torch import nn

from ldreg.networks import BACKBONES, build_backbone, build_projector
from ldreg.spec import RunSpec

DIMS = {"small_cnn": 128, "resnet18_cifar": 512, "resnet18": 512, "resnet50": 2048}


def test_a_spec_allows_exactly_the_backbones_there_are():
    assert set(get_args(RunSpec.model_fields["backbone"].annotation)) == set(BACKBONES) == set(DIMS)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", DIMS)
def test_backbone_maps_images_to_representations_of_its_dimension(name, channels):
    torch.manual_seed(0)
    backbone, dim = build_backbone(name, channels)
    representations = backbone(torch.rand(2, channels, 32, 32))
    assert representations.shape == (2, dim) == (2, DIMS[name])
    representations.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in backbone.parameters())


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
    found = build_backbone("resnet50", 3)[0].state_dict()
    shapes = {key: value.shape for key, value in expected.items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in found.items()} == shapes


@pytest.mark.parametrize("widths", [(32, 16), (64, 32, 16)])
def test_projector_has_norm_after_each_layer_and_no_bias_at_the_end(widths):
    projector = build_projector(24, widths)
    layers = list(projector)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * (len(widths) - 1) + [
        nn.Linear,
        nn.BatchNorm1d,
    ]
    assert [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Linear)] == [
        (after, before) for before, after in zip((24, *widths), widths, strict=False)
    ]
    biases = [name for name in projector.state_dict() if name.endswith("bias")]
    # Only the inner norms have one: a linear layer's would be taken away by the norm that follows.
    assert biases == [f"{3 * index + 1}.bias" for index in range(len(widths) - 1)]
    assert f"{len(layers) - 1}.weight" in projector.state_dict()


def test_embeddings_are_standardised_at_the_start():
    torch.manual_seed(0)
    embeddings = build_projector(24, (32, 16))(5 + 3 * torch.randn(64, 24))
    torch.testing.assert_close(embeddings.mean(dim=0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(embeddings.std(dim=0, correction=0), torch.ones(16), atol=1e-2, rtol=0)


def test_batch_norm_across_gpus_keeps_the_parameters_that_the_optimiser_has():
    network = nn.Sequential(build_backbone("resnet18_cifar", 3)[0], build_projector(512, (32, 16)))
    before = dict(network.named_parameters())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    after = dict(converted.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert not [m for m in converted.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
