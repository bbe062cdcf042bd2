from dataclasses import replace

import pytest
import torch

import ldreg.training.pretrain
from ldreg.catalogue.methods import METHODS
from ldreg.config.execution import Execution
from ldreg.data.datasets import Split
from ldreg.errors import LdregError
from ldreg.training.optim import build_optimizer
from ldreg.training.pretrain import pretrain

COLUMNS = ["epoch", "loss", "ssl_loss", "regularizer"]
COLUMNS += ["mlid", "mlid_mle_32", "mlid_mle_512", "effective_rank", "probe_top1"]  # tests/test_monitors.py
COLUMNS += ["lr", "images_per_second", "knn_top1"]


def train(spec, data, **execution):
    """The encoder's weights and buffers, and the history without its one column that tells the time."""
    way = Execution(**execution)
    encoder, history = pretrain(spec, data, way, torch.device("cpu"), on_epoch=lambda row: None)
    for row in history:
        assert row.pop("images_per_second") > 0
    return encoder.state_dict(), history


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) for key, value in first.items()
    )


@pytest.fixture(scope="module")
def plain(tiny_spec, few_digits):
    """The unregularised run."""
    return train(tiny_spec(), few_digits)


@pytest.fixture(scope="module")
def regularized(tiny_spec, few_digits):
    return train(tiny_spec(regularizer="ldreg_l1"), few_digits)


def test_same_spec_gives_the_same_bits_whatever_was_drawn_before(tiny_spec, few_digits, regularized):
    torch.manual_seed(123)
    torch.rand(7)
    weights, history = train(tiny_spec(regularizer="ldreg_l1"), few_digits)
    assert equal(weights, regularized[0])
    assert history == regularized[1]


def test_seed_changes_weights_and_history(tiny_spec, few_digits, plain):
    weights, history = train(tiny_spec(seed=1), few_digits)
    assert not torch.equal(weights["0.weight"], plain[0]["0.weight"])
    assert history[0]["loss"] != plain[1][0]["loss"]


def test_history_has_a_row_per_epoch_with_the_documented_columns(tiny_spec, few_digits):
    told = []
    spec = tiny_spec(regularizer="ldreg_l1", epochs=3, warmup_epochs=1, base_lr=0.01, knn_every=2)
    _, history = pretrain(spec, few_digits, Execution(), torch.device("cpu"), told.append)
    assert told == history
    assert [list(row) for row in history] == [COLUMNS] * 3
    assert [row["epoch"] for row in history] == [1, 2, 3]
    # The rate of each epoch's last step: after 2/3, 5/3 and 8/3 epochs, of which one warms up.
    assert [row["lr"] for row in history] == pytest.approx(
        [0.01 * 2 / 3, 0.0075, 0.01 * (1 - 3**0.5 / 2) / 2]
    )
    assert [row["knn_top1"] is None for row in history] == [True, False, False]  # every 2 and at the end
    assert 10 < history[-1]["knn_top1"] <= 100
    for row in history:
        assert row["loss"] == pytest.approx(row["ssl_loss"] + row["regularizer"])


def test_history_holds_the_mean_loss_over_the_steps(tiny_spec, few_digits, monkeypatch):
    losses = []
    build = ldreg.training.pretrain.build_method

    def spied_method(*arguments):
        method = build(*arguments)
        loss = method.loss

        def spied_loss(*arguments):
            losses.append(loss(*arguments))
            return losses[-1]

        method.loss = spied_loss
        return method

    monkeypatch.setattr(ldreg.training.pretrain, "build_method", spied_method)
    _, (row,) = train(tiny_spec(regularizer="ldreg_l1", epochs=1), few_digits)
    assert len(losses) == 3
    assert row["ssl_loss"] == pytest.approx(sum(loss.item() for loss in losses) / 3)


def test_learning_rate_follows_the_schedule_step_by_step(tiny_spec, few_digits, monkeypatch):
    rates = []

    def spied(*arguments):
        optimizer = build_optimizer(*arguments)
        optimizer.register_step_pre_hook(lambda own, *_: rates.append([g["lr"] for g in own.param_groups]))
        return optimizer

    monkeypatch.setattr(ldreg.training.pretrain, "build_optimizer", spied)
    train(tiny_spec(optimizer="sgd", base_lr=0.12, warmup_epochs=1), few_digits)
    # A third of an epoch a step: one epoch up from 0, one down in half a cosine.
    expected = [0.0, 0.04, 0.08, 0.12, 0.09, 0.03]
    assert rates == [pytest.approx([rate] * 2) for rate in expected]


def test_regularizer_is_off_until_its_start_and_on_from_there(tiny_spec, few_digits):
    spec = tiny_spec(regularizer="ldreg_l1", k=8, beta=0.1, monitor_k=8, epochs=3, regularizer_start=0.34)
    _, history = train(spec, few_digits)  # from round(0.34 x 3) = 1 on
    _, unregularized = train(tiny_spec(epochs=3), few_digits)
    assert history[0] == unregularized[0]
    assert history[0]["regularizer"] == 0
    for row, other in zip(history[1:], unregularized[1:], strict=True):
        assert row["regularizer"] < -0.1  # -beta ln LID, of LIDs well above e
        assert row["ssl_loss"] != other["ssl_loss"]


def test_weights_are_the_unregularised_ones_until_the_start(tiny_spec, few_digits, monkeypatch):
    seen = {}
    for name in ("none", "ldreg_l1"):
        spec = tiny_spec(regularizer=name, epochs=3, regularizer_start=0.34)
        monkeypatch.setattr(
            ldreg.training.pretrain,
            "_knn",
            lambda spec, epoch, encoder, *_, name=name: seen.__setitem__(
                (name, epoch), {key: value.clone() for key, value in encoder.state_dict().items()}
            ),
        )
        train(spec, few_digits)
    assert [equal(seen["none", epoch], seen["ldreg_l1", epoch]) for epoch in range(3)] == [True, False, False]


def test_beta_zero_is_no_regularizer(tiny_spec, few_digits, plain):
    weights, history = train(tiny_spec(regularizer="ldreg_l1", beta=0.0), few_digits)
    assert equal(weights, plain[0])
    assert history == plain[1]


def test_runs_that_differ_in_the_regularizer_see_the_same_batches(tiny_spec, few_digits, monkeypatch):
    seen = []
    batches = ldreg.training.pretrain.batches

    def spied(*arguments):
        for batch in batches(*arguments):
            seen[-1].extend(rows.clone() for rows in (*batch.inputs, batch.labels))
            yield batch

    monkeypatch.setattr(ldreg.training.pretrain, "batches", spied)
    for changes in ({}, {"regularizer": "ldreg_l1"}, {"regularizer": "min_lid", "beta": 1.0}):
        seen.append([])
        train(tiny_spec(**changes), few_digits)
    first, *others = seen
    assert len(first) == 3 * 2 * 3  # views and labels x epochs x steps
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_monitors_change_no_weight(tiny_spec, few_digits, method):
    spec = tiny_spec(method=method, regularizer="ldreg_l1", knn_every=1)
    weights, history = train(spec, few_digits)
    unseen, bare = train(spec, few_digits, monitors=False)
    assert equal(weights, unseen)
    for row, other in zip(history, bare, strict=True):
        assert all(row[key] == other[key] for key in ("loss", "ssl_loss", "regularizer", "lr"))
    measured = {key for key, value in history[-1].items() if value is not None and bare[-1][key] is None}
    wide = set() if method == "mae" else {"mlid_mle_32"}  # its batch has 32 rows
    assert measured == {"mlid", "effective_rank", "probe_top1", "knn_top1"} | wide


def test_neighbours_of_the_monitor_change_no_weight(tiny_spec, few_digits, plain):
    weights, history = train(tiny_spec(monitor_k=20), few_digits)
    assert equal(weights, plain[0])
    assert history[-1]["mlid"] != plain[1][-1]["mlid"]


def test_ldreg_raises_lid_and_min_lid_lowers_it(tiny_spec, digits):
    mlid = {}
    for name in ("none", "ldreg_l1", "min_lid"):
        beta = {} if name == "none" else {"beta": 1.0}
        _, history = train(tiny_spec(regularizer=name, epochs=4, batch_size=64, **beta), digits)
        mlid[name] = history[-1]["mlid"]
    assert mlid["min_lid"] < 0.85 * mlid["none"]
    assert mlid["ldreg_l1"] > 1.15 * mlid["none"]


def test_bfloat16_runs_close_to_float32(tiny_spec, few_digits, plain):
    weights, history = train(tiny_spec(), few_digits, precision="bf16")
    assert history[0]["ssl_loss"] != plain[1][0]["ssl_loss"]
    assert history[0]["ssl_loss"] == pytest.approx(plain[1][0]["ssl_loss"], rel=0.02)
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}


def test_training_never_looks_at_the_test_split_or_at_labels(tiny_spec, few_digits, plain):
    other = replace(
        few_digits,
        train=replace(few_digits.train, labels=few_digits.train.labels.flip(0)),
        test=Split(few_digits.test.images[:0], few_digits.test.labels[:0]),
    )
    assert equal(train(tiny_spec(), other)[0], plain[0])


def test_a_batch_that_does_not_fit_is_an_error(tiny_spec, few_digits, monkeypatch):
    with pytest.raises(LdregError, match=r"^batch_size: 128 is more than the 100 training images of digits$"):
        train(tiny_spec(batch_size=128), few_digits)
    monkeypatch.setattr(ldreg.training.pretrain, "world_size", lambda: 3)
    with pytest.raises(LdregError, match=r"^batch_size: 32 does not divide among 3 GPUs$"):
        train(tiny_spec(), few_digits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # Broken weights show in the next step's loss or representations ...
        ({"optimizer": "sgd", "base_lr": 1e30}, "the loss is nan; lower base_lr (1e+30)"),
        (
            {"optimizer": "sgd", "base_lr": 1e30, "regularizer": "ldreg_l1"},
            "representations are not finite, or too large; lower base_lr (1e+30) or beta (0.1)",
        ),
        # ... after the last step, in the evaluation's ...
        (
            {"optimizer": "sgd", "base_lr": 1e30, "batch_size": 100, "epochs": 1},
            "representations are not finite for 100 of 100 images; lower base_lr (1e+30)",
        ),
        # ... and a broken loss before them.
        (
            {"regularizer": "ldreg_l1", "beta": 1e300, "batch_size": 100},
            "the loss is -inf; lower base_lr (0.003) or beta (1e+300)",
        ),
    ],
)
def test_divergence_is_told_in_one_line(tiny_spec, few_digits, changes, message):
    with pytest.raises(LdregError) as caught:
        train(tiny_spec(**changes), few_digits)
    assert str(caught.value) == f"training diverged in epoch 1: {message}"
