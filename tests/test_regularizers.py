"""The regularisers against their equations, and as anybody's training loop uses them."""

import math

import pytest
import torch

from ldreg.lid import geometric_mean, lid_mom
from ldreg.regularizers import LDReg, MinLID, build_regularizer

FORMS = ["l1", "l2", "per_sample"]
every_form = pytest.mark.parametrize("form", FORMS)

# Between reference points at 0 and 9 on a line (the third is far), with k = 2: LID = r_1 / (r_2 - r_1).
REFERENCE = torch.tensor([[0.0], [9.0], [1000.0]])
AT_4 = [4.0]  # r = 4, 5: LID 4
AT_2_25 = [2.25]  # r = 2.25, 6.75: LID 1/2
AT_3 = [3.0]  # r = 3, 6: LID 1
FOUR, HALF = math.log(4), -math.log(2)


@pytest.fixture(autouse=True)
def _seed_and_one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        (LDReg(0.3, 2), -0.3 * (FOUR + HALF) / 2),
        (LDReg(0.3, 2, "l1"), -0.3 * (FOUR + HALF) / 2),
        (LDReg(0.3, 2, "l2"), -0.3 * math.sqrt((FOUR**2 + HALF**2) / 2)),
        (LDReg(0.3, 2, "per_sample"), -0.3 * (FOUR - HALF) / 2),
        (MinLID(0.3, 2), 0.3 * (FOUR + HALF) / 2),
        (LDReg(0, 2), 0),
    ],
)
def test_values_by_hand(regularizer, expected):
    value = regularizer(torch.tensor([AT_4, AT_2_25]), REFERENCE)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_gradients_by_hand():
    # At x between 0 and 4.5, LID = x / (9 - 2x), hence d ln LID / dx = 1 / x + 2 / (9 - 2x).
    def slope(x):
        return 1 / x + 2 / (9 - 2 * x)

    at_4, at_2_25 = slope(4.0), slope(2.25)
    l2 = math.sqrt((FOUR**2 + HALF**2) / 2)
    for regularizer, expected in [
        (LDReg(0.3, 2, "l1"), [-0.3 * at_4 / 2, -0.3 * at_2_25 / 2]),
        (LDReg(0.3, 2, "l2"), [-0.3 * FOUR * at_4 / 2 / l2, -0.3 * HALF * at_2_25 / 2 / l2]),
        (LDReg(0.3, 2, "per_sample"), [-0.3 * at_4 / 2, 0.3 * at_2_25 / 2]),
        (MinLID(0.3, 2), [0.3 * at_4 / 2, 0.3 * at_2_25 / 2]),
    ]:
        queries = torch.tensor([AT_4, AT_2_25], requires_grad=True)
        regularizer(queries, REFERENCE).backward()
        assert queries.grad.flatten().tolist() == pytest.approx(expected, rel=1e-5), regularizer


@every_form
def test_gradient_is_finite_where_every_lid_is_one(form):
    queries = torch.tensor([AT_3, AT_3], requires_grad=True)
    value = LDReg(0.3, 2, form)(queries, REFERENCE)
    value.backward()
    assert value.item() == 0
    assert queries.grad.isfinite().all()
    assert queries.grad.any() == (form == "l1")  # at their minimum of |ln LID| the other two have no slope


@every_form
def test_degenerate_batches_have_finite_values_and_gradients(form):
    collapsed = torch.ones(40, 8)
    duplicates = torch.randn(20, 8).repeat(2, 1)
    mostly_collapsed = torch.cat([torch.ones(30, 8), torch.randn(10, 8)])
    equidistant = torch.eye(40)
    for points in (collapsed, duplicates, mostly_collapsed, equidistant):
        for regularizer in (LDReg(0.5, 16, form), MinLID(0.5, 16)):
            leaf = points.clone().requires_grad_()
            value = regularizer(leaf)
            value.backward()
            assert value.isfinite() and leaf.grad.isfinite().all()
    assert LDReg(0.5, 16)(collapsed) > 0 > LDReg(0.5, 16)(torch.randn(40, 8))  # collapse costs, spread pays


def test_the_three_forms_are_ordered_as_jensen_says():
    reference = torch.randn(300, 12)
    representations = torch.randn(100, 12)
    l1, l2, per_sample = (LDReg(0.1, 20, form)(representations, reference) for form in FORMS)
    assert (lid_mom(representations, reference, 20) > 1).all()
    torch.testing.assert_close(per_sample, l1)
    assert l2 < l1  # root mean square above mean, with a minus sign
    torch.testing.assert_close(l1, -0.1 * geometric_mean(lid_mom(representations, reference, 20)).log())
    one = torch.tensor([AT_4, AT_4])
    torch.testing.assert_close(LDReg(0.1, 2, "l2")(one, REFERENCE), LDReg(0.1, 2, "l1")(one, REFERENCE))


@pytest.mark.parametrize(
    ("regularizer", "rises"), [(LDReg(1.0, 8, form), True) for form in FORMS] + [(MinLID(1.0, 8), False)]
)
def test_descending_the_term_moves_the_local_dimension(regularizer, rises):
    curve = torch.linspace(0, 6, 100)[:, None]
    points = torch.cat([curve.cos(), curve.sin(), 0.05 * torch.randn(100, 3)], dim=1).requires_grad_()
    before = geometric_mean(lid_mom(points.detach(), k=8))
    optimizer = torch.optim.SGD([points], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        regularizer(points).backward()
        optimizer.step()
    after = geometric_mean(lid_mom(points.detach(), k=8))
    assert after > 1.1 * before if rises else after < before / 1.1


@every_form
def test_reference_is_detached_and_own_rows_are_left_out(form):
    regularizer = LDReg(0.1, 6, form)
    batch = torch.randn(40, 5)
    whole = batch.clone().requires_grad_()
    value = regularizer(whole)
    value.backward()
    # As two ranks do: each has half of the rows as queries and all of them as the reference.
    halves = batch.clone().requires_grad_()
    parts = [regularizer(halves[i : i + 20], halves, torch.arange(i, i + 20)) for i in (0, 20)]
    if form != "l2":  # the mean of two root mean squares is another number
        torch.testing.assert_close((parts[0] + parts[1]) / 2, value)
        ((parts[0] + parts[1]) / 2).backward()
        torch.testing.assert_close(halves.grad, whole.grad)
    reference = batch.clone().requires_grad_()
    queries = batch.clone().requires_grad_()
    regularizer(queries, reference, torch.arange(40)).backward()
    assert reference.grad is None
    torch.testing.assert_close(queries.grad, whole.grad)


def test_in_a_training_step_under_autocast_and_in_half_precision():
    encoder = torch.nn.Linear(8, 16)
    regularizer = LDReg(beta=0.01, k=16)
    with torch.autocast("cpu", torch.bfloat16):
        representations = encoder(torch.randn(64, 8))
        ssl_loss = representations.float().square().mean()
        loss = ssl_loss + regularizer(representations)
    assert representations.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    expected = ssl_loss - 0.01 * lid_mom(representations.detach().float(), k=16).log().mean()
    assert torch.equal(loss, expected)
    loss.backward()
    assert encoder.weight.grad.isfinite().all()
    without = torch.autograd.grad(encoder(torch.randn(64, 8)).square().mean(), encoder.weight)[0]
    assert not torch.allclose(encoder.weight.grad, without)


def test_modules_are_stateless_and_print_what_they_are():
    for regularizer in (LDReg(0.01, 64), MinLID(1, 32)):
        assert not regularizer.state_dict() and not list(regularizer.parameters())
    assert repr(LDReg()) == "LDReg(beta=0.01, k=64, form=l1)"
    assert repr(LDReg(0.5, 8, "per_sample")) == "LDReg(beta=0.5, k=8, form=per_sample)"
    assert repr(MinLID(1, 32)) == "MinLID(beta=1, k=32)"


@pytest.mark.parametrize("regularizer", [LDReg, MinLID])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": -0.1}, r"beta must be a finite number of at least 0, got -0\.1"),
        ({"beta": math.nan}, r"beta must be .*got nan"),
        ({"beta": math.inf}, r"beta must be .*got inf"),
        ({"k": 1}, r"k must be an integer of at least 2, got 1"),
        ({"k": 16.0}, r"k must be an integer of at least 2, got 16\.0"),
    ],
)
def test_bad_settings_are_refused_at_once(regularizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        regularizer(**arguments)


def test_an_unknown_form_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="form must be one of l1, l2, per_sample, got 'L1'"):
        LDReg(form="L1")


def test_a_batch_that_cannot_have_a_lid_is_an_error():
    with pytest.raises(ValueError, match="2 rows"):
        LDReg(0.01, 2)(torch.randn(2, 8))
    with pytest.raises(ValueError, match="row 5"):
        LDReg(0.01, 2)(torch.randn(8, 2).index_fill(0, torch.tensor(5), math.nan))


def test_built_by_the_name_in_a_spec():
    assert build_regularizer("none", None, None) is None
    for name, form in [("ldreg_l1", "l1"), ("ldreg_l2", "l2"), ("ldreg_per_sample", "per_sample")]:
        assert repr(build_regularizer(name, 0.1, 8)) == repr(LDReg(0.1, 8, form))
    assert repr(build_regularizer("min_lid", 0.1, 8)) == repr(MinLID(0.1, 8))
    with pytest.raises(KeyError):
        build_regularizer("ldreg", 0.1, 8)
