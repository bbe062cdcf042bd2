import pytest
import torch

import ldreg.data.batches
from ldreg.data.batches import batches
from ldreg.data.datasets import Split

PLAIN = ({}, {})  # views that are copies


def places(view):
    """The images of a batch whose images show nothing but their own number."""
    return (255 * view[:, 0, 0, 0]).round().int().tolist()


NUMBERED = torch.arange(100, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
LABELED = Split(NUMBERED, torch.arange(100) + 1000)


def test_an_epoch_takes_whole_batches_of_different_images_in_a_new_order(tiny_spec):
    spec = tiny_spec(views=PLAIN)
    orders = {}
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        found = list(batches(LABELED, tiny_spec(views=PLAIN, seed=seed), epoch, steps=3))
        assert [[view.shape for view in batch.inputs] for batch in found] == [[(32, 1, 8, 8)] * 2] * 3
        assert all(places(batch.inputs[0]) == places(batch.inputs[1]) for batch in found)
        orders[seed, epoch] = [place for batch in found for place in places(batch.inputs[0])]
        assert len(set(orders[seed, epoch])) == 96
    assert len({tuple(order) for order in orders.values()}) == 3
    again = [place for batch in batches(LABELED, spec, 1, steps=3) for place in places(batch.inputs[0])]
    assert again == orders[0, 1]


def test_labels_are_the_images_own(tiny_spec):
    for batch in batches(LABELED, tiny_spec(views=PLAIN), epoch=0, steps=3):
        assert [label - 1000 for label in batch.labels.tolist()] == places(batch.inputs[0])


def test_views_differ_from_each_other_and_between_steps_epochs_and_seeds(tiny_spec):
    spec = tiny_spec(views=({"jitter": 1.0, "brightness": 0.5},) * 2)
    white = Split(torch.full((96, 1, 8, 8), 100, dtype=torch.uint8), torch.zeros(96, dtype=torch.long))
    factors = [
        view[:, 0, 0, 0]
        for seed in (0, 1)
        for epoch in (0, 1)
        for batch in batches(white, spec.model_copy(update={"seed": seed}), epoch, steps=3)
        for view in batch.inputs
    ]
    assert len(torch.cat(factors).unique()) > 0.95 * 2 * 2 * 2 * 96


def test_masks_are_uniform_and_differ_between_images_steps_epochs_and_seeds(tiny_spec, few_digits):
    spec = tiny_spec(method="mae")
    noise = torch.cat(
        [
            batch.inputs[1]
            for seed in (0, 1)
            for epoch in (0, 1)
            for batch in batches(few_digits.train, spec.model_copy(update={"seed": seed}), epoch, steps=3)
        ]
    )
    assert noise.shape == (2 * 2 * 3 * 32, 16)  # 4 x 4 patches of 4 pixels
    assert len(noise.unique(dim=0)) == len(noise)
    assert 0 <= noise.min() < 0.01 and 0.99 < noise.max() < 1
    assert abs(noise.mean() - 0.5) < 4 / (12 * noise.numel()) ** 0.5
    # Every patch is as likely to be seen as any other: 4 of 16.
    seen = noise.argsort(dim=1)[:, :4]
    counts = torch.bincount(seen.flatten(), minlength=16)
    assert (counts - len(noise) / 4).abs().max() < 4.5 * (len(noise) * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("method", ["simclr", "mae"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_the_batch_that_one_process_has(tiny_spec, few_digits, monkeypatch, ranks, method):
    spec = tiny_spec(method=method)
    whole = list(batches(few_digits.train, spec, epoch=1, steps=3))
    shares = []
    monkeypatch.setattr(ldreg.data.batches, "world_size", lambda: ranks)
    for rank in range(ranks):
        monkeypatch.setattr(ldreg.data.batches, "rank", lambda rank=rank: rank)
        shares.append(list(batches(few_digits.train, spec, epoch=1, steps=3)))
    for step, batch in enumerate(whole):
        for index, rows in enumerate(batch.inputs):
            assert torch.equal(rows, torch.cat([share[step].inputs[index] for share in shares]))
        assert torch.equal(batch.labels, torch.cat([share[step].labels for share in shares]))
