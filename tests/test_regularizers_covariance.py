"""Covariance and variance of representations: values by hand, plain loops, lightly's VICReg."""

import math
import statistics

import pytest
import torch
from lightly.loss.vicreg_loss import covariance_loss, variance_loss

from ldreg.regularizers import (
    Covariance,
    CovarianceVariance,
)

COVARIANCE_TERMS = [Covariance(0.5), CovarianceVariance(0.5)]
every_covariance_term = pytest.mark.parametrize(
    "regularizer", COVARIANCE_TERMS, ids=lambda term: type(term).__name__
)


@pytest.fixture(autouse=True)
def _seed_and_one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def test_covariance_values_by_hand():
    rows = torch.tensor([[0.0, 0.0], [2.0, 4.0]])  # C = [[2, 4], [4, 8]]
    assert Covariance(0.3)(rows).item() == pytest.approx(0.3 * 16)
    assert CovarianceVariance(0.3)(rows).item() == pytest.approx(0.3 * 16)  # both deviate by more than 1
    small = rows / 10  # C = [[0.02, 0.04], [0.04, 0.08]]
    variance = 1 - (math.sqrt(0.0201) + math.sqrt(0.0801)) / 2
    assert CovarianceVariance(0.3)(small).item() == pytest.approx(0.3 * (0.0016 + variance))
    assert CovarianceVariance(0.3)(rows * 1e-9 + 7).item() == pytest.approx(0.3 * 0.99, rel=1e-6)


def plain_covariance_term(rows, with_variance):
    """The definition, feature by feature, in Python's own statistics."""
    features = rows.T.tolist()
    dim = len(features)
    pairs = [(i, j) for i in range(dim) for j in range(dim) if i != j]
    term = sum(statistics.covariance(features[i], features[j]) ** 2 for i, j in pairs) / dim
    if with_variance:
        term += sum(max(0, 1 - math.sqrt(statistics.variance(x) + 1e-4)) for x in features) / dim
    return term


@pytest.mark.parametrize("shape", [(2, 3), (9, 4), (5, 12), (7, 1)])
def test_covariances_equal_a_plain_loop_and_lightlys_vicreg(shape):
    rows = 3 + torch.randn(shape).double() * torch.linspace(0.3, 2, shape[1]).double()
    leaf = rows.clone().requires_grad_()
    by_lightly = [covariance_loss(leaf), covariance_loss(leaf) + variance_loss(leaf)]
    for regularizer, theirs in zip(COVARIANCE_TERMS, by_lightly, strict=True):
        value = regularizer(leaf)
        plain = plain_covariance_term(rows, with_variance=regularizer is COVARIANCE_TERMS[1])
        assert value.item() == pytest.approx(0.5 * plain, rel=1e-12)
        torch.testing.assert_close(value, 0.5 * theirs, rtol=1e-12, atol=0)
        gradients = [torch.autograd.grad(x, leaf, retain_graph=True)[0] for x in (value, 0.5 * theirs)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


@every_covariance_term
def test_order_shift_and_sign_of_features_do_not_matter(regularizer):
    rows = torch.randn(40, 5).double() @ torch.randn(5, 5).double() / 3
    value = regularizer(rows)
    signs = torch.tensor([1, -1, -1, 1, -1])
    shift = torch.randn(5).double() * 10
    for moved in (rows[torch.randperm(40)], rows[:, torch.randperm(5)], rows + shift, rows * signs):
        torch.testing.assert_close(regularizer(moved), value, rtol=1e-10, atol=0)


def test_covariance_under_scale_and_rotation():
    rows = torch.randn(40, 5).double() @ torch.randn(5, 5).double()
    term = Covariance(1.0)
    torch.testing.assert_close(term(3 * rows), 81 * term(rows))
    rotation = torch.linalg.qr(torch.randn(5, 5).double()).Q
    assert not torch.isclose(term(rows @ rotation), term(rows), rtol=0.01)
    # Only together with the diagonal do the squares of C have a sum that no rotation changes.
    whole = [5 * term(x) + x.var(dim=0).square().sum() for x in (rows, rows @ rotation)]
    torch.testing.assert_close(*whole, rtol=1e-10, atol=0)
    principal_axes = torch.linalg.eigh(rows.T.cov()).eigenvectors
    assert term(rows @ principal_axes) < 1e-20 * term(rows)


@every_covariance_term
def test_covariances_take_no_reference_and_bear_an_offset_and_a_collapse(regularizer):
    rows = torch.randn(40, 5)
    value = regularizer(rows)
    assert torch.equal(regularizer(rows, torch.randn(60, 5), torch.arange(40)), value)
    shifted = rows + 1e4
    exact = regularizer(shifted.double())
    torch.testing.assert_close(regularizer(shifted).double(), exact, rtol=1e-6, atol=0)
    collapsed = torch.ones(40, 5, requires_grad=True)
    regularizer(collapsed).backward()
    assert not collapsed.grad.any()


@every_covariance_term
def test_what_has_no_covariance_is_an_error(regularizer):
    with pytest.raises(ValueError, match="a covariance needs at least 2 rows, got 1"):
        regularizer(torch.randn(1, 8))
    with pytest.raises(ValueError, match=r"representations must be finite.*row 5 is not"):
        regularizer(torch.randn(8, 2).index_fill(0, torch.tensor(5), math.inf))
    with pytest.raises(ValueError, match=r"representations must have shape \(rows, dim\)"):
        regularizer(torch.randn(8))
    with pytest.raises(TypeError, match=r"floating-point tensor, got torch\.int64"):
        regularizer(torch.ones(8, 2).long())
