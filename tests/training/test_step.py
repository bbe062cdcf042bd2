import copy

import pytest
import torch
from norm_free import build_norm_free, float64_batches, float_keeping_float64

from ldreg.catalogue.methods import METHODS
from ldreg.config.execution import Execution
from ldreg.data.batches import batches
from ldreg.errors import LdregError
from ldreg.methods import build_method
from ldreg.training.regularizer import build_regularizer
from ldreg.training.step import TrainingStep, batch_norms

CPU = torch.device("cpu")
REGULARIZERS = ("none", "ldreg_l1", "ldreg_l2", "target_lid", "cov_var")
SCALE = 16.0
EXACT = {"rtol": 1e-9, "atol": 1e-13}


def first_batch(spec, data):
    return next(float64_batches(batches)(data.train, spec, 0, 1)).inputs


def step(spec, method, inputs, **execution):
    """Gradients by name, and the result, of one step of a copy of `method`."""
    method = copy.deepcopy(method)
    regularizer = build_regularizer(spec)
    training = TrainingStep(spec, method, method, regularizer, Execution(**execution), CPU)
    # fp16's scale begins so high that it first falls for some steps.
    training.scaler = torch.amp.GradScaler("cpu", SCALE, enabled=training.scaler.is_enabled())
    result = training(inputs, regularized=True)
    return {name: p.grad for name, p in method.named_parameters() if p.requires_grad}, result, method


def spec_of(tiny_spec, method, regularizer, **changes):
    target = {"target": 3.0} if regularizer == "target_lid" else {}
    return tiny_spec(method=method, regularizer=regularizer, **target, **changes)


@pytest.fixture
def float64(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", float_keeping_float64)


@pytest.mark.parametrize("acts_on", ["representations", "embeddings"])
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_cached_gradients_are_those_of_the_whole_batch(
    tiny_spec, few_digits, float64, method, regularizer, acts_on
):
    if acts_on == "embeddings" and regularizer == "none":
        return
    spec = spec_of(tiny_spec, method, regularizer, acts_on=acts_on)
    torch.manual_seed(0)
    networks = build_norm_free(spec, 1)
    inputs = first_batch(spec, few_digits)
    expected, whole, _ = step(spec, networks, inputs)
    assert all(gradient is not None and gradient.any() for gradient in expected.values())
    assert (whole.term != 0) == (regularizer != "none")
    for size in (12, 16):  # parts of unequal and of equal size
        found, result, _ = step(spec, networks, inputs, micro_batch=size)
        torch.testing.assert_close(found, expected, **EXACT)
        torch.testing.assert_close(result.ssl_loss, whole.ssl_loss, **EXACT)
        torch.testing.assert_close(result.term, whole.term, **EXACT)
        torch.testing.assert_close(result.representations, whole.representations, **EXACT)


@pytest.mark.parametrize("method", ["byol", "mae"])
def test_plain_accumulation_is_exact_where_the_loss_is_a_mean_over_images(
    tiny_spec, few_digits, float64, method
):
    spec = tiny_spec(method=method)
    torch.manual_seed(0)
    networks = build_norm_free(spec, 1)
    inputs = first_batch(spec, few_digits)
    expected, whole, _ = step(spec, networks, inputs)
    found, result, _ = step(spec, networks, inputs, micro_batch=12, accumulation="plain")
    torch.testing.assert_close(found, expected, **EXACT)
    torch.testing.assert_close(result.ssl_loss, whole.ssl_loss, **EXACT)
    torch.testing.assert_close(result.representations, whole.representations, **EXACT)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("regularizer", ["none", "ldreg_l1", "cov"])
def test_plain_accumulation_is_refused_where_the_whole_batch_is_needed(tiny_spec, method, regularizer):
    spec = tiny_spec(method=method, regularizer=regularizer)
    networks = build_method(spec, 1)
    term = build_regularizer(spec)
    execution = Execution(micro_batch=8, accumulation="plain")
    if method in ("byol", "mae") and regularizer == "none":
        TrainingStep(spec, networks, networks, term, execution, CPU)
        return
    culprit = f"{method}'s loss" if regularizer == "none" else f"regularizer {regularizer}"
    with pytest.raises(LdregError) as caught:
        TrainingStep(spec, networks, networks, term, execution, CPU)
    message = str(caught.value)
    assert message.startswith(
        f"execution.accumulation: plain is not allowed: {culprit} needs the whole batch"
    )
    assert "allowed: cached" in message
    # What cached does not give is said where it is recommended.
    assert ("batch norm" in message) == (method != "mae")
    whole = Execution(micro_batch=32, accumulation="plain")  # nothing to accumulate
    TrainingStep(spec, networks, networks, term, whole, CPU)


@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_batch_norm_sees_micro_batches_and_counts_each_once(tiny_spec, few_digits, method):
    spec = tiny_spec(method=method)
    torch.manual_seed(0)
    networks = build_method(spec, 1)
    inputs = next(batches(few_digits.train, spec, 0, 1)).inputs
    expected, _, _ = step(spec, networks, inputs)
    found, _, after = step(spec, networks, inputs, micro_batch=16)
    # Other statistics, so another gradient: the deviation that the log tells.
    first = next(iter(expected))
    assert not torch.allclose(found[first], expected[first], rtol=0.01)
    for norm in batch_norms(after):
        assert norm.track_running_stats
        assert norm.num_batches_tracked == 2 * 2  # micro-batches x views
    _, _, once = step(spec, networks, inputs[:1] + inputs[1:], micro_batch=None)
    assert all(norm.num_batches_tracked == 2 for norm in batch_norms(once))


@pytest.mark.parametrize(("method", "terms", "groups"), [("byol", 2, 4), ("moco", 1, 2), ("simclr", 1, 2)])
def test_how_often_the_regulariser_counts_and_where_neighbours_are_sought(
    tiny_spec, few_digits, method, terms, groups
):
    spec = tiny_spec(method=method, regularizer="ldreg_l1", k=6)
    torch.manual_seed(0)
    networks = build_method(spec, 1)
    with torch.no_grad():  # else the branches' rows would be duplicates of each other
        for name, parameter in networks.named_parameters():
            if name.startswith("momentum_encoder"):
                parameter.mul_(1.1).add_(0.01)
    inputs = next(batches(few_digits.train, spec, 0, 1)).inputs
    outputs, targets = copy.deepcopy(networks)(*inputs), copy.deepcopy(networks).targets(*inputs)
    rows = torch.cat(outputs.representations).detach().double()
    reference = torch.cat([rows, *targets.representations]).double()[: groups * 32]
    assert len(reference) == groups * 32
    distances = torch.cdist(rows, reference)
    distances[torch.arange(64), torch.arange(64)] = torch.inf
    nearest = distances.sort(dim=1).values[:, :6]
    mean, last = nearest[:, :5].mean(dim=1), nearest[:, 5]
    _, result, _ = step(spec, networks, inputs)
    expected = -terms * spec.beta * (mean / (last - mean)).log().mean()
    assert float(result.term) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_gradients_are_close_to_float32s(tiny_spec, few_digits, method, precision):
    spec = tiny_spec(method=method, regularizer="ldreg_l1")
    torch.manual_seed(0)
    networks = build_method(spec, 1)
    inputs = next(batches(few_digits.train, spec, 0, 1)).inputs
    expected, whole, _ = step(spec, networks, inputs)
    found, result, _ = step(spec, networks, inputs, precision=precision)
    scale = SCALE if precision == "fp16" else 1.0
    both = [torch.cat([g.flatten() for g in each.values()]) for each in (found, expected)]
    assert torch.cosine_similarity(both[0] / scale, both[1], dim=0) > 0.98
    assert float(result.ssl_loss) == pytest.approx(float(whole.ssl_loss), rel=0.02)
    assert float(result.term) == pytest.approx(float(whole.term), rel=0.02)
    assert {rows.dtype for rows in result.representations} == {torch.float32}


def test_overflow_in_fp16_skips_the_step_and_lowers_the_scale(tiny_spec, few_digits):
    spec = tiny_spec()
    method = build_method(spec, 1)
    training = TrainingStep(spec, method, method, None, Execution(precision="fp16"), CPU)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    training(next(batches(few_digits.train, spec, 0, 1)).inputs, regularized=False)
    before = copy.deepcopy(method.state_dict())
    method.encoder[0].weight.grad[0] = torch.inf
    training.optimize(optimizer)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert training.scaler.get_scale() == 2.0**15
