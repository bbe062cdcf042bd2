"""Effective rank and RankMe against spectra known by construction or by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ldreg.spectrum import effective_rank, rankme

MATRICES = ["correlation", "covariance", "second_moment"]
every_matrix = pytest.mark.parametrize("matrix", MATRICES)
every_measure = pytest.mark.parametrize(
    "measure", [lambda x, m=m: effective_rank(x, m) for m in MATRICES] + [rankme], ids=[*MATRICES, "rankme"]
)


@pytest.fixture(autouse=True)
def _seed_and_one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def exp_entropy(weights) -> float:
    p = [w / sum(weights) for w in weights]
    return math.exp(-sum(x * math.log(x) for x in p if x > 0))


def orthonormal(rows: int, dim: int) -> Tensor:
    """Centred, mutually orthogonal columns of length 1."""
    x = torch.randn(rows, dim).double()
    return torch.linalg.qr(x - x.mean(dim=0)).Q


def test_known_spectra():
    scales = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.1]).double()
    features = orthonormal(50, 5) * scales
    squares = scales.square().tolist()
    assert effective_rank(features).item() == pytest.approx(5, rel=1e-12)  # uncorrelated, whatever the scales
    assert effective_rank(features, "covariance").item() == pytest.approx(exp_entropy(squares), rel=1e-12)
    assert effective_rank(features, "second_moment").item() == pytest.approx(exp_entropy(squares), rel=1e-12)
    assert rankme(features).item() == pytest.approx(exp_entropy(scales.tolist()), rel=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.8])
def test_two_correlated_features_by_hand(correlation):
    a, b = orthonormal(40, 2).T
    features = torch.stack([a, correlation * a + math.sqrt(1 - correlation**2) * b], dim=1)
    features = features * torch.tensor([7.0, 0.01]) + torch.tensor([3.0, -2.0])
    expected = exp_entropy(
        [1 + correlation, 1 - correlation]
    )  # the eigenvalues of a 2 x 2 correlation matrix
    assert effective_rank(features).item() == pytest.approx(expected, rel=1e-9)


def test_correlation_equals_numpys_eigenvalues():
    features = torch.randn(60, 7) @ torch.randn(7, 7) + 2
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(features.numpy().astype(np.float64), rowvar=False))
    assert effective_rank(features).item() == pytest.approx(exp_entropy(eigenvalues.tolist()), rel=1e-10)


@every_measure
def test_bounds_full_rank_and_rank_one(measure):
    full = orthonormal(64, 16)
    assert measure(full).item() == pytest.approx(16, rel=1e-12)
    line = torch.randn(64, 1).double() @ torch.randn(1, 16).double()
    assert measure(line).item() == pytest.approx(1, abs=1e-6)
    for rows, dim in ((500, 10), (10, 500)):
        assert 1 < measure(torch.randn(rows, dim)) < min(rows, dim)


@every_matrix
def test_fewer_rows_than_features_give_the_same_eigenvalues(matrix):
    features = torch.randn(12, 30).double()
    x = features if matrix == "second_moment" else features - features.mean(dim=0)
    x = x / x.std(dim=0) if matrix == "correlation" else x
    eigenvalues = torch.linalg.svdvals(x).square()
    assert effective_rank(features, matrix).item() == pytest.approx(
        exp_entropy(eigenvalues.tolist()), rel=1e-9
    )


def test_what_each_measure_is_blind_to():
    features = torch.randn(80, 6).double() @ torch.randn(6, 6).double() + 0.5
    rotated = features @ torch.linalg.qr(torch.randn(6, 6).double()).Q
    per_feature = features * torch.tensor([1.0, 2.0, 3.0, 0.1, 10.0, -1.0]).double()
    shifted = features + torch.arange(6).double()
    same = {
        "correlation": (per_feature, shifted),
        "covariance": (rotated, shifted),
        "second_moment": (rotated,),
    }
    other = {
        "correlation": (rotated,),
        "covariance": (per_feature,),
        "second_moment": (per_feature, shifted),
    }
    for matrix in MATRICES:
        value = effective_rank(features, matrix).item()
        for moved in (*same[matrix], features * 1e3, features[torch.randperm(80)]):
            assert effective_rank(moved, matrix).item() == pytest.approx(value, rel=1e-9)
        for moved in other[matrix]:
            assert effective_rank(moved, matrix).item() != pytest.approx(value, rel=1e-3)
    assert rankme(rotated * 1e3).item() == pytest.approx(rankme(features).item(), rel=1e-9)
    assert rankme(shifted).item() != pytest.approx(rankme(features).item(), rel=1e-3)


@every_measure
def test_float32_equals_float64_and_half_is_taken(measure):
    features = torch.randn(100, 20) + 1e3
    assert measure(features).item() == measure(features.double()).item()
    assert measure(features).dtype == torch.float64 and measure(features).shape == ()
    half = torch.randn(100, 20).half()
    assert measure(half).item() == measure(half.double()).item()
    assert not measure(torch.randn(100, 20, requires_grad=True)).requires_grad


@pytest.mark.parametrize("constant", [0.0, 3.14159, -2.3e6])
def test_constant_features_are_dropped_however_the_mean_rounds(constant):
    features = torch.randn(97, 5).double()
    extended = torch.cat([features, torch.full((97, 3), constant, dtype=torch.float64)], dim=1)
    for matrix in ("correlation", "covariance"):
        value = effective_rank(features, matrix).item()
        assert effective_rank(extended, matrix).item() == pytest.approx(value, rel=1e-12)


def test_collapsed_features_have_the_rank_of_their_matrix():
    identical = torch.randn(1, 8).repeat(30, 1)
    assert effective_rank(identical) == 0
    assert effective_rank(identical, "covariance") == 0
    assert effective_rank(identical, "second_moment").item() == pytest.approx(1, rel=1e-9)
    assert rankme(identical).item() == pytest.approx(1, rel=1e-6)
    assert rankme(torch.zeros(30, 8)) == 0


@every_measure
@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (
            torch.tensor([[1.0, 2.0], [math.nan, 0.0], [1.0, 1.0]]),
            ValueError,
            "features must be finite.*row 1",
        ),
        (torch.tensor([[1.0, math.inf], [0.0, 0.0]]), ValueError, "features must be finite.*row 0"),
        (torch.randn(1, 4), ValueError, "at least 2 rows, got 1"),
        (torch.randn(8), ValueError, r"shape \(rows, dim\)"),
        (torch.randn(8, 0), ValueError, r"shape \(rows, dim\)"),
        (torch.ones(8, 2, dtype=torch.int32), TypeError, "floating-point.*int32"),
    ],
)
def test_bad_input_is_an_error_that_says_what(measure, features, error, message):
    with pytest.raises(error, match=message):
        measure(features)


def test_an_unknown_matrix_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="one of correlation, covariance, second_moment, got 'pearson'"):
        effective_rank(torch.randn(8, 2), "pearson")
