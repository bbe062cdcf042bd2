import json

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ldreg.config.detection import DetectionSettings
from ldreg.detection.evaluate import average_precision, predict
from ldreg.detection.fine_tuning import train_and_evaluate
from ldreg.detection.loop import build_optimizer
from ldreg.detection.model import build_detector
from ldreg.detection.norms import recompute_batch_norms
from ldreg.errors import LdregError
from ldreg.models.networks import build_backbone

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tiny, composed):
    """The settings, the encoder as it was and as it is, and the result."""
    torch.manual_seed(0)
    encoder, _ = build_backbone("small_cnn", channels=1)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    rows = []
    settings = tiny(learning_rate=0.05, iterations=150, steps=(120,))
    result = train_and_evaluate(encoder, "small_cnn", settings, *composed, CPU, seed=1, on_row=rows.append)
    return settings, before, encoder, result, rows


def test_the_loss_falls(trained):
    *_, result, rows = trained
    history = result["history"]
    assert rows == history and history[-1]["iteration"] == 150 and len(history) == 50
    first, last = (sum(row["loss"] for row in part) / 5 for part in (history[:5], history[-5:]))
    assert last < 0.6 * first
    for name in ("classifier", "mask", "objectness"):
        assert history[-1][f"loss_{name}"] < history[0][f"loss_{name}"]


def test_the_trained_detector_finds_what_an_untrained_one_does_not(trained, composed, tiny):
    *_, encoder, result, _ = trained
    torch.manual_seed(0)
    untrained = build_detector(encoder, "small_cnn", 10, tiny(score_threshold=0.0))
    chance = average_precision(composed[1], predict(untrained, composed[1], 4, CPU))
    for kind in ("box", "mask"):
        assert result[kind]["ap50"] > chance[kind]["ap50"] + 10
        assert result[kind]["ap"] > chance[kind]["ap"] + 5
        assert 0 <= result[kind]["ap"] <= result[kind]["ap50"] <= 100


def test_the_result_says_all_about_itself_as_json(trained):
    settings, *_, result, _ = trained
    again = json.loads(json.dumps(result, allow_nan=False))
    assert again == result
    assert DetectionSettings(**result["settings"]) == settings
    assert (result["split"], result["seed"], result["categories"]) == ("val", 1, 10)
    assert (result["train_images"], result["val_images"]) == (60, 20)


def test_the_encoder_stays_as_it_was(trained):
    _, before, encoder, *_ = trained
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_results_depend_on_the_seed_alone(tiny, composed, small_cnn):
    settings = tiny(iterations=3, steps=(), precise_norm_batches=1, flip=0.5, min_sizes=(80, 96))

    def run(seed):
        return train_and_evaluate(small_cnn, "small_cnn", settings, *composed, CPU, seed)

    first = run(0)
    torch.manual_seed(7)  # whatever state there was
    assert run(0) == first
    assert run(1)["history"] != first["history"]


def test_the_schedule_is_detectron2s():
    paper = DetectionSettings()
    assert paper.rate(0) == pytest.approx(0.02 / 1000)
    assert paper.rate(500) == pytest.approx(0.02 * (0.001 * 0.5 + 0.5))
    assert paper.rate(1000) == paper.rate(119_999) == 0.02
    assert paper.rate(120_000) == pytest.approx(0.002)
    assert paper.rate(179_999) == pytest.approx(0.0002)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (9, 9)}, "steps: .* must rise and stay below iterations"),
        ({"iterations": 100}, "steps: .* must rise and stay below iterations"),
        ({"max_size": 700}, "max_size: 700 is not allowed; min_sizes go up to 800"),
        ({"iteration": 3}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        DetectionSettings(**changes)


def test_norms_do_not_decay(tiny, small_cnn):
    detector = build_detector(small_cnn, "small_cnn", 10, tiny())
    rest, norms = build_optimizer(detector, tiny()).param_groups
    assert (rest["weight_decay"], norms["weight_decay"]) == (1e-4, 0.0)
    assert len(norms["params"]) == 2 * 5  # four stages and the extra one
    assert len(rest["params"]) + len(norms["params"]) == len(list(detector.parameters()))


def test_precise_norms_have_the_statistics_of_all_values_of_their_batches():
    model = nn.Sequential(nn.BatchNorm2d(2))
    model.forward = lambda images, targets: model[0](torch.stack(images))
    model[0].running_mean.fill_(7.0)
    batches = [
        (list(torch.randn(4, 2, side, side) + shift), []) for side, shift in ((8, 0.0), (8, 3.0), (4, 9.0))
    ]
    values = torch.cat([torch.stack(images).transpose(0, 1).flatten(1) for images, _ in batches], dim=1)
    for _ in range(2):
        recompute_batch_norms(model, iter(batches))
        assert torch.allclose(model[0].running_mean, values.mean(dim=1))
        assert torch.allclose(model[0].running_var, values.var(dim=1, correction=0))
        batches = []  # which changes nothing
    assert model[0].momentum == 0.1 and not model[0]._forward_pre_hooks


def test_divergence_is_told_in_one_line(tiny, composed, small_cnn):
    settings = tiny(learning_rate=1e6, warmup_iterations=0, iterations=10, steps=())
    with pytest.raises(LdregError, match=r"detection diverged by iteration \d+: .*lower learning_rate"):
        train_and_evaluate(small_cnn, "small_cnn", settings, *composed, CPU)


def test_splits_of_other_categories_are_refused(tiny, composed, small_cnn, write_set):
    with pytest.raises(LdregError, match=r"set.json: categories: id \d+ is not in both this and"):
        train_and_evaluate(small_cnn, "small_cnn", tiny(), composed[0], write_set(), CPU)


def test_a_training_split_without_objects_is_refused(tiny, small_cnn, write_set):
    def change(content):
        for found in content["annotations"]:
            found["iscrowd"] = 1

    data = write_set(change)
    with pytest.raises(LdregError, match=r"set.json: annotations: no image has an object"):
        train_and_evaluate(small_cnn, "small_cnn", tiny(), data, data, CPU)
