"""The fast search on clouds made to break it: everything is compared with float64."""

import pytest
import torch

from ldreg import LDReg
from ldreg.lid import lid_mom
from ldreg.neighbors import exact, neighbor_distances, product

ROWS, DIM, K = 400, 96, 24  # more than `product.SMALL`, and no multiple of a block


def _clusters(radius, distance):
    centers = distance * torch.randn(ROWS // 40, 1, DIM)
    return (centers + radius * torch.randn(ROWS // 40, 40, DIM)).flatten(0, 1)


def _half_duplicates():
    points = torch.randn(ROWS, DIM)
    points[: ROWS // 2] = points[ROWS // 2 :]
    return points


def _outlier():
    points = torch.randn(ROWS, DIM)
    points[7] = 1e6
    return points


def _one_direction():
    return 1000 * torch.randn(ROWS, 1) * torch.ones(1, DIM) + torch.randn(ROWS, DIM)


CLOUDS = {
    "Gaussian": lambda: torch.randn(ROWS, DIM),
    "after a ReLU": lambda: torch.relu(torch.randn(ROWS, 12) @ torch.randn(12, DIM)),
    "of few dimensions": lambda: torch.randn(ROWS, 3) @ torch.randn(3, DIM),
    "offset": lambda: torch.randn(ROWS, DIM) + 1e4,
    "far offset": lambda: torch.randn(ROWS, DIM) + 1e6,
    "tight clusters": lambda: _clusters(1e-6, 1.0),
    "clusters": lambda: _clusters(1.0, 300.0),
    "half duplicates": _half_duplicates,
    "outlier": _outlier,
    "one direction": _one_direction,
    "all but equal": lambda: torch.ones(ROWS, DIM) + 1e-5 * torch.randn(ROWS, DIM),
    "small": lambda: 2.0**-55 * torch.randn(ROWS, DIM),
    "large": lambda: 2.0**50 * torch.randn(ROWS, DIM),
    "two scales": lambda: torch.randn(ROWS, DIM) * torch.logspace(-4, 2, ROWS)[:, None],
}
every_cloud = pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS.keys())


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def lid_and_gradient(points, **arguments):
    leaf = points.clone().requires_grad_()
    lid = lid_mom(leaf, k=K, **arguments)
    return lid.detach().double(), torch.autograd.grad(lid.log().mean(), leaf)[0].double()


def plain_distances(points, reference):
    """All distances in float64 by differences; None leaves the diagonal out."""
    apart = (points.double()[:, None] - (points if reference is None else reference).double()).square()
    squares = apart.sum(dim=2)
    return (squares.fill_diagonal_(torch.inf) if reference is None else squares).sqrt()


def plain_lid_and_gradient(points, reference):
    """LID and its gradient by the formulas of the paper, from the distances to all rows."""
    distances, rows = plain_distances(points, reference).sort(dim=1)
    r, rows = distances[:, :K], rows[:, :K]
    near = (r[:, :-1] / r[:, -1:]).sum(dim=1)
    gap = K - 1 - near
    slopes = (1 / near + 1 / gap)[:, None] / r[:, -1:] / len(points)  # of mean ln LID
    slopes = torch.cat([slopes.expand(-1, K - 1), -slopes * near[:, None]], dim=1)
    pulls = points.double()[:, None] - (points if reference is None else reference).double()[rows]
    directions = torch.where(r > 0, 1 / r, 0)[:, :, None] * pulls
    return near / gap, (slopes[:, :, None] * directions).sum(dim=1), distances[:, K - 2 : K + 1]


@every_cloud
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_lid_and_gradients_are_those_of_a_plain_computation_in_float64(cloud, leave_one_out):
    points = cloud()
    reference = None if leave_one_out else points[torch.randperm(ROWS)][: ROWS - 50].clone()
    lid, gradient = lid_and_gradient(points, reference=reference)
    expected_lid, expected_gradient, around = plain_lid_and_gradient(points, reference)
    # A float32 distance has an error of 6e-8, which LID multiplies by its own value.
    assert ((lid - expected_lid).abs() <= expected_lid * (1e-4 + 1e-6 * expected_lid)).all()
    norms = torch.linalg.vector_norm(expected_gradient, dim=1)
    errors = torch.linalg.vector_norm(gradient - expected_gradient, dim=1)
    # Of neighbours at the same distance, either may be the k-th, to which the gradient is different.
    untied = (around.diff(dim=1) > 1e-6 * around[:, 1:]).all(dim=1)
    assert (errors <= 1e-4 * norms + 1e-12 * norms.max())[untied].all()
    assert untied.any() or cloud is _half_duplicates  # each of these has its neighbours twice


@every_cloud
def test_neighbours_are_those_of_float64_up_to_equal_distances(cloud):
    points = cloud()
    found = product.search(points, points, K, torch.arange(ROWS), None)
    distances = plain_distances(points, None)
    expected = distances.sort(dim=1).values[:, :K]
    torch.testing.assert_close(distances.gather(1, found.neighbors), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.distances.double(), expected, rtol=1e-4, atol=0)
    assert all(len(set(row)) == K for row in found.neighbors.tolist())


def test_rows_all_equal_have_the_lid_and_the_gradient_of_a_collapse():
    points = torch.full((ROWS, DIM), 0.3)
    lid, gradient = lid_and_gradient(points)
    assert torch.equal(lid, torch.full((ROWS,), 2.0**-23).double())
    assert not gradient.any()


def test_a_gaussian_cloud_needs_hardly_any_row_twice_and_a_collapsed_one_all():
    assert (
        len(product.search(*[torch.randn(ROWS, DIM)] * 2, K, torch.arange(ROWS), None).doubtful) < ROWS / 20
    )
    tight = _clusters(1e-6, 1.0)
    assert len(product.search(tight, tight, K, torch.arange(ROWS), None).doubtful) == ROWS


def test_a_small_problem_is_searched_in_float64():
    points = torch.randn(64, 32)
    found = product.search(points, points, 8, torch.arange(64), None)
    neighbors = exact.find(points, points, 8, torch.arange(64), None)
    assert torch.equal(found.neighbors.sort(dim=1).values, neighbors.sort(dim=1).values)
    expected = exact.measure(points.double(), points.double(), found.neighbors, None)
    torch.testing.assert_close(found.distances.double(), expected, rtol=1e-7, atol=0)


def test_the_same_rows_in_two_tensors_are_no_leave_one_out():
    points = torch.randn(ROWS, DIM)
    assert not neighbor_distances(points, points.clone(), K)[:, 0].any()
    rows = torch.arange(ROWS)
    apart = neighbor_distances(points, points.clone(), K, rows)
    torch.testing.assert_close(apart, neighbor_distances(points, points, K, rows), rtol=1e-5, atol=0)


def test_the_work_of_a_step_is_done_once(monkeypatch):
    # Rows and reference share their memory, as in a training step on one device: half the product.
    seen = []
    multiply = torch.mm

    def counted(a, b, out=None):
        seen.append(a.shape[0] * b.shape[1])
        return multiply(a, b, out=out)

    monkeypatch.setattr(torch, "mm", counted)
    points = torch.randn(2000, 8, requires_grad=True)
    LDReg(0.1, 16)(points, points.detach(), torch.arange(2000)).backward()
    assert sum(seen) < 0.7 * 2000**2
