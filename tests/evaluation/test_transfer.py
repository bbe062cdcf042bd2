"""Transfer: linear classifiers of the paper's Table 2 on stored representations."""

import json
import math

import pytest
import torch
from torch import nn

from ldreg.data.datasets import ImageData, Split, balanced_rows
from ldreg.data.views import eval_view
from ldreg.evaluation.channels import match_channels
from ldreg.evaluation.features import extract
from ldreg.evaluation.knn import holdout_split
from ldreg.evaluation.linear import Heads, train_heads
from ldreg.evaluation.transfer import (
    ProbeSetting,
    TransferSettings,
    accuracies,
    at_grid_edge,
    field_metric,
    paper_setting,
    transfer,
    transfer_probe,
)

CLASSES = 5
CPU = torch.device("cpu")
SETTINGS = TransferSettings(epochs=4, batch_size=64, learning_rates=(0.01, 0.1), weight_decays=(0.0, 5e-4))


@pytest.fixture(scope="module")
def split():
    """Gaussian classes of unequal sizes that overlap: (train_x, train_y, test_x, test_y)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400).sqrt().long() % CLASSES
    x = torch.randn(CLASSES, 12, generator=generator)[labels] + 2 * torch.randn(400, 12, generator=generator)
    x = 3 + x * torch.logspace(-1, 1, 12)
    order = torch.randperm(400, generator=generator)
    train, test = order[:300], order[300:]
    return x[train], labels[train], x[test], labels[test]


def plain_sgd(x, y, rate, decay, epochs, batch_size, seed=0):
    """The paper's protocol, one classifier at a time: torch's own parts, in float64."""
    x = x.double()
    standardised = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-5).sqrt()
    linear = nn.Linear(x.shape[1], CLASSES).double()
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.SGD(linear.parameters(), rate, momentum=0.9, weight_decay=decay, nesterov=True)
    steps = math.ceil(len(x) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * epochs, eta_min=0)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).tensor_split(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(linear(standardised[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return linear, x.mean(dim=0), (x.var(dim=0, correction=0) + 1e-5).sqrt()


@pytest.mark.parametrize(("rate", "decay"), [(0.01, 5e-4), (0.1, 0.0), (0.3, 0.05)])
def test_equals_the_protocol_written_plainly_in_float64(split, rate, decay):
    train_x, train_y, test_x, test_y = split
    linear, mean, scale = plain_sgd(train_x, train_y, rate, decay, epochs=30, batch_size=64)
    settings = TransferSettings(batch_size=64).linear
    heads = train_heads(train_x, train_y, CLASSES, [rate], settings, 0, CPU, [decay])
    torch.testing.assert_close(heads.weight[0].double(), linear.weight.T, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(heads.bias[0].double(), linear.bias, rtol=1e-3, atol=1e-5)
    predicted = linear((test_x.double() - mean) / scale).argmax(dim=1)
    top1 = accuracies(heads, test_x, test_y, CLASSES)[0]["top1"]
    assert top1 == pytest.approx(100 * (predicted == test_y).double().mean().item())


def test_paper_setting_is_the_papers():
    settings = TransferSettings()
    shared = settings.linear
    assert (shared.epochs, shared.batch_size, shared.momentum) == (30, 256, 0.9)
    assert shared.nesterov and shared.decay_biases
    assert paper_setting("cars") == (0.01, 5e-4) and paper_setting("birdsnap") == (0.05, 5e-4)
    for name in ("cars", "birdsnap"):
        assert paper_setting(name) in settings.candidates(name)


def test_heads_in_one_pass_equal_each_alone(split):
    train_x, train_y = split[:2]
    rates, decays = zip(*SETTINGS.candidates("cars"), strict=True)
    together = train_heads(train_x, train_y, CLASSES, rates, SETTINGS.linear, 0, CPU, decays)
    assert len(rates) == 4
    for head in range(4):
        alone = train_heads(
            train_x,
            train_y,
            CLASSES,
            rates[head : head + 1],
            SETTINGS.linear,
            0,
            CPU,
            decays[head : head + 1],
        )
        torch.testing.assert_close(together.weight[head], alone.weight[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(together.bias[head], alone.bias[0], rtol=1e-4, atol=1e-6)


# Accuracies


def test_accuracies_by_hand():
    """Four classes, of which the third has no row; the input is the logits of both heads."""
    x = torch.tensor([[2.0, 1, 0, 0], [0, 2, 1, 0], [2, 0, 1, 0], [0, 2, 0, 1], [1, 0, 0, 2], [2, 0, 0, 1]])
    y = torch.tensor([0, 0, 0, 1, 3, 3])
    weight = torch.stack(
        [torch.eye(4), torch.eye(4).roll(1, dims=1)]
    )  # the second predicts one class further
    heads = Heads(torch.zeros(4), torch.ones(4), weight, torch.zeros(2, 4))
    first, second = accuracies(heads, x, y, classes=4, batch_size=4)
    # Class 0: 2 of 3, class 1: 1 of 1, class 3: 1 of 2.
    assert first["top1"] == pytest.approx(100 * 4 / 6)
    assert first["mean_per_class"] == pytest.approx(100 * (2 / 3 + 1 + 1 / 2) / 3)
    assert second["top1"] == second["mean_per_class"] == 0


def test_logits_that_are_not_finite_are_misses():
    heads = Heads(torch.zeros(2), torch.ones(2), torch.full((1, 2, 3), torch.nan), torch.zeros(1, 3))
    assert accuracies(heads, torch.ones(3, 2), torch.arange(3), 3) == [{"top1": 0.0, "mean_per_class": 0.0}]


def test_metric_of_the_field():
    table2 = ("food101", "cifar10", "cifar100", "birdsnap", "cars", "dtd", "digits")
    assert {field_metric(name) for name in table2} == {"top1"}
    assert {field_metric(name) for name in ("aircraft", "pets")} == {"mean_per_class"}


# The choice


def test_result_is_as_documented(split):
    result = transfer_probe("cars", *split, CLASSES, SETTINGS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert (result["split"], result["protocol"], result["metric"]) == ("test", "cached", "top1")
    assert result["rows"] == {"train": 300, "holdout": len(holdout_split(split[1], 0.2)[1]), "test": 100}
    assert (result["dim"], result["classes"]) == (12, CLASSES)
    assert [(each["lr"], each["weight_decay"]) for each in result["holdout"]] == SETTINGS.candidates("cars")
    assert result["settings"]["epochs"] == 4 and result["reported"] == "paper"
    for key in ("top1", "mean_per_class"):
        assert result[key] == result["paper"][key]
    assert (result["paper"]["lr"], result["paper"]["weight_decay"]) == (0.01, 5e-4)
    assert 100 / CLASSES < result["paper"]["mean_per_class"] <= 100


@pytest.mark.parametrize(("dataset", "metric"), [("cars", "top1"), ("pets", "mean_per_class")])
def test_chosen_is_the_best_on_the_holdout_by_the_fields_metric(split, dataset, metric):
    settings = TransferSettings(epochs=4, batch_size=64, learning_rates=(0.1, 1.0), reported="chosen")
    result = transfer_probe(dataset, *split, CLASSES, settings)
    best = max(result["holdout"], key=lambda each: each[metric])
    chosen = result["chosen"]
    assert (chosen["lr"], chosen["weight_decay"], chosen["holdout"]) == (
        best["lr"],
        best["weight_decay"],
        best[metric],
    )
    assert chosen["at_grid_edge"] is at_grid_edge(
        ProbeSetting(chosen["lr"], chosen["weight_decay"]), settings.candidates(dataset)
    )
    assert len({each[metric] for each in result["holdout"]}) > 1 and result["reported"] == "chosen"
    assert (result["top1"], result["mean_per_class"]) == (chosen["top1"], chosen["mean_per_class"])
    train_x, train_y, test_x, test_y = split
    setting = ProbeSetting(chosen["lr"], chosen["weight_decay"])
    head = train_heads(
        train_x, train_y, CLASSES, [setting.lr], settings.linear, 0, CPU, [setting.weight_decay]
    )
    assert accuracies(head, test_x, test_y, CLASSES)[0]["top1"] == chosen["top1"]


def test_test_split_never_enters_the_choice(split):
    train_x, train_y, test_x, test_y = split
    result = transfer_probe("cars", *split, CLASSES, SETTINGS)
    wrong = transfer_probe("cars", train_x, train_y, 9 - test_x, (test_y + 1) % CLASSES, CLASSES, SETTINGS)
    assert wrong["top1"] != result["top1"] and wrong["holdout"] == result["holdout"]
    for key in ("lr", "weight_decay", "holdout", "at_grid_edge"):
        assert wrong["chosen"][key] == result["chosen"][key]


@pytest.mark.parametrize(
    ("chosen", "edge"),
    [
        ((0.03, 5e-4), False),
        ((0.03, 0.0), False),  # below 0 there is none
        ((0.01, 5e-4), True),
        ((0.1, 0.0), True),
        ((0.03, 1e-3), True),
    ],
)
def test_says_when_a_better_setting_may_lie_outside(chosen, edge):
    settings = TransferSettings(learning_rates=(0.03, 0.1), weight_decays=(0.0, 1e-3))
    assert at_grid_edge(ProbeSetting(*chosen), settings.candidates("cars")) is edge


def test_one_decay_has_no_edge():
    candidates = TransferSettings(learning_rates=(0.001, 0.1), weight_decays=(5e-4,)).candidates("cars")
    assert not at_grid_edge(ProbeSetting(0.01, 5e-4), candidates)


def test_depends_on_no_other_random_state(split):
    torch.manual_seed(1)
    first = transfer_probe("cars", *split, CLASSES, SETTINGS)
    torch.manual_seed(2)
    assert transfer_probe("cars", *split, CLASSES, SETTINGS) == first


def test_divergence_and_an_empty_split_are_errors(split):
    train_x, train_y, test_x, test_y = split
    with pytest.raises(ValueError, match="no row to classify"):
        transfer_probe("cars", train_x, train_y, test_x[:0], test_y[:0], CLASSES, SETTINGS)
    broken = train_x.clone()
    broken[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match=r"transfer to cars diverged at learning rate 0\.01"):
        transfer_probe("cars", broken, train_y, test_x, test_y, CLASSES, SETTINGS)


# From the images


def test_grey_and_colour_are_matched_to_the_encoder():
    color = torch.rand(2, 3, 4, 4)
    grey = match_channels(color, 1)
    assert torch.equal(match_channels(color, 3), color) and torch.equal(match_channels(grey, 1), grey)
    weights = torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(grey, (color * weights).sum(dim=1, keepdim=True))
    repeated = match_channels(grey, 3)
    assert repeated.shape == (2, 3, 4, 4) and torch.equal(repeated[:, 2], grey[:, 0])
    torch.testing.assert_close(match_channels(repeated, 1), grey, rtol=1e-3, atol=0)  # they sum to 0.9999


def images(channels, count):
    generator = torch.Generator().manual_seed(channels)
    return torch.randint(0, 256, (count, channels, 10, 10), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("trained_on", [1, 3])
@pytest.mark.parametrize("given", [1, 3])
def test_transfers_between_grey_and_colour_without_touching_the_encoder(trained_on, given):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(trained_on, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    train, test = images(given, 80), images(given, 20)
    labels = torch.arange(100) % 4
    data = ImageData("mnist", Split(train, labels[:80]), Split(test, labels[80:]), 4, "digest")
    settings = TransferSettings(epochs=2, batch_size=32, learning_rates=(0.01,), train_images=40)
    result = transfer(encoder, trained_on, data, 8, settings, CPU)
    assert (result["dataset"], result["dataset_digest"], result["image_size"]) == ("mnist", "digest", 8)
    assert result["rows"] == {"train": 40, "holdout": 8, "test": 20}
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(module.training for module in encoder.modules())

    def features(images):
        views = match_channels(eval_view(images, 8), trained_on)
        return extract(encoder, (views * 255).round().byte(), 8, "cpu")  # rounded to a pixel's 256 values

    rows = balanced_rows(labels[:80], 40)
    expected = transfer_probe(
        "mnist", features(train[rows]), labels[:80][rows], features(test), labels[80:], 4, settings
    )
    assert result["dim"] == expected["dim"]
    assert result["top1"] == pytest.approx(expected["top1"], abs=15)  # of 20 images, three


def test_limit_above_what_there_is_takes_all(few_digits):
    encoder = nn.Sequential(nn.Flatten())
    settings = TransferSettings(train_images=5000)
    result = transfer(encoder, 1, few_digits, 8, settings, CPU)
    assert result["rows"]["train"] == 100 and result["settings"]["train_images"] == 5000
    assert result["top1"] > 70
