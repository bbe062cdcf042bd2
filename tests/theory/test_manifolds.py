"""LID of manifolds of known dimension (scikit-dimension's benchmark), and the estimators' known bias."""

import numpy as np
import pytest
import skdim
import torch
from torch import Tensor

from ldreg.lid import geometric_mean, lid_mle, lid_mom

POINTS = 2500
# Those of at most 5 dimensions that are smooth, sampled without much curvature within a neighbourhood.
LOW = {
    "M2_Affine_3to5": 3,
    "M3_Nonlinear_4to6": 4,
    "M5a_Helix1d": 1,
    "M7_Roll": 2,
    "M11_Moebius": 2,
    "M13a_Scurve": 2,
    "Mp1_Paraboloid": 3,
}


@pytest.fixture(scope="module")
def manifolds() -> dict[str, Tensor]:
    """(points, coordinates) by the benchmark's names, in float64."""
    made = skdim.datasets.BenchmarkManifolds(random_state=0).generate(n=POINTS)
    return {name: torch.from_numpy(np.asarray(points)).double() for name, points in made.items()}


@pytest.mark.parametrize("name", LOW)
def test_low_dimensions_are_read_within_a_tenth(name: str, manifolds: dict[str, Tensor]) -> None:
    assert geometric_mean(lid_mom(manifolds[name], k=16)).item() == pytest.approx(LOW[name], rel=0.1)
    assert geometric_mean(lid_mle(manifolds[name], k=64)).item() == pytest.approx(LOW[name], rel=0.1)


@pytest.mark.parametrize("name", ["M1_Sphere", "M7_Roll", "M10c_Cubic", "M12_Norm", "Mp2_Paraboloid"])
def test_the_relation_to_scikit_dimension_is_exact(name: str, manifolds: dict[str, Tensor]) -> None:
    # scikit-dimension averages r_1 to r_k, the paper's code r_1 to r_{k-1}: hence (k - 1) and -1.
    points, k = manifolds[name][:600], 20
    theirs = torch.from_numpy(skdim.id.MOM().fit(points.numpy(), n_neighbors=k).dimension_pw_)
    torch.testing.assert_close(lid_mom(points, k=k), ((k - 1) * theirs - 1) / k, rtol=1e-9, atol=0)
    theirs = torch.from_numpy(skdim.id.MLE().fit(points.numpy(), n_neighbors=k).dimension_pw_)
    ours = lid_mle(points, k=k, convention="text")
    torch.testing.assert_close(ours, theirs * k / (k - 1), rtol=1e-9, atol=0)


def test_high_dimensions_are_read_low(manifolds: dict[str, Tensor]) -> None:
    # A neighbourhood of 64 among 2,500 points of a 24-dimensional cube reaches to its faces.
    cube = manifolds["M10c_Cubic"]
    mom, mle = (geometric_mean(estimator(cube, k=64)).item() for estimator in (lid_mom, lid_mle))
    assert 15.5 < mom < 17 and 16 < mle < 17.5
    order = [geometric_mean(lid_mom(manifolds[f"M10{letter}_Cubic"], k=64)).item() for letter in "abcd"]
    assert order == sorted(order), "read low, but in the right order: 10, 17, 24, 70"


def test_curvature_adds_dimensions(manifolds: dict[str, Tensor]) -> None:
    # A wound curve whose windings lie nearer to each other than its neighbours along it.
    assert geometric_mean(lid_mom(manifolds["M13b_Spiral"], k=64)).item() > 1.5
