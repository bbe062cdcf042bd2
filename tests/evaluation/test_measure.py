from dataclasses import replace

import pytest
import torch
from torch import nn

from ldreg.config.scale_file import Evaluation
from ldreg.data.datasets import ImageData, Split
from ldreg.data.views import eval_view
from ldreg.errors import LdregError
from ldreg.evaluation.measure import measure
from ldreg.lid import geometric_mean, lid_mle
from ldreg.models.networks import build_backbone

CPU = torch.device("cpu")
EVALUATION = Evaluation(
    linear_epochs=3,
    linear_batch_size=32,
    linear_learning_rates=(0.03, 0.3),
    holdout=0.3,
    knn_k=7,
    knn_temperature=0.2,
    lid_ks=(4, 12),
    lid_batch_rows=100,
)


@pytest.fixture
def encoder():
    """An encoder in training mode, with batch-norm statistics that no freshly made one has."""
    torch.manual_seed(0)
    network, _ = build_backbone("small_cnn", channels=1)
    network(torch.rand(64, 1, 8, 8))
    return network.train()


def test_nothing_in_the_encoder_changes(encoder, few_digits):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    measure(encoder, few_digits, 8, EVALUATION, CPU)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert sum("running" in key for key in before) == 8
    assert all(module.training for module in encoder.modules())
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_results_repeat_whatever_was_drawn_before(encoder, few_digits):
    torch.manual_seed(1)
    first = measure(encoder, few_digits, 8, EVALUATION, CPU)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert measure(encoder.eval(), few_digits, 8, EVALUATION, CPU) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_settings_and_splits_go_where_they_belong(encoder, few_digits):
    found = measure(encoder, few_digits, 8, EVALUATION, CPU)
    assert list(found) == ["dimensionality", "knn", "linear"]
    dimensionality, knn, linear = found.values()
    assert [content["split"] for content in found.values()] == ["test"] * 3
    assert (dimensionality["rows"], dimensionality["dim"]) == (450, 128)
    measured = [(entry["estimator"], entry["k"], entry["batch_rows"]) for entry in dimensionality["lid"]]
    assert sorted(measured, key=str) == sorted(
        [(name, k, rows) for name in ("mom", "mle") for k in (4, 12) for rows in (None, 100)], key=str
    )
    assert (knn["k"], knn["temperature"]) == (7, 0.2)
    assert linear["epochs"] == 3
    assert [entry["lr"] for entry in linear["holdout"]] == [0.03, 0.3]
    with torch.no_grad():
        representations = encoder.eval()(eval_view(few_digits.test.images, 8))
    (entry,) = [
        e for e in dimensionality["lid"] if (e["estimator"], e["k"], e["batch_rows"]) == ("mle", 12, None)
    ]
    assert entry["mlid"] == pytest.approx(float(geometric_mean(lid_mle(representations, k=12))), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "stem"),
    [
        ({"knn_k": 1}, "knn"),
        ({"knn_temperature": 0.01}, "knn"),
        ({"holdout": 0.5}, "linear"),
        ({"linear_batch_size": 16}, "linear"),
        ({"linear_epochs": 4}, "linear"),
        ({"lid_batch_rows": 50}, "dimensionality"),
    ],
)
def test_every_setting_counts_for_its_measurement_alone(encoder, few_digits, change, stem):
    before = measure(encoder, few_digits, 8, EVALUATION, CPU)
    after = measure(encoder, few_digits, 8, EVALUATION.model_copy(update=change), CPU)
    assert {name for name in before if numbers(before[name]) != numbers(after[name])} == {stem}


def numbers(content):
    """The results in a measurement's content, without the settings that it repeats."""
    if "lid" in content:
        return [entry["mlid"] for entry in content["lid"]]
    return content["top1"], content["top5"], [entry["top1"] for entry in content.get("holdout", ())]


def test_classes_that_lie_apart_are_told_apart_on_the_test_split():
    """Six grey levels in six places: 100 % right, and 0 % where the test split's labels are all wrong."""
    labels = torch.arange(120) % 6
    images = torch.randint(
        0, 9, (120, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    images[torch.arange(120), 0, labels] += 200
    split = Split(images, labels)
    data = ImageData("stripes", train=split, test=split, classes=6, digest="")
    settings = EVALUATION.model_copy(update={"linear_epochs": 20})
    right = measure(nn.Flatten(), data, 8, settings, CPU)
    wrong = measure(nn.Flatten(), replace(data, test=Split(images, (labels + 1) % 6)), 8, settings, CPU)
    assert (right["knn"]["top1"], right["linear"]["top1"]) == (100, 100)
    assert (wrong["knn"]["top1"], wrong["linear"]["top1"]) == (0, 0)
    assert wrong["linear"]["holdout"] == right["linear"]["holdout"]
    assert wrong["dimensionality"] == right["dimensionality"]


def test_more_neighbours_than_training_images_are_told_before_anything_is_extracted(digits, monkeypatch):
    monkeypatch.setattr("ldreg.evaluation.measure.represent", lambda *_, **__: pytest.fail("extracted"))
    evaluation = Evaluation(knn_k=len(digits.train.labels) + 1)
    with pytest.raises(LdregError, match=r"^evaluation.knn_k: 1348 is not allowed; digits has 1347 training"):
        measure(torch.nn.Identity(), digits, 8, evaluation, torch.device("cpu"))
