"""The LID estimators against closed forms, other implementations and finite differences; LIDs compared."""

import math

import pytest
import skdim
import torch
from torch import Tensor

from ldreg.lid import (
    fisher_rao_distance,
    frechet_variance,
    geometric_mean,
    lid_mle,
    lid_mom,
    mle_from_distances,
    mom_from_distances,
)
from ldreg.neighbors import neighbor_distances

ESTIMATORS = [lid_mom, lid_mle]
FROM_DISTANCES = {lid_mom: mom_from_distances, lid_mle: mle_from_distances}
CONVENTIONS = ["code", "text"]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
every_convention = pytest.mark.parametrize("convention", CONVENTIONS)


@pytest.fixture(autouse=True)
def _seed_and_one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def plain_lid(estimator, convention, queries, reference, k, own_row=None) -> Tensor:
    """The definitions, query by query and distance by distance, in Python's float64."""
    result = []
    for i, query in enumerate(queries.tolist()):
        others = [x for j, x in enumerate(reference.tolist()) if own_row is None or j != own_row[i]]
        r = sorted(math.dist(query, x) for x in others)[:k]
        w = r[-1]
        if estimator is lid_mom:
            used = r[:-1] if convention == "code" else r
            mu = sum(used) / len(used)
            result.append(mu / (w - mu))
        elif convention == "code":
            result.append(-k / sum(math.log(x / w + 1e-4) for x in r[:-1]))
        else:
            result.append(-1 / (sum(math.log(x / w) for x in r) / k))
    return torch.tensor(result, dtype=torch.float64)


# ---- values ------------------------------------------------------------------------------------------------


# Points on a line at 0, 0, 1, 3, 7, 100. Each point at 0 has the other as a neighbour: r = 0, 1, 3 for k = 3.
@pytest.mark.parametrize(
    ("estimator", "convention", "expected"),
    [
        (lid_mom, "code", 0.5 / (3 - 0.5)),
        (lid_mom, "text", (4 / 3) / (3 - 4 / 3)),
        (lid_mle, "code", -3 / (math.log(1e-4) + math.log(1 / 3 + 1e-4))),
        (lid_mle, "text", -3 / (math.log(2**-23) + math.log(1 / 3))),
    ],
)
def test_a_duplicate_is_a_neighbour_and_the_query_itself_is_not(estimator, convention, expected):
    line = torch.tensor([[0.0], [0.0], [1.0], [3.0], [7.0], [100.0]], dtype=torch.float64)
    lid = estimator(line, k=3, convention=convention)
    torch.testing.assert_close(lid[:2], torch.full((2,), expected, dtype=torch.float64), rtol=1e-12, atol=0)


@every_estimator
@every_convention
def test_equals_a_plain_loop(estimator, convention):
    queries, reference = torch.randn(7, 3).double(), torch.randn(30, 3).double()
    close = {"rtol": 1e-11, "atol": 0}
    for k in (2, 3, 10):
        lid = estimator(queries, k=min(k, 5), convention=convention)
        expected = plain_lid(estimator, convention, queries, queries, min(k, 5), range(7))
        torch.testing.assert_close(lid, expected, **close)
        lid = estimator(queries, reference, k, convention=convention)
        torch.testing.assert_close(lid, plain_lid(estimator, convention, queries, reference, k), **close)
    own_row = torch.tensor([4, 4, 29, 0, 11])
    lid = estimator(reference[own_row], reference, 10, own_row, convention=convention)
    expected = plain_lid(estimator, convention, reference[own_row], reference, 10, own_row.tolist())
    torch.testing.assert_close(lid, expected, **close)


def test_the_defaults_are_the_codes_convention_and_k_64():
    points = torch.randn(200, 5)
    for estimator in ESTIMATORS:
        assert torch.equal(estimator(points), estimator(points, k=64, convention="code"))
        assert not torch.equal(estimator(points), estimator(points, k=64, convention="text"))


def test_agrees_with_scikit_dimension():
    k, points = 20, torch.randn(150, 4).double()
    mom = torch.from_numpy(skdim.id.MOM().fit(points.numpy(), n_neighbors=k).dimension_pw_)
    mle = torch.from_numpy(skdim.id.MLE().fit(points.numpy(), n_neighbors=k).dimension_pw_)
    close = {"rtol": 1e-10, "atol": 0}
    torch.testing.assert_close(lid_mom(points, k=k, convention="text"), mom, **close)
    torch.testing.assert_close(lid_mom(points, k=k), ((k - 1) * mom - 1) / k, **close)  # mu without r_k
    torch.testing.assert_close(
        lid_mle(points, k=k, convention="text"), mle * k / (k - 1), **close
    )  # k for k - 1


@every_estimator
@every_convention
@pytest.mark.parametrize("dim", [1, 2, 10])
def test_exact_power_law_distances_give_their_exponent(estimator, convention, dim):
    # F(r) = r^dim at its quantiles: a distance distribution whose LID is dim at every r.
    k = 20_000
    radii = (torch.arange(1, 3 * k) / k).double() ** (1 / dim)
    lid = estimator(torch.zeros(1, 1).double(), radii[:, None], k, convention=convention)
    assert lid.item() == pytest.approx(dim, rel=0.01)


@every_estimator
@pytest.mark.parametrize("dim", [1, 2, 6])
def test_uniform_samples_of_a_ball_have_its_dimension_also_inside_a_larger_space(estimator, dim):
    direction = torch.nn.functional.normalize(torch.randn(20_000, dim).double())
    ball = direction * torch.rand(20_000, 1).double() ** (1 / dim)
    embed = torch.linalg.qr(torch.randn(16, dim).double()).Q.T
    lid = estimator(torch.zeros(1, 16).double() + 3, ball @ embed + 3, k=4000)
    assert lid.item() == pytest.approx(dim, rel=0.06)  # standard error dim / sqrt(k) = 1.6 %


@every_estimator
@every_convention
def test_shift_rotation_scale_and_order_change_nothing(estimator, convention):
    points = torch.randn(60, 5).double()
    lid = estimator(points, k=12, convention=convention)
    rotation = torch.linalg.qr(torch.randn(5, 5).double()).Q
    order = torch.randperm(60)
    for moved in (points * 1e-6, points * 1e6, points @ rotation, points + 50, points[:, torch.randperm(5)]):
        torch.testing.assert_close(estimator(moved, k=12, convention=convention), lid, rtol=1e-10, atol=0)
    torch.testing.assert_close(estimator(points[order], k=12, convention=convention), lid[order])
    shuffled = estimator(points, points[order], 12, order.argsort(), convention=convention)
    torch.testing.assert_close(shuffled, lid)


# ---- one search for several estimators and k ---------------------------------------------------------------


@every_convention
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_one_search_serves_both_estimators_and_every_smaller_k(convention, leave_one_out):
    points = torch.randn(700, 6).double()
    points[::50] = points[1::50]  # duplicates too
    reference = None if leave_one_out else torch.randn(600, 6).double()
    distances = neighbor_distances(points, reference, 512)
    for estimator in ESTIMATORS:
        for k in (2, 32, 512):
            shared = FROM_DISTANCES[estimator](distances[:, :k], convention)
            assert shared.shape == (700,)
            assert torch.equal(shared, estimator(points, reference, k, convention=convention))


@every_estimator
@every_convention
def test_gradients_flow_through_a_shared_search(estimator, convention):
    points = torch.randn(80, 4).double().requires_grad_()
    distances = neighbor_distances(points, None, 40)
    for k in (5, 40):
        shared = FROM_DISTANCES[estimator](distances[:, :k], convention).log().mean()
        (gradient,) = torch.autograd.grad(shared, points, retain_graph=True)
        direct = estimator(points, k=k, convention=convention).log().mean()
        torch.testing.assert_close(gradient, torch.autograd.grad(direct, points)[0], rtol=1e-12, atol=1e-15)


@every_estimator
@pytest.mark.parametrize(
    ("distances", "error", "message"),
    [
        (torch.ones(3), ValueError, r"shape \(n, k\).*\(3,\)"),
        (torch.ones(3, 1), ValueError, r"k at least 2, got \(3, 1\)"),
        (torch.ones(3, 4).long(), TypeError, r"floating point, got torch\.int64"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), ValueError, "ascending in each row"),
        (torch.tensor([[-1.0, 2.0]]), ValueError, "at least 0"),
        (torch.tensor([[1.0, math.inf]]), ValueError, "finite"),
        (torch.tensor([[math.nan, 1.0]]), ValueError, "finite"),
        (torch.tensor([[1.0, math.nan]]), ValueError, "finite"),
    ],
)
def test_what_are_no_neighbour_distances_is_an_error(estimator, distances, error, message):
    with pytest.raises(error, match=message):
        FROM_DISTANCES[estimator](distances)


@every_estimator
def test_an_unknown_convention_of_distances_is_an_error(estimator):
    with pytest.raises(ValueError, match="'code' or 'text', got 'codes'"):
        FROM_DISTANCES[estimator](torch.ones(3, 4), "codes")


# ---- gradients ---------------------------------------------------------------------------------------------


@every_estimator
@every_convention
def test_gradients_match_finite_differences(estimator, convention):
    queries = torch.randn(4, 3).double().requires_grad_()
    reference = torch.randn(12, 3).double()
    reference[3] = reference[5]  # duplicates in the reference are no obstacle
    for chunk_size in (None, 3):
        assert torch.autograd.gradcheck(
            lambda q, size=chunk_size: estimator(
                q, reference, 6, convention=convention, chunk_size=size
            ).log(),
            queries,
        )


def test_gradients_flow_through_the_queries_alone():
    points = torch.randn(40, 5).double().requires_grad_()
    (gradient,) = torch.autograd.grad(lid_mom(points, k=8).log().sum(), points)

    # By autograd through the whole distance matrix, written out, with the reference detached.
    differences = points[:, None] - points.detach()
    squares = differences.square().sum(dim=2) + torch.diag(torch.full((40,), math.inf))
    r = squares.sort(dim=1).values[:, :8].sqrt()
    mu, w = r[:, :7].mean(dim=1), r[:, 7]
    (expected,) = torch.autograd.grad((mu / (w - mu)).log().sum(), points)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)

    rows = torch.arange(40)
    reference = points.detach().clone().requires_grad_()
    lid_mom(points, reference, 8, rows).log().sum().backward()
    torch.testing.assert_close(points.grad, expected, rtol=1e-9, atol=1e-12)
    assert reference.grad is None
    points.grad = None
    lid_mom(points, points, 8, rows).log().sum().backward()  # gathered batches are not detached by the caller
    torch.testing.assert_close(points.grad, expected, rtol=1e-9, atol=1e-12)


def test_only_queries_without_an_index_count_their_own_copy_in_the_reference():
    points = torch.randn(30, 4).double()
    without = lid_mom(points, points, 5, torch.arange(30))
    assert torch.equal(without, lid_mom(points, k=5))
    with_copy = lid_mom(points, points, 5)
    torch.testing.assert_close(with_copy, plain_lid(lid_mom, "code", points, points, 5))
    assert not torch.isclose(with_copy, without, rtol=1e-3).any()
    half = lid_mom(points[10:20], points, 5, torch.arange(10, 20, dtype=torch.int32))
    torch.testing.assert_close(half, without[10:20])


# ---- comparing LIDs ----------------------------------------------------------------------------------------


def test_fisher_rao_distance_is_a_metric_on_a_log_scale():
    a, b, c = (torch.rand(50).double() * 20 + 0.1 for _ in range(3))
    assert torch.equal(fisher_rao_distance(a, a), torch.zeros(50).double())
    torch.testing.assert_close(fisher_rao_distance(a, b), fisher_rao_distance(b, a))
    assert (fisher_rao_distance(a, c) <= fisher_rao_distance(a, b) + fisher_rao_distance(b, c) + 1e-12).all()
    torch.testing.assert_close(fisher_rao_distance(7 * a, 7 * b), fisher_rao_distance(a, b))
    torch.testing.assert_close(fisher_rao_distance(a, 1.0), a.log().abs())
    assert fisher_rao_distance(2, 4).item() == pytest.approx(math.log(2), rel=1e-15)
    # The paper's example: 2 and 4 are further apart than 20 and 22.
    assert fisher_rao_distance(2.0, 4.0) > fisher_rao_distance(20.0, 22.0)


def test_theorem_2_the_geometric_mean_is_the_frechet_mean():
    lid = torch.rand(200).double() * 30 + 0.5
    mean = geometric_mean(lid)
    assert mean.item() == pytest.approx(math.exp(sum(map(math.log, lid.tolist())) / 200), rel=1e-12)
    candidates = mean * torch.linspace(-1, 1, 2001).double().exp()  # mean itself in the middle
    cost = fisher_rao_distance(candidates[:, None], lid).square().mean(dim=1)
    assert cost.argmin() == 1000
    torch.testing.assert_close(frechet_variance(lid), cost[1000])
    assert cost[1000] < fisher_rao_distance(lid.mean(), lid).square().mean()  # the arithmetic mean is not it


def test_frechet_variance_by_hand_and_its_invariance():
    lid = torch.tensor([1.0, 4.0, 4.0, 16.0]).double()  # ln LID - ln mLID = -ln 4, 0, 0, ln 4
    assert frechet_variance(lid).item() == pytest.approx(math.log(4) ** 2 / 2, rel=1e-12)
    torch.testing.assert_close(frechet_variance(5 * lid), frechet_variance(lid))
    assert frechet_variance(torch.full((9,), 7.0)) < 1e-12  # the mean of equal float32 may be rounded


@pytest.mark.parametrize("bad", [[1.0, 0.0], [2.0, -1.0], [1.0, math.nan], [1.0, math.inf], []])
@pytest.mark.parametrize(
    "function", [geometric_mean, frechet_variance, lambda x: fisher_rao_distance(x, 1.0)]
)
def test_lids_without_a_logarithm_are_an_error(function, bad):
    with pytest.raises(ValueError, match="positive and finite"):
        function(torch.tensor(bad))


def test_means_of_half_precision_are_float32():
    lid = torch.tensor([3.0, 5.0, 7.0], dtype=torch.float16)
    assert geometric_mean(lid).dtype == torch.float32
    assert geometric_mean(lid).item() == pytest.approx(105 ** (1 / 3), rel=1e-6)
