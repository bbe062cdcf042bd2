import copy

import pytest
import torch
from torch import nn

from ldreg.data.augment import make_view
from ldreg.methods import build_method
from ldreg.optim import build_optimizer


def nt_xent(first, second, temperature):
    """SimCLR's equation 1 averaged over all 2n anchors, in two plain loops and float64."""
    rows = torch.cat([first, second]).double()
    rows = rows / rows.norm(dim=1, keepdim=True)
    n = len(first)
    total = 0.0
    for i in range(2 * n):
        similarity = {j: rows[i] @ rows[j] / temperature for j in range(2 * n) if j != i}
        total -= similarity[(i + n) % (2 * n)] - sum(s.exp() for s in similarity.values()).log()
    return total / (2 * n)


def without_networks(spec):
    """The method on given embeddings: its loss alone."""
    method = build_method(spec, channels=1)
    method.encoder, method.projector = nn.Identity(), nn.Identity()
    return method


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("batch", [2, 7, 32])
def test_loss_is_nt_xent(tiny_spec, batch, temperature):
    method = without_networks(tiny_spec(temperature=temperature))
    generator = torch.Generator().manual_seed(batch)
    views = [(3 * torch.randn(batch, 5, generator=generator)).requires_grad_() for _ in range(2)]
    loss, _ = method(*views)
    expected = nt_xent(*views, temperature)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(loss, views)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, views), rtol=1e-4, atol=1e-7)
    # In an autocast region too: a cosine in bfloat16, divided by the temperature, would be off by percents.
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(method(*views).loss, loss)


def test_representations_are_the_encoders_of_both_views(tiny_spec):
    torch.manual_seed(0)
    method = build_method(tiny_spec(), channels=1)
    views = torch.rand(2, 16, 1, 8, 8)
    expected = [copy.deepcopy(method.encoder)(view) for view in views]
    loss, representations = method(*views)
    assert torch.equal(representations, torch.cat(expected))
    assert representations.shape == (32, 128)
    representations.square().sum().backward()
    assert all(parameter.grad.any() for parameter in method.encoder.parameters())
    assert all(parameter.grad is None for parameter in method.projector.parameters())
    assert loss.shape == ()


def test_batch_norm_takes_its_statistics_per_view(tiny_spec):
    torch.manual_seed(0)
    method = build_method(tiny_spec(), channels=1)
    # So different that the statistics of both views together are neither's.
    views = torch.rand(16, 1, 8, 8), 0.1 * torch.rand(16, 1, 8, 8)
    apart, together = copy.deepcopy(method), copy.deepcopy(method)
    _, representations = method(*views)
    expected = [apart.encoder(view) for view in views]
    concatenated = together.encoder(torch.cat(views))
    assert torch.equal(representations, torch.cat(expected))
    assert (representations - concatenated).abs().max() > 0.1
    for rows in expected:
        apart.projector(rows)
    for name, buffer in method.named_buffers():
        torch.testing.assert_close(buffer, apart.get_buffer(name), msg=name)
    counters = [buffer for name, buffer in method.named_buffers() if name.endswith("num_batches_tracked")]
    assert len(counters) == 6  # four in the encoder, two in the projector
    assert all(counter == 2 for counter in counters)


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18_cifar"])
def test_loss_reaches_every_parameter(tiny_spec, backbone):
    torch.manual_seed(0)
    method = build_method(tiny_spec(backbone=backbone), channels=1)
    method(*torch.rand(2, 8, 1, 8, 8)).loss.backward()
    assert [name for name, p in method.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_loss_falls(tiny_spec, few_digits):
    spec = tiny_spec()
    torch.manual_seed(0)
    method = build_method(spec, channels=1)
    optimizer = build_optimizer(spec, method)
    images = few_digits.train.images[:64]
    losses = []
    for step in range(30):
        views = [make_view(images, 8, view, 2 * step + index) for index, view in enumerate(spec.views)]
        loss = method(*views).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    first, last = sum(losses[:3]) / 3, sum(losses[-3:]) / 3
    assert last < 0.75 * first, (first, last)
