import json
import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from ldreg.evaluation.linear import LinearSettings, linear_probe, top_accuracy, train_heads

CLASSES = 6
CPU = torch.device("cpu")
SETTINGS = LinearSettings(epochs=20, batch_size=128, learning_rates=(0.003, 0.03, 0.3))


def make_split(noise: float, rows: int = 900, dim: int = 16):
    """Gaussian classes with features of very different scales: (train_x, train_y, test_x, test_y)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % CLASSES
    centers = torch.randn(CLASSES, dim, generator=generator)
    x = centers[labels] + noise * torch.randn(rows, dim, generator=generator)
    x = 5 + x * torch.logspace(-1, 1, dim)
    train = 2 * rows // 3
    return x[:train], labels[:train], x[train:], labels[train:]


@pytest.fixture(scope="module")
def split():
    return make_split(noise=2.0)


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_agrees_with_logistic_regression(noise):
    train_x, train_y, test_x, test_y = make_split(noise, rows=3000)
    scaler = StandardScaler().fit(train_x)
    reference = LogisticRegression(C=1e4, max_iter=1000).fit(scaler.transform(train_x), train_y)
    expected = 100 * reference.score(scaler.transform(test_x), test_y)
    assert expected == 100 if noise < 1 else 50 < expected < 95
    result = linear_probe(train_x, train_y, test_x, test_y, CLASSES, SETTINGS)
    assert result["top1"] == pytest.approx(expected, abs=1.0)


def test_heads_equal_sgd_of_torch_one_at_a_time(split):
    """Independent reference: BatchNorm without affine, nn.Linear, torch's SGD and cosine schedule."""
    x, y = split[:2]
    rates = (0.003, 0.03, 0.3)
    settings = LinearSettings(epochs=4, batch_size=128, learning_rates=rates, weight_decay=0.01)
    heads = train_heads(x, y, CLASSES, rates, settings, seed=3, device=CPU)

    norm = nn.BatchNorm1d(x.shape[1], affine=False, momentum=None)
    standardised = norm(x)  # in training mode: normalised by the statistics of all of x
    steps_per_epoch = math.ceil(len(x) / 128)
    for head, rate in enumerate(rates):
        linear = nn.Linear(x.shape[1], CLASSES)
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        groups = [{"params": linear.weight, "weight_decay": 0.01}, {"params": linear.bias}]
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4 * steps_per_epoch)
        generator = torch.Generator().manual_seed(3)
        for _ in range(4):
            for rows in torch.randperm(len(x), generator=generator).tensor_split(steps_per_epoch):
                optimizer.zero_grad()
                nn.functional.cross_entropy(linear(standardised[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
        torch.testing.assert_close(heads.weight[head], linear.weight.T, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(heads.bias[head], linear.bias, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(heads.logits(x)[head], linear(standardised), rtol=1e-3, atol=1e-4)


def test_parallel_heads_equal_each_head_alone(split):
    x, y = split[:2]
    together = train_heads(x, y, CLASSES, (0.01, 0.1, 1.0), SETTINGS, seed=0, device=CPU)
    for head, rate in enumerate((0.01, 0.1, 1.0)):
        alone = train_heads(x, y, CLASSES, [rate], SETTINGS, seed=0, device=CPU)
        torch.testing.assert_close(together.weight[head], alone.weight[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.bias[head], alone.bias[0], rtol=1e-4, atol=1e-5)


def test_result_is_as_documented(split):
    result = linear_probe(*split, CLASSES, SETTINGS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result) == ["split", "protocol", "top1", "top5", "lr", "at_grid_edge", "epochs", "holdout"]
    assert (result["split"], result["protocol"], result["epochs"]) == ("test", "cached", 20)
    assert 100 / CLASSES < result["top1"] < result["top5"] <= 100
    assert [entry["lr"] for entry in result["holdout"]] == [0.003, 0.03, 0.3]
    best = max(entry["top1"] for entry in result["holdout"])
    assert result["lr"] == next(entry["lr"] for entry in result["holdout"] if entry["top1"] == best)


def test_tested_head_is_trained_on_the_complete_training_split(split):
    train_x, train_y, test_x, test_y = split
    result = linear_probe(*split, CLASSES, SETTINGS, seed=5)
    head = train_heads(train_x, train_y, CLASSES, [result["lr"]], SETTINGS, seed=5, device=CPU)
    assert result["top1"] == top_accuracy(head, test_x, test_y, top=1)[0]
    assert result["top5"] == top_accuracy(head, test_x, test_y, top=5)[0]


def test_test_split_never_enters_the_choice(split):
    train_x, train_y, test_x, test_y = split
    result = linear_probe(*split, CLASSES, SETTINGS)
    wrong = linear_probe(train_x, train_y, test_x.flip(0) * 3, (test_y + 1) % CLASSES, CLASSES, SETTINGS)
    assert wrong["top1"] != result["top1"]
    assert (wrong["lr"], wrong["holdout"]) == (result["lr"], result["holdout"])


def test_depends_on_its_seed_and_on_no_other_random_state(split):
    torch.manual_seed(1)
    first = linear_probe(*split, CLASSES, SETTINGS, seed=0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert linear_probe(*split, CLASSES, SETTINGS, seed=0) == first
    assert torch.equal(torch.get_rng_state(), state)
    weights = [train_heads(*split[:2], CLASSES, [0.1], SETTINGS, seed, CPU).weight for seed in (0, 1)]
    assert not torch.equal(*weights)


def test_chooses_by_holdout_accuracy_and_says_when_at_the_edge():
    split = make_split(noise=2.0)
    # So low that 20 epochs cannot learn, right, and so high that the training never settles.
    inner = LinearSettings(20, 128, (1e-7, 0.03, 1e5))
    outer = LinearSettings(20, 128, (0.03, 1e-7))
    assert (linear_probe(*split, CLASSES, inner)["lr"], linear_probe(*split, CLASSES, outer)["lr"]) == (
        0.03,
        0.03,
    )
    assert linear_probe(*split, CLASSES, inner)["at_grid_edge"] is False
    assert linear_probe(*split, CLASSES, outer)["at_grid_edge"] is True


def test_no_top5_without_more_than_five_classes(split):
    train_x, train_y, test_x, test_y = split
    result = linear_probe(train_x, train_y % 5, test_x, test_y % 5, 5, SETTINGS)
    assert result["top5"] is None


def test_constant_dimensions_and_half_precision_are_harmless(split):
    train_x, train_y, test_x, test_y = split
    dead = [torch.cat([x, torch.full((len(x), 2), 3.0)], dim=1) for x in (train_x, test_x)]
    result = linear_probe(*split, CLASSES, SETTINGS)
    assert linear_probe(dead[0], train_y, dead[1], test_y, CLASSES, SETTINGS)["top1"] == result["top1"]
    half = linear_probe(train_x.half(), train_y, test_x.half(), test_y, CLASSES, SETTINGS)
    assert half["top1"] == pytest.approx(result["top1"], abs=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "at least 1, got 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"learning_rates": ()}, "positive numbers"),
        ({"learning_rates": (0.1, -0.1)}, "positive numbers"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        LinearSettings(**{"epochs": 1, "batch_size": 8, "learning_rates": (0.1,)} | change)


def test_broken_features_and_divergence_are_errors(split):
    train_x, train_y, test_x, test_y = split
    with pytest.raises(FloatingPointError, match="diverged at learning rate"):
        linear_probe(*split, CLASSES, LinearSettings(2, 128, (1e38,)))
    with pytest.raises(ValueError, match="no row to classify"):
        linear_probe(train_x, train_y, test_x[:0], test_y[:0], CLASSES, SETTINGS)
    broken = train_x.clone()
    broken[0, 0] = torch.inf
    with pytest.raises(ValueError, match="must be finite"):
        linear_probe(broken, train_y, test_x, test_y, CLASSES, SETTINGS)
