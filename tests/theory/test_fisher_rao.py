"""The paper's theory as tests: Lemmas 1 and 2, Theorems 2 and 4, Corollary 2.1, Remark 1.2, by quadrature."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from ldreg.lid import fisher_rao_distance, frechet_variance, geometric_mean, lid_mom
from ldreg.regularizers import LDReg

THETAS = (0.5, 1.0, 2.0, 7.3, 24.0)
WIDTHS = (0.1, 1.0, 3.0)
LIDS = np.array([1.3, 2.0, 4.5, 4.5, 11.0, 40.0])


def density(r: float, theta: float, w: float) -> float:
    """h(r) = H'(r) of H_{w|theta}(r) = (r / w)^theta on [0, w]."""
    return theta / w * (r / w) ** (theta - 1)


def expectation(of: Callable[[float], float], theta: float) -> float:
    """E of a function of v = (r / w)^theta, which is uniform on [0, 1] under H_{w|theta}."""
    return quad(of, 0, 1, limit=200)[0]


@pytest.mark.parametrize("w", WIDTHS)
@pytest.mark.parametrize("theta", THETAS)
def test_lemma_1_the_fisher_information_is_one_over_theta_squared(theta: float, w: float) -> None:
    step = 1e-5 * theta

    def score(r: float) -> float:
        """d ln h / d theta by central differences: nothing of the closed form is used."""
        above, below = (math.log(density(r, theta + sign * step, w)) for sign in (1, -1))
        return (above - below) / (2 * step)

    # Under H, v = (r / w)^theta is uniform: the integral over r becomes one over v without a singularity.
    information = expectation(lambda v: score(w * v ** (1 / theta)) ** 2 if v > 0 else 0.0, theta)
    assert information == pytest.approx(1 / theta**2, rel=1e-4)


@pytest.mark.parametrize(("one", "other"), [(1.0, 2.0), (24.0, 3.0), (0.5, 0.5), (2.0, 22.0)])
def test_lemma_1_the_distance_is_the_length_of_the_geodesic(one: float, other: float) -> None:
    length = abs(quad(lambda theta: math.sqrt(1 / theta**2), one, other)[0])
    ours = fisher_rao_distance(torch.tensor([one], dtype=torch.float64), other)
    assert ours.item() == pytest.approx(length, abs=1e-12)
    assert ours.item() == pytest.approx(abs(math.log(other / one)), abs=1e-14)


def kl(f: np.ndarray | float, g: np.ndarray | float) -> np.ndarray:
    """The asymptotic Kullback-Leibler divergence of Lemma 2, from F of LID f to G of LID g."""
    return g / f - np.log(g / f) - 1


@pytest.mark.parametrize(("f", "g"), [(1.0, 2.0), (5.0, 3.0), (24.0, 16.5)])
def test_lemma_2_the_kullback_leibler_divergence(f: float, g: float) -> None:
    def log_ratio(v: float) -> float:
        r = v ** (1 / f)
        return math.log(density(r, f, 1.0) / density(r, g, 1.0)) if v > 0 else 0.0

    assert expectation(log_ratio, f) == pytest.approx(kl(f, g), abs=1e-7)


def minimiser(cost: Callable[[float, np.ndarray], np.ndarray]) -> float:
    """theta that minimises the mean of cost(theta, LID_i), sought over ln theta."""
    found = minimize_scalar(
        lambda t: float(cost(math.exp(t), LIDS).mean()),
        bounds=(-3, 6),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return math.exp(found.x)


def squared_distances(theta: float, lids: np.ndarray) -> np.ndarray:
    return fisher_rao_distance(torch.from_numpy(lids), theta).square().numpy()


@pytest.mark.parametrize(
    ("cost", "mean"),
    [
        (squared_distances, geometric_mean(torch.from_numpy(LIDS)).item()),
        (lambda theta, lids: kl(theta, lids), LIDS.mean()),
        (lambda theta, lids: kl(lids, theta), 1 / (1 / LIDS).mean()),
    ],
    ids=["Fisher-Rao: geometric", "Kullback-Leibler: arithmetic", "reversed: harmonic"],
)
def test_theorem_4_each_divergence_has_its_mean(
    cost: Callable[[float, np.ndarray], np.ndarray], mean: float
) -> None:
    assert minimiser(cost) == pytest.approx(mean, rel=1e-6)


def test_theorem_2_the_frechet_mean_is_the_geometric_mean_and_its_variance_that_of_the_logarithms() -> None:
    lids = torch.tensor(LIDS)
    mean = minimiser(lambda theta, values: np.log(values / theta) ** 2)
    assert geometric_mean(lids).item() == pytest.approx(mean, rel=1e-6)
    assert frechet_variance(lids).item() == pytest.approx(np.log(LIDS).var(), rel=1e-12)


def test_corollary_2_1_the_mean_distance_from_the_uniform_is_the_logarithm_of_the_geometric_mean() -> None:
    lids = torch.tensor(LIDS)
    distances = fisher_rao_distance(lids, 1.0)
    assert distances.mean().item() == pytest.approx(geometric_mean(lids).log().item(), rel=1e-12)
    # LDReg's L1 form is that mean with a minus sign; only where every LID is at least 1.
    low = torch.tensor([0.5, 2.0], dtype=torch.float64)
    assert fisher_rao_distance(low, 1.0).mean().item() > geometric_mean(low).log().item()


def test_the_regulariser_is_the_corollary_on_representations() -> None:
    rows = torch.randn(128, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lids = lid_mom(rows, k=16)
    assert lids.min() >= 1
    expected = -0.1 * fisher_rao_distance(lids, 1.0).mean()
    torch.testing.assert_close(LDReg(beta=0.1, k=16)(rows), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("a", "b", "c"), [(2.0, 4.0, 9.0), (20.0, 22.0, 1.5)])
def test_remark_1_2_the_distance_is_symmetric_and_additive(a: float, b: float, c: float) -> None:
    def d(one: float, other: float) -> float:
        return fisher_rao_distance(torch.tensor(one, dtype=torch.float64), other).item()

    assert d(a, b) == pytest.approx(d(b, a), rel=1e-14)
    low, middle, high = sorted((a, b, c))
    assert d(low, high) == pytest.approx(d(low, middle) + d(middle, high), rel=1e-12)
    assert d(3 * a, 3 * b) == pytest.approx(d(a, b), rel=1e-12), "a relative difference: the unit drops out"


def test_absolute_differences_of_lid_are_no_measure_of_dissimilarity() -> None:
    near, far = (
        fisher_rao_distance(torch.tensor(low, dtype=torch.float64), low + 2).item() for low in (20.0, 2.0)
    )
    assert far > 5 * near  # the paper's example: 2 and 4 differ more than 20 and 22
