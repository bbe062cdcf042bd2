"""A training step timed with and without its regulariser, side by side."""

import pytest
import torch

import ldreg.training.step_cost
from ldreg.catalogue.regularizers import REGULARIZERS
from ldreg.config.execution import Execution
from ldreg.data.batches import batches
from ldreg.errors import LdregError
from ldreg.training.pretrain import Trainer
from ldreg.training.step_cost import KINDS, WARM_UP, median_interval, planned, step_cost

CPU = torch.device("cpu")


@pytest.fixture
def steps(monkeypatch):
    """What every step was given and found: (progress, regularized, term, inputs); few of them are made."""
    monkeypatch.setattr(ldreg.training.step_cost, "BUDGET", 0.0)
    monkeypatch.setattr(ldreg.training.step_cost, "BLOCK", 0.0)
    made, step = [], Trainer.step

    def spy(self, inputs, progress, regularized):
        result = step(self, inputs, progress, regularized)
        made.append((progress, regularized, float(result.term), inputs))
        return result

    monkeypatch.setattr(Trainer, "step", spy)
    return made


@pytest.mark.parametrize("name", ["ldreg_l1", "cov_var"])
@pytest.mark.parametrize("method", ["simclr", "byol", "mae"])
def test_both_kinds_of_step_run_in_turn_and_the_term_is_active_in_one(
    steps, tiny_spec, few_digits, method, name
) -> None:
    """From the first step on, though in training it sets in later."""
    spec = tiny_spec(method=method, regularizer=name, regularizer_start=0.5)
    found = step_cost(spec, few_digits, Execution(), CPU)
    kinds = [KINDS[0] if regularized else KINDS[1] for _, regularized, _, _ in steps]
    pairs = ["with", "without", "without", "with"]
    assert kinds == ["with", "without"] * WARM_UP + pairs * (found["pairs"] // 2)
    assert all((term != 0) == regularized for _, regularized, term, _ in steps)
    assert found["first"] == ["with", "without"] * (found["pairs"] // 2)
    assert found["steps_per_block"] == 1 and found["warm_up_steps"] == 2 * WARM_UP
    blocks = [found[f"block_seconds_{kind}"] for kind in KINDS]
    assert [len(each) for each in blocks] == [found["pairs"]] * 2 == [8, 8]
    ratios = sorted(one / other for one, other in zip(*blocks, strict=True))
    assert found["ratio"] == pytest.approx((ratios[3] + ratios[4]) / 2)
    assert (found["ratio_low"], found["ratio_high"]) == (ratios[0], ratios[-1])
    assert found["level"] == 1 - 2 / 2**8
    assert found["seconds_with"] == pytest.approx(sum(sorted(blocks[0])[3:5]) / 2)
    assert found["peak_memory_bytes_with"] is None and found["peak_memory_bytes_without"] is None


def test_the_steps_are_those_of_pretraining(steps, tiny_spec, few_digits) -> None:
    """Its views in their order along its schedule: 3 steps in each of 2 epochs, then from the beginning."""
    spec = tiny_spec(regularizer="ldreg_l1")
    step_cost(spec, few_digits, Execution(), CPU)
    assert [progress for progress, _, _, _ in steps[:7]] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 0]
    )
    real = [batch.inputs for epoch in (0, 1) for batch in batches(few_digits.train, spec, epoch, 3)]
    for (_, _, _, inputs), expected in zip(steps[:6], real, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(inputs, expected, strict=True))


def test_steps_with_and_without_are_taken_by_the_same_networks(monkeypatch, tiny_spec, few_digits) -> None:
    made = []
    monkeypatch.setattr(
        ldreg.training.step_cost,
        "Trainer",
        lambda *given: made.append((Trainer(*given), given)) or made[-1][0],
    )
    monkeypatch.setattr(ldreg.training.step_cost, "BUDGET", 0.0)
    step_cost(tiny_spec(regularizer="ldreg_l1"), few_digits, Execution(), CPU)
    ((trained, given),) = made
    begun = Trainer(*given).method.state_dict()
    assert any(not torch.equal(value, begun[key]) for key, value in trained.method.state_dict().items())


def test_without_a_regulariser_the_ratio_is_one_without_an_interval(steps, tiny_spec, few_digits) -> None:
    found = step_cost(tiny_spec(), few_digits, Execution(), CPU)
    assert (found["ratio"], found["ratio_low"], found["ratio_high"], found["level"]) == (
        1.0,
        None,
        None,
        None,
    )
    assert found["seconds_with"] is None and found["block_seconds_with"] is None
    assert found["seconds_without"] > 0 and len(found["block_seconds_without"]) == found["pairs"] == 8
    assert len(steps) == WARM_UP + 8 and not any(regularized for _, regularized, _, _ in steps)


@pytest.mark.parametrize("seconds", [1e-4, 0.02, 0.13, 0.7, 30.0])
def test_blocks_fill_the_budget_but_are_never_fewer_than_the_interval_needs(seconds) -> None:
    steps, pairs = planned(seconds, 2)
    assert pairs % 2 == 0 and 8 <= pairs <= 80
    assert pairs == 8 or pairs * steps * seconds <= 8
    assert steps == 1 or (steps - 1) * seconds < 0.2 <= steps * seconds + 1e-9


@pytest.mark.parametrize(
    ("n", "d", "level"),
    # Tables of the sign test: the d-th lowest and highest of n values.
    [(6, 1, 0.96875), (8, 1, 0.9921875), (10, 2, 0.978515625), (20, 6, 0.9586105), (40, 14, 0.9615226)],
)
def test_the_interval_of_a_median_by_order_statistics(n, d, level) -> None:
    low, high, reached = median_interval([float(value) for value in range(n, 0, -1)])
    assert (low, high) == (d, n + 1 - d) and reached == pytest.approx(level, abs=1e-7)


def test_few_values_have_the_widest_interval_and_say_its_level() -> None:
    assert median_interval([2.0, 1.0, 3.0]) == (1.0, 3.0, 0.75)
    assert median_interval([2.0]) == (2.0, 2.0, 0.0)


def test_mistakes_are_told_as_pretraining_tells_them(tiny_spec, few_digits) -> None:
    with pytest.raises(LdregError, match="batch_size: 128 is more than the 100 training images"):
        step_cost(tiny_spec(batch_size=128), few_digits, Execution(), CPU)
    with pytest.raises(LdregError, match=r"training diverged in epoch 1: .*; lower base_lr"):
        step_cost(
            tiny_spec(regularizer="ldreg_l1", optimizer="sgd", base_lr=1e30), few_digits, Execution(), CPU
        )


def test_every_regulariser_can_be_timed(steps, tiny_spec, few_digits) -> None:
    for name in REGULARIZERS:
        extra = {"target": 3.0} if name == "target_lid" else {}
        found = step_cost(tiny_spec(regularizer=name, **extra), few_digits, Execution(), CPU)
        assert (found["ratio"] == 1.0) == (name == "none")
