import pytest
import torch

from ldreg.methods import build_method
from ldreg.methods.base import Outputs, Targets


def nt_xent(first, second, temperature):
    """SimCLR's equation 1 averaged over all 2n anchors, in two plain loops."""
    rows = torch.cat([first, second])
    rows = rows / rows.norm(dim=1, keepdim=True)
    n = len(first)
    total = 0.0
    for i in range(2 * n):
        similarity = {j: rows[i] @ rows[j] / temperature for j in range(2 * n) if j != i}
        total -= similarity[(i + n) % (2 * n)] - sum(s.exp() for s in similarity.values()).log()
    return total / (2 * n)


@pytest.mark.parametrize("name", ["simclr", "simclr_tuned"])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("batch", [2, 7, 24])
def test_loss_is_nt_xent(tiny_spec, assert_equivalent, name, batch, temperature):
    method = build_method(tiny_spec(method=name, temperature=temperature), channels=1)
    generator = torch.Generator().manual_seed(batch)
    assert_equivalent(
        lambda *views: method.loss(Outputs((), views), Targets()),
        lambda *views: nt_xent(*views, temperature),
        [3 * torch.randn(batch, 5, generator=generator) for _ in range(2)],
    )


def test_no_scale_of_an_embedding_changes_the_loss(tiny_spec):
    method = build_method(tiny_spec(), channels=1)
    views = [torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    scaled = [views[0] * torch.linspace(0.1, 9, 8)[:, None], views[1]]
    torch.testing.assert_close(
        method.loss(Outputs((), scaled), Targets()), method.loss(Outputs((), views), Targets())
    )
