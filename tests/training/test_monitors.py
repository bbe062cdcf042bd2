import pytest
import torch
from torch.nn import functional as F

from ldreg.lid import geometric_mean, lid_mle, lid_mom
from ldreg.spectrum import effective_rank
from ldreg.training.monitors import EVERY, PROBE_LR, QUEUE_ROWS, Monitors, empty_row

CPU = torch.device("cpu")


def rows(count, dim=8, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def observed(spec, steps, dim=8):
    """The monitors after one epoch, and the representations of both views that they saw in each step."""
    monitors = Monitors(spec.model_copy(update={"epochs": 1}), 10, dim, steps, CPU)
    seen = [rows(2 * spec.batch_size, dim, seed=step) for step in range(steps)]
    for each in seen:
        labels = torch.arange(spec.batch_size) % 10
        monitors.observe(list(each.chunk(2)), labels)
    return monitors, seen


def log_mean(lids):
    return float(torch.stack([geometric_mean(lid).log() for lid in lids]).mean().exp())


@pytest.mark.parametrize("changes", [{}, {"regularizer": "ldreg_l1", "k": 12}, {"regularizer": "cov"}])
def test_lid_is_that_of_every_nth_step_and_the_last(tiny_spec, changes):
    spec = tiny_spec(monitor_k=8, **changes)
    monitors, seen = observed(spec, steps=2 * EVERY + 3)
    measured = [seen[EVERY - 1], seen[2 * EVERY - 1], seen[2 * EVERY + 2]]
    row = monitors.finish()
    k = 12 if "k" in changes else 8  # the run's own where it has one
    assert row["mlid"] == pytest.approx(log_mean([lid_mom(each, k=k) for each in measured]), rel=1e-5)
    assert row["mlid_mle_32"] == pytest.approx(log_mean([lid_mle(each, k=32) for each in measured]), rel=1e-5)
    assert row["mlid_mle_512"] is None  # of 64 rows


def test_a_large_batch_has_the_wide_neighbourhood_too(tiny_spec):
    monitors, (seen,) = observed(tiny_spec(batch_size=257), steps=1)
    row = monitors.finish()
    assert row["mlid_mle_512"] == pytest.approx(log_mean([lid_mle(seen, k=512)]), rel=1e-5)


def test_effective_rank_is_that_of_the_latest_rows(tiny_spec):
    spec = tiny_spec(batch_size=1024)  # 2048 rows a step
    steps = QUEUE_ROWS // 2048 + 2
    monitors, seen = observed(spec, steps, dim=512)
    row = monitors.finish()
    assert row["effective_rank"] == pytest.approx(float(effective_rank(torch.cat(seen[2:]))))
    assert row["effective_rank"] != pytest.approx(float(effective_rank(torch.cat(seen))), rel=1e-6)


def test_an_epoch_begins_anew_and_may_be_too_short_to_be_measured(tiny_spec):
    monitors = Monitors(tiny_spec(epochs=3), 10, 8, EVERY, CPU)
    rowsets = [rows(64, seed=epoch) for epoch in range(3)]
    found = []
    for epoch in range(3):
        for _ in range(EVERY - 1 if epoch == 1 else EVERY):
            monitors.observe(list(rowsets[epoch].chunk(2)), torch.zeros(32, dtype=torch.long))
        found.append(monitors.finish())
    first, short, third = found
    assert first["mlid"] == pytest.approx(log_mean([lid_mom(rowsets[0], k=8)]), rel=1e-5)
    assert (short["mlid"], short["mlid_mle_32"], short["effective_rank"]) == (None, None, None)
    assert short["probe_top1"] is not None
    assert third["mlid"] == pytest.approx(log_mean([lid_mom(rowsets[2], k=8)]), rel=1e-5)
    assert list(first) == list(short) == list(empty_row())


def test_probe_learns_as_a_plain_linear_classifier_does(tiny_spec):
    """Accuracy before each step, of a softmax regression on standardised rows with Adam, from zero."""
    monitors = Monitors(tiny_spec(), 3, 4, 40, CPU)
    weight = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=PROBE_LR)
    directions = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    hits = []
    for step in range(40):
        x = rows(64, 4, seed=step)
        labels = (x[:32] @ directions.T).argmax(dim=1)
        monitors.observe([x[:32], x[32:]], labels)
        both = labels.repeat(2)
        standard = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-5).sqrt()
        logits = standard.double() @ weight.T + bias
        hits.append((logits.argmax(dim=1) == both).double().mean())
        optimizer.zero_grad()
        F.cross_entropy(logits, both).backward()
        optimizer.step()
    torch.testing.assert_close(monitors.probe.weight.double(), weight, rtol=1e-4, atol=1e-6)
    assert monitors.finish()["probe_top1"] == pytest.approx(100 * float(torch.stack(hits).mean()), rel=1e-6)
    assert hits[-1] > hits[0]


def test_nothing_is_drawn_and_no_gradient_flows_back(tiny_spec):
    state = torch.get_rng_state()
    monitors = Monitors(tiny_spec(epochs=1), 10, 8, 1, CPU)
    x = rows(64).requires_grad_()
    monitors.observe(list(x.chunk(2)), torch.arange(32) % 10)
    monitors.finish()
    assert x.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_representations_that_are_not_finite_are_an_error(tiny_spec):
    monitors = Monitors(tiny_spec(epochs=1), 10, 8, 1, CPU)
    broken = rows(64)
    broken[3] = torch.nan
    with pytest.raises(ValueError, match="row 3 is not"):
        monitors.observe(list(broken.chunk(2)), torch.arange(32) % 10)
