import pytest
import torch

from ldreg.methods import build_method
from ldreg.methods.base import Outputs, Targets


def info_nce(queries, keys, temperature):
    """MoCo v3's algorithm 1, ctr(q, k): 2 temperature x cross entropy, in two plain loops."""
    queries = queries / queries.norm(dim=1, keepdim=True)
    keys = keys / keys.norm(dim=1, keepdim=True)
    total = 0.0
    for i, query in enumerate(queries):
        similarity = [query @ key / temperature for key in keys]
        total -= similarity[i] - sum(s.exp() for s in similarity).log()
    return 2 * temperature * total / len(queries)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("batch", [2, 7, 24])
def test_loss_contrasts_each_view_with_the_keys_of_the_other(
    tiny_spec, assert_equivalent, batch, temperature
):
    method = build_method(tiny_spec(method="moco", temperature=temperature), channels=1)
    generator = torch.Generator().manual_seed(batch)
    *queries, first_key, second_key = (3 * torch.randn(batch, 5, generator=generator) for _ in range(4))

    def loss(*views):
        keys = [key.to(views[0].dtype) for key in (first_key, second_key)]
        return method.loss(Outputs((), (), views), Targets((), keys))

    def plain(first, second):
        return info_nce(first, second_key.double(), temperature) + info_nce(
            second, first_key.double(), temperature
        )

    assert_equivalent(loss, plain, queries)
