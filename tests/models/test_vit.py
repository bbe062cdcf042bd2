import math
from functools import partial

import pytest
import timm
import torch
from torch import nn

from ldreg.methods import build_method
from ldreg.models.networks import build_backbone
from ldreg.models.vit import positions
from ldreg.training.optim import build_optimizer

PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def vit(masked=False, channels=3, size=16):
    torch.manual_seed(0)
    return build_backbone("vit_mini", channels, size, masked)[0]


def with_norms_of(masked, contrastive):
    """Weights, and the epsilon of the norms, of a masked autoencoder's encoder in a contrastive one."""
    contrastive.load_state_dict(masked.state_dict())
    norms = [
        [each for each in net.modules() if isinstance(each, nn.LayerNorm)] for net in (masked, contrastive)
    ]
    assert [{each.eps for each in of_net} for of_net in norms] == [{1e-5}, {1e-6}]
    for norm in norms[1]:
        norm.eps = 1e-5


def images(channels=3):
    return torch.rand(4, channels, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("masked", [False, True])
def test_names_and_shapes_of_the_weights_are_timms(masked):
    with torch.device("meta"):
        expected = timm.create_model("vit_base_patch16_224").state_dict()
        found = build_backbone("vit_b16", 3, 224, masked)[0].state_dict()
    shapes = {key: value.shape for key, value in expected.items() if not key.startswith("head.")}
    assert {key: value.shape for key, value in found.items()} == shapes


def test_representation_is_timms_class_token():
    """A twin that timm builds gives the same from the same weights."""
    twin = timm.models.vision_transformer.VisionTransformer(
        16,
        4,
        3,
        num_classes=0,
        embed_dim=128,
        depth=4,
        num_heads=4,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    network = vit()
    twin.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(images()), twin(images()))


def test_mini_keeps_its_size():
    network = vit()
    assert (len(network.blocks), network.blocks[0].attn.num_heads) == (4, 4)
    assert network.patch_embed.proj.weight.shape == (128, 3, 4, 4)


def plain_positions(side, width):
    """MAE's and MoCo v3's: width / 4 frequencies, sine and cosine of row and column, patches row by row."""
    table = [[0.0] * width]  # of the class token
    for row in range(side):
        for column in range(side):
            features = []
            for place in (row, column):
                for index in range(width // 4):
                    angle = place / 10000 ** (index / (width / 4))
                    features += [math.sin(angle), math.cos(angle)]
            table.append(features)
    return torch.tensor(table)


@pytest.mark.parametrize(("side", "width"), [(4, 128), (7, 32), (14, 768)])
def test_positions_are_sines_and_cosines_up_to_the_order_of_the_features(side, width):
    found = positions(side, width)
    assert found.shape == (1, 1 + side**2, width)
    assert not found.requires_grad
    expected = plain_positions(side, width)
    # Patch by patch: every inner product is the same, in whatever order the features come.
    torch.testing.assert_close(found[0] @ found[0].T, expected @ expected.T, rtol=1e-4, atol=1e-4)
    apart = torch.cdist(found[0].T.contiguous(), expected.T.contiguous(), p=float("inf"))
    assert max(apart.amin(dim=0).max(), apart.amin(dim=1).max()) < 1e-5


def test_encoder_has_the_positions_of_its_grid():
    for masked in (False, True):
        assert torch.equal(vit(masked).pos_embed, positions(4, 128))


def test_tokens_with_keep_are_those_of_the_kept_patches_at_their_positions():
    network = vit(masked=True)
    network.blocks = nn.Identity()
    keep = torch.tensor([[5, 0, 11], [1, 2, 3], [15, 14, 13], [7, 8, 6]])
    tokens = network(images(), keep=keep)
    normalised = (images() - torch.tensor(PIXEL_MEAN).view(3, 1, 1)) / torch.tensor(PIXEL_STD).view(3, 1, 1)
    for image in range(4):
        for place, patch in enumerate(keep[image].tolist(), start=1):
            row, column = 4 * (patch // 4), 4 * (patch % 4)
            pixels = normalised[image, :, row : row + 4, column : column + 4]
            token = (network.patch_embed.proj.weight * pixels).sum(
                dim=(1, 2, 3)
            ) + network.patch_embed.proj.bias
            expected = network.norm(token + network.pos_embed[0, 1 + patch])
            torch.testing.assert_close(tokens[image, place], expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(tokens[image, 0], network.norm(network.cls_token[0, 0]))


def test_all_patches_kept_in_any_order_give_the_representation():
    network = vit(masked=True)
    order = torch.stack([torch.randperm(16) for _ in range(4)])
    torch.testing.assert_close(network(images(), keep=order)[:, 0], network(images()), rtol=1e-4, atol=1e-5)


def test_masked_autoencoder_normalises_its_pixels_and_contrastive_encoders_do_not():
    masked, contrastive = vit(masked=True), vit()
    with_norms_of(masked, contrastive)
    by_hand = (images() - torch.tensor(PIXEL_MEAN).view(3, 1, 1)) / torch.tensor(PIXEL_STD).view(3, 1, 1)
    torch.testing.assert_close(masked(images()), contrastive(by_hand), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(masked(images()), contrastive(images()), rtol=0.01)


def test_grey_pixels_are_normalised_by_the_means_of_the_colours():
    masked, contrastive = vit(masked=True, channels=1), vit(channels=1)
    with_norms_of(masked, contrastive)
    by_hand = (images(1) - sum(PIXEL_MEAN) / 3) / (sum(PIXEL_STD) / 3)
    torch.testing.assert_close(masked(images(1)), contrastive(by_hand), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["simclr", "byol", "moco", "mae"])
@pytest.mark.parametrize("optimizer", ["adamw", "lars"])
def test_a_step_leaves_positions_and_a_frozen_projection_as_they_are(tiny_spec, name, optimizer):
    spec = tiny_spec(method=name, backbone="vit_mini", image_size=16, optimizer=optimizer, weight_decay=0.1)
    torch.manual_seed(0)
    method = build_method(spec, channels=1)
    built = build_optimizer(spec, method)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    inputs = (images(1), torch.rand(4, 16)) if name == "mae" else (images(1), images(1).flip(3))
    method.loss(method(*inputs), method.targets(*inputs)).backward()
    built.step()
    unchanged = {
        key
        for key, value in method.encoder.named_parameters()
        if torch.equal(value, before[f"encoder.{key}"])
    }
    projection = {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert unchanged == {"pos_embed"} | (set() if name == "mae" else projection)
    frozen = [method.encoder.get_parameter(key) for key in unchanged]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in frozen)
    if name == "mae":
        assert torch.equal(method.positions, before["positions"])


@pytest.mark.parametrize("masked", [False, True])
def test_weights_start_as_the_authors_draw_them(masked):
    """MoCo v3: query, key and value are three matrices, and a tiny class token. MAE: one, and a larger."""
    network = vit(masked)
    bounds = {
        "patch_embed.proj": math.sqrt(6 / (3 * 4 * 4 + 128)),
        "blocks.0.attn.qkv": math.sqrt(6 / (4 * 128 if masked else 2 * 128)),
        "blocks.3.attn.proj": math.sqrt(6 / (2 * 128)),
        "blocks.2.mlp.fc1": math.sqrt(6 / (5 * 128)),
        "blocks.2.mlp.fc2": math.sqrt(6 / (5 * 128)),
    }
    for name, bound in bounds.items():
        layer = network.get_submodule(name)
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not layer.bias.any()
    assert network.cls_token.std().item() == pytest.approx(0.02 if masked else 1e-6, rel=0.3)
