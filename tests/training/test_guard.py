"""A failure of a live monitor costs its columns and not the run; one in training keeps its words."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ldreg.training.monitors
import ldreg.training.pretrain
from ldreg.config.execution import Execution
from ldreg.errors import LdregError
from ldreg.methods.simclr import SimCLR
from ldreg.training.guard import Guard
from ldreg.training.pretrain import pretrain

CPU = torch.device("cpu")
BREAK = {
    "mlid": ("neighbor_distances", {"mlid", "mlid_mle_32"}),
    "effective_rank": ("effective_rank", {"effective_rank"}),
    "probe_top1": ("_Probe.gradients", {"probe_top1"}),
    "knn_top1": ("knn_accuracy", {"knn_top1"}),
}


def fail(*arguments, **named):
    raise RuntimeError("out of\nmemory")


def columns(history):
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in history]


def weights_and_history(spec, data, **execution):
    encoder, history = pretrain(spec, data, Execution(**execution), CPU, lambda row: None)
    return encoder.state_dict(), columns(history)


@pytest.mark.parametrize("monitor", BREAK)
def test_a_monitor_that_fails_costs_its_columns_alone(tiny_spec, few_digits, monkeypatch, capfd, monitor):
    spec = tiny_spec(knn_every=1)
    weights, history = weights_and_history(spec, few_digits)
    name, lost = BREAK[monitor]
    module = ldreg.training.pretrain if monitor == "knn_top1" else ldreg.training.monitors
    owner, _, attribute = name.rpartition(".")
    monkeypatch.setattr(getattr(module, owner) if owner else module, attribute, fail)
    capfd.readouterr()
    found_weights, found = weights_and_history(spec, few_digits)
    assert all(torch.equal(value, weights[key]) for key, value in found_weights.items())
    for row, expected in zip(found, history, strict=True):
        assert row == expected | dict.fromkeys(lost)
    warning = (
        f"warning: the live monitor of {monitor} failed (RuntimeError: out of memory); training goes on, and"
        " history.csv has no more values of it\n"
    )
    assert capfd.readouterr().err == warning  # once, of two epochs


def test_a_monitor_that_fails_later_keeps_what_it_measured(tiny_spec, few_digits, monkeypatch):
    calls = []

    def fails_in_the_second_epoch(*arguments, **named):
        calls.append(1)
        return fail() if len(calls) > 1 else {"top1": 12.5}

    monkeypatch.setattr(ldreg.training.pretrain, "knn_accuracy", fails_in_the_second_epoch)
    _, history = weights_and_history(tiny_spec(knn_every=1, epochs=4), few_digits)
    assert [row["knn_top1"] for row in history] == [12.5, None, None, None]
    assert len(calls) == 2


def test_a_users_mistake_within_a_monitor_still_ends_the_run(tiny_spec, few_digits, monkeypatch):
    def mistake(*arguments, **named):
        raise LdregError("a.jpg: the image cannot be read (no image)")

    monkeypatch.setattr(ldreg.training.pretrain, "represent", mistake)
    with pytest.raises(LdregError, match=r"^a\.jpg: the image cannot be read"):
        weights_and_history(tiny_spec(), few_digits)


def test_only_values_that_are_not_finite_are_called_divergence(tiny_spec, few_digits, monkeypatch):
    def broken(self, outputs, targets):
        raise ValueError("a layer of your own expects 3 channels")

    monkeypatch.setattr(SimCLR, "loss", broken)
    with pytest.raises(ValueError, match=r"^a layer of your own expects 3 channels$"):
        weights_and_history(tiny_spec(), few_digits)


@pytest.mark.parametrize("micro_batch", [3, 5, 7, 11, 31])
def test_a_remainder_is_spread_over_the_parts(tiny_spec, few_digits, monkeypatch, micro_batch):
    """31 images remain one if 32 are cut: batch norm has no statistics of it."""
    seen = []
    forward = SimCLR.forward

    def spied(self, *views):
        seen.append(len(views[0]))
        return forward(self, *views)

    monkeypatch.setattr(SimCLR, "forward", spied)
    _, history = weights_and_history(tiny_spec(epochs=1), few_digits, micro_batch=micro_batch)
    assert history[0]["ssl_loss"] > 0
    parts = -(-32 // micro_batch)
    assert len(seen) == 2 * 3 * parts  # two passes in each of three steps
    assert sum(seen) == 2 * 3 * 32
    assert max(seen) <= micro_batch
    assert max(seen) - min(seen) <= 1


@pytest.mark.parametrize(
    ("batch", "micro_batch", "message"),
    [
        (32, 1, "execution.micro_batch: 1 leaves one image of 32 to a part, {why}; allowed: from 2"),
        (33, 2, "execution.micro_batch: 2 leaves one image of 33 to a part, {why}; allowed: from 3"),
    ],
)
def test_parts_of_one_image_are_refused_where_batch_norm_needs_more(
    tiny_spec, few_digits, batch, micro_batch, message
):
    with pytest.raises(LdregError) as caught:
        weights_and_history(tiny_spec(batch_size=batch), few_digits, micro_batch=micro_batch)
    assert str(caught.value) == message.format(why="of which batch norm has no statistics")


def test_without_batch_norm_a_part_may_be_one_image(tiny_spec, few_digits):
    _, history = weights_and_history(tiny_spec(method="mae", epochs=1), few_digits, micro_batch=1)
    assert history[0]["ssl_loss"] > 0


def test_the_reason_is_one_line_and_nothing_is_tried_again():
    guard, calls = Guard(), []

    def broken():
        calls.append(1)
        raise KeyError("a\nb")

    assert guard.attempt("mlid", broken) is None
    assert guard.attempt("mlid", broken) is None
    assert len(calls) == 1
    assert guard.own == {"mlid": r"KeyError: 'a\nb'"}
    guard.agree()
    assert guard.failed == {"mlid"}


def test_ranks_switch_a_monitor_off_together(tmp_path, tiny_spec, data_root):
    """Its probe fails on the second rank alone; both go on, and no rank waits for the other."""
    script = Path(__file__).with_name("one_rank_fails.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*torchrun, script, data_root], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [
        "probe_top1 [None, None]",
        "knn_top1 [True, True]",
        "mlid [False, True]",
    ]
    assert done.stderr.count("warning: the live monitor of probe_top1 failed (RuntimeError: of rank 1)") == 1
