import pytest
import torch
from torch import nn

from ldreg.methods import build_method

# ImageNet's, as MAE's authors normalise: red, green, blue.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCH, SIDE = 4, 4  # of vit_mini on 16 pixels: 16 patches, of which 4 are seen


class Recording(nn.Module):
    """A decoder that keeps what it is given and reconstructs `leaf` (n, 1 + patches, pixels)."""

    def __init__(self, leaf):
        super().__init__()
        self.leaf = leaf

    def forward(self, tokens):
        self.tokens = tokens
        return self.leaf


@pytest.fixture
def method(tiny_spec):
    torch.manual_seed(0)
    return build_method(tiny_spec(method="mae"), channels=3).double()


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def noise():
    return torch.rand(5, 16, generator=torch.Generator().manual_seed(2))


def seen_patches(noise):
    """Of one image the 4 patches with the smallest numbers, in ascending order of these."""
    return sorted(range(16), key=lambda patch: float(noise[patch]))[:4]


def pixels(image, patch):
    """A patch's normalised pixels, row by row, each with its three colours."""
    row, column = divmod(patch, SIDE)
    return [
        (image[color, PATCH * row + y, PATCH * column + x] - MEAN[color]) / STD[color]
        for y in range(PATCH)
        for x in range(PATCH)
        for color in range(3)
    ]


def plain_loss(images, noise, reconstructed):
    """Mean over images of the mean over hidden patches of the mean squared error, in plain loops."""
    total = 0.0
    for image, numbers, guess in zip(images, noise, reconstructed, strict=True):
        hidden = set(range(16)) - set(seen_patches(numbers))
        for patch in hidden:
            values = pixels(image, patch)
            mean = sum(values) / len(values)
            variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
            for value, guessed in zip(values, guess[1 + patch], strict=True):
                target = (value - mean) / (variance + 1e-6) ** 0.5
                total += (guessed - target) ** 2 / len(values) / len(hidden) / len(images)
    return total


def test_loss_is_the_error_of_the_hidden_patches_normalised_pixels(method, images, noise, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)  # float64 stays float64
    leaf = torch.randn(5, 17, 48, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    images[:, :, :4, :8] = 0.5 + 1e-3 * images[:, :, :4, :8]  # nearly flat: the variance's 1e-6 is felt
    found, expected = leaf.clone().requires_grad_(), leaf.clone().requires_grad_()
    method.decoder = Recording(found)
    loss = method.loss(method(images, noise), method.targets(images, noise))
    plain = plain_loss(images, noise, expected)
    # The mean and deviation of the colours are kept in float32.
    torch.testing.assert_close(loss, plain, rtol=1e-6, atol=0)
    gradients = torch.autograd.grad(loss, found)[0], torch.autograd.grad(plain, expected)[0]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)
    assert gradients[0].any(dim=2).sum() == 5 * 12


def test_each_image_has_its_own_loss(method, images, noise):
    (losses,) = method(images, noise).losses
    for row in range(5):
        alone = method(images[row : row + 1], noise[row : row + 1])
        torch.testing.assert_close(alone.losses[0], losses[row : row + 1])
    assert len(set(losses.tolist())) == 5


def test_decoder_gets_seen_tokens_at_their_own_places_and_mask_tokens_elsewhere(method, images, noise):
    method.decoder = Recording(torch.zeros(5, 17, 48))
    method(images, noise)
    for row in range(5):
        seen = seen_patches(noise[row])
        tokens = method.embed(method.encoder(images[row : row + 1], keep=torch.tensor([seen])))[0]
        for patch in range(16):
            token = tokens[1 + seen.index(patch)] if patch in seen else method.mask_token[0, 0]
            expected = token + method.positions[0, 1 + patch]
            torch.testing.assert_close(method.decoder.tokens[row, 1 + patch], expected)
        torch.testing.assert_close(method.decoder.tokens[row, 0], tokens[0])


def test_order_of_the_seen_patches_does_not_matter(method, images, noise):
    shuffled = noise.clone()
    for row in range(5):
        seen = seen_patches(noise[row])
        shuffled[row, seen] = noise[row, seen].flip(0)
    for group, other in zip(method(images, noise), method(images, shuffled), strict=True):
        for found, expected in zip(group, other, strict=True):
            torch.testing.assert_close(found, expected)


def test_encoder_sees_the_kept_patches_alone(method, images, noise):
    for patch in range(16):
        row, column = divmod(patch, SIDE)
        changed = images.clone()
        changed[..., PATCH * row : PATCH * (row + 1), PATCH * column : PATCH * (column + 1)] = 0.9
        before, after = method(images, noise), method(changed, noise)
        for image in range(5):
            seen = patch in seen_patches(noise[image])
            same = torch.equal(before.representations[0][image], after.representations[0][image])
            assert same == torch.equal(before.embeddings[0][image], after.embeddings[0][image]) == (not seen)


def test_representation_is_the_class_token_of_the_seen_patches(method, images, noise):
    keep = torch.tensor([seen_patches(numbers) for numbers in noise])
    outputs = method(images, noise)
    (representations,), (embeddings,) = outputs.representations, outputs.embeddings
    tokens = method.encoder(images, keep=keep)
    assert tokens.shape == (5, 1 + 4, 128)
    torch.testing.assert_close(representations, tokens[:, 0])
    torch.testing.assert_close(embeddings, method.embed(tokens[:, 0]).float())
    assert not torch.allclose(representations, method.encoder(images))


@pytest.mark.parametrize(("mask_ratio", "seen"), [(0.75, 4), (0.5, 8), (0.9, 1)])
def test_mask_ratio_says_how_many_patches_are_hidden(tiny_spec, images, noise, mask_ratio, seen):
    method = build_method(tiny_spec(method="mae", mask_ratio=mask_ratio), channels=3).double()
    found = []
    method.encoder.blocks.register_forward_hook(lambda blocks, inputs, output: found.append(output.shape[1]))
    method(images, noise)
    assert found == [1 + seen]


def test_decoder_is_of_timms_blocks_and_ends_in_a_patchs_pixels(tiny_spec):
    method = build_method(tiny_spec(method="mae", decoder_depth=2), channels=1)
    kinds = [type(part).__name__ for part in method.decoder]
    assert kinds == ["Block", "Block", "LayerNorm", "Linear"]
    assert [block.attn.num_heads for block in method.decoder[:2]] == [2, 2]
    assert method.decoder[-1].out_features == 4 * 4
    assert (method.embed.in_features, method.embed.out_features) == (128, 32)


def test_mixed_precision_leaves_pixels_and_errors_in_float32(tiny_spec, noise):
    method = build_method(tiny_spec(method="mae"), channels=1)
    leaf = torch.randn(5, 17, 16)
    images = torch.rand(5, 1, 16, 16)
    method.decoder = Recording(leaf)
    expected = method.loss(method(images, noise), method.targets())
    with torch.autocast("cpu", torch.bfloat16):
        found = method.loss(method(images, noise), method.targets())
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
