"""The regularisers against their equations, and as anybody's training loop uses them."""

import math

import pytest
import torch

import ldreg
from ldreg.lid import geometric_mean, lid_mom
from ldreg.regularizers import (
    Covariance,
    CovarianceVariance,
    LDReg,
    MinLID,
    TargetLID,
)

FORMS = ["l1", "l2", "per_sample"]
every_form = pytest.mark.parametrize("form", FORMS)
LID_TERMS = [*(LDReg(0.5, 16, form) for form in FORMS), MinLID(0.5, 16), TargetLID(0.5, 16, target=3.0)]
COVARIANCE_TERMS = [Covariance(0.5), CovarianceVariance(0.5)]
every_lid_term = pytest.mark.parametrize("regularizer", LID_TERMS, ids=repr)
every_covariance_term = pytest.mark.parametrize("regularizer", COVARIANCE_TERMS, ids=repr)
every_term = pytest.mark.parametrize("regularizer", LID_TERMS + COVARIANCE_TERMS, ids=repr)

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
        (TargetLID(0.3, 2, target=2), 0.3 * (math.log(2) + math.log(4)) / 2),  # 4 is twice, 1/2 a quarter
        (TargetLID(0.3, 2, target=4), 0.3 * math.log(8) / 2),
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
        (TargetLID(0.3, 2, target=2), [0.3 * at_4 / 2, -0.3 * at_2_25 / 2]),  # from above and from below
        (TargetLID(0.3, 2, target=8), [-0.3 * at_4 / 2, -0.3 * at_2_25 / 2]),
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


@every_lid_term
def test_degenerate_batches_have_finite_values_and_gradients(regularizer):
    collapsed = torch.ones(40, 8)
    duplicates = torch.randn(20, 8).repeat(2, 1)
    mostly_collapsed = torch.cat([torch.ones(30, 8), torch.randn(10, 8)])
    equidistant = torch.eye(40)
    for points in (collapsed, duplicates, mostly_collapsed, equidistant):
        leaf = points.clone().requires_grad_()
        value = regularizer(leaf)
        value.backward()
        assert value.isfinite() and leaf.grad.isfinite().all()


def test_collapse_costs_and_spread_pays():
    assert LDReg(0.5, 16)(torch.ones(40, 8)) > 0 > LDReg(0.5, 16)(torch.randn(40, 8))


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


def test_the_target_is_the_only_minimum():
    lid = torch.logspace(-2, 3, 101, base=2, dtype=torch.float64)  # 1/4 to 8 in steps of a twentieth
    points = 9 * lid / (1 + 2 * lid)  # where LID = x / (9 - 2x)
    for index in (0, 37, 60, 100):
        term = TargetLID(0.3, 2, target=lid[index].item())
        cost = torch.stack([term(point.view(1, 1), REFERENCE.double()) for point in points])
        assert cost.argmin() == index
        assert cost[index].item() == pytest.approx(0, abs=1e-12)
        assert (cost[:index].diff() < 0).all() and (cost[index:].diff() > 0).all()
        torch.testing.assert_close(cost, 0.3 * (lid / lid[index]).log().abs(), rtol=1e-9, atol=1e-12)


def test_target_1_is_the_per_sample_form_with_the_opposite_sign():
    points = torch.tensor([AT_4, AT_2_25, AT_3])  # LID above, below and at 1
    assert torch.equal(
        TargetLID(0.3, 2, target=1)(points, REFERENCE), -LDReg(0.3, 2, "per_sample")(points, REFERENCE)
    )


@every_term
def test_gradients_match_finite_differences(regularizer):
    # Standard deviations on both sides of 1, so that the variance's hinge is open for some features only.
    rows = (torch.randn(24, 3) * torch.tensor([0.3, 0.7, 2.0])).double().requires_grad_()
    reference = torch.randn(30, 3).double()
    assert torch.autograd.gradcheck(lambda x: regularizer(x, reference), rows)


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


@pytest.mark.parametrize("target", [1.5, 3.0])
def test_descending_draws_the_local_dimension_to_its_target(target):
    points = torch.rand(200, 2) @ torch.randn(2, 5) + 0.02 * torch.randn(200, 5)
    points = points.requires_grad_()
    before = geometric_mean(lid_mom(points.detach(), k=8)).item()
    assert 1.7 < before < 2.7
    optimizer = torch.optim.Adam([points], lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        TargetLID(1.0, 8, target)(points).backward()
        optimizer.step()
    assert geometric_mean(lid_mom(points.detach(), k=8)).item() == pytest.approx(target, rel=0.05)


# ---- in a training loop ------------------------------------------------------------------------------------


@every_form
def test_reference_is_detached_and_own_rows_are_left_out(form):
    regularizer = LDReg(0.1, 6, form)
    batch = torch.randn(40, 5)
    whole = batch.clone().requires_grad_()
    regularizer(whole).backward()
    reference = batch.clone().requires_grad_()
    queries = batch.clone().requires_grad_()
    regularizer(queries, reference, torch.arange(40)).backward()
    assert reference.grad is None
    torch.testing.assert_close(queries.grad, whole.grad)


def in_two_processes(regularizer, batch):
    """What two processes hand to `gather`, their values, and the gradient that DDP would leave, the mean."""
    halves = [half.clone().requires_grad_() for half in batch.chunk(2)]
    own_rows = torch.arange(len(batch)).chunk(2)

    def process(rank, gather):
        return regularizer(halves[rank], batch, own_rows[rank], gather)

    handed = []
    for rank in (0, 1):
        process(rank, lambda rows: handed.append(rows) or rows)
    # One graph of both processes: its gradient is the sum over both of what reaches each one's rows.
    values = [process(rank, lambda rows: torch.cat(handed)) for rank in (0, 1)]
    ((values[0] + values[1]) / 2).backward()
    return handed, values, torch.cat([half.grad for half in halves])


@every_term
def test_two_processes_that_gather_have_the_whole_batchs_value_and_gradient(regularizer):
    batch = torch.randn(40, 5).double() / 2
    whole = batch.clone().requires_grad_()
    expected = regularizer(whole)
    expected.backward()
    handed, values, gradient = in_two_processes(regularizer, batch)
    assert {rows.shape for rows in handed} == {(20, 5) if regularizer in COVARIANCE_TERMS else (20,)}
    for value in values:
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, whole.grad, rtol=1e-9, atol=1e-14)
    assert gradient[:20].any() and gradient[20:].any()


def test_without_gather_a_process_sees_its_own_rows_alone():
    batch = torch.randn(40, 5)
    for regularizer in (LDReg(0.5, 16, "l2"), Covariance(0.5)):
        alone = regularizer(batch[:20], batch, torch.arange(20))
        assert not torch.isclose(alone, regularizer(batch), rtol=1e-3)


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
    for regularizer in (*LID_TERMS, *COVARIANCE_TERMS):
        assert not regularizer.state_dict() and not list(regularizer.parameters())
    assert repr(LDReg()) == "LDReg(beta=0.01, k=64, form=l1)"
    assert repr(LDReg(0.5, 8, "per_sample")) == "LDReg(beta=0.5, k=8, form=per_sample)"
    assert repr(MinLID(1, 32)) == "MinLID(beta=1, k=32)"
    assert repr(TargetLID(1, 32, 1.5)) == "TargetLID(beta=1, k=32, target=1.5)"
    assert repr(Covariance()) == "Covariance(beta=0.01)"
    assert repr(CovarianceVariance(0.1)) == "CovarianceVariance(beta=0.1)"


@pytest.mark.parametrize(
    "regularizer", [LDReg, MinLID, lambda beta=1, k=8: TargetLID(beta, k, 2), Covariance, CovarianceVariance]
)
@pytest.mark.parametrize("beta", [-0.1, math.nan, math.inf])
def test_a_bad_beta_is_refused_at_once(regularizer, beta):
    with pytest.raises(ValueError, match=rf"beta must be a finite number of at least 0, got {beta}"):
        regularizer(beta=beta)


@pytest.mark.parametrize("regularizer", [LDReg, MinLID, lambda k: TargetLID(1, k, 2)])
@pytest.mark.parametrize("k", [1, 16.0])
def test_a_bad_k_is_refused_at_once(regularizer, k):
    with pytest.raises(ValueError, match=rf"k must be an integer of at least 2, got {k}"):
        regularizer(k=k)


@pytest.mark.parametrize("target", [0, -1.0, math.nan, math.inf])
def test_a_bad_target_is_refused_at_once(target):
    with pytest.raises(ValueError, match=rf"target must be a finite number above 0, got {target}"):
        TargetLID(1.0, 8, target)


def test_an_unknown_form_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="form must be one of l1, l2, per_sample, got 'L1'"):
        LDReg(form="L1")


def test_a_batch_that_cannot_have_a_lid_is_an_error():
    with pytest.raises(ValueError, match="2 rows"):
        LDReg(0.01, 2)(torch.randn(2, 8))
    with pytest.raises(ValueError, match="row 5"):
        LDReg(0.01, 2)(torch.randn(8, 2).index_fill(0, torch.tensor(5), math.nan))


def test_the_package_offers_every_regularizer():
    for regularizer in (Covariance, CovarianceVariance, LDReg, MinLID, TargetLID):
        assert getattr(ldreg, regularizer.__name__) is regularizer
        assert regularizer.__name__ in ldreg.__all__
