"""The LID estimators where numbers are hard: precision, chunks, degenerate neighbourhoods, bad input."""

import math
import warnings

import pytest
import torch

from ldreg.lid import lid_mle, lid_mom

ESTIMATORS = [lid_mom, lid_mle]
CONVENTIONS = ["code", "text"]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
every_convention = pytest.mark.parametrize("convention", CONVENTIONS)


@pytest.fixture(autouse=True)
def _seed_and_one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


# ---- precision ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_float32_is_accurate_under_a_large_common_offset(offset):
    points = torch.randn(300, 64) + offset
    exact = lid_mom(points.double(), k=16)
    torch.testing.assert_close(lid_mom(points, k=16).double(), exact, rtol=1e-5, atol=0)


def test_float32_finds_the_neighbours_inside_tight_clusters_far_apart():
    # At a radius 1e-5 of the distance between clusters, |q|^2 + |x|^2 - 2qx in float32 is rounding alone.
    centers = 30 * torch.randn(20, 8)
    points = (centers[:, None] + 1e-4 * torch.randn(20, 15, 8)).flatten(0, 1)
    alone = torch.cat([lid_mom(cluster.double(), k=8) for cluster in points.split(15)])
    torch.testing.assert_close(lid_mom(points, k=8).double(), alone, rtol=1e-5, atol=0)


def test_an_offset_that_dwarfs_the_cloud_hides_no_neighbour():
    offset = 2.0**30  # |x|^2 is 1e18, the squared distances are about 1
    points = (torch.randn(60, 3).double() + offset) - offset  # rounded as the shifted ones are
    torch.testing.assert_close(lid_mom(points + offset, k=8), lid_mom(points, k=8), rtol=1e-12, atol=0)


def test_no_order_of_the_found_neighbours_is_relied_on(monkeypatch):
    points = torch.randn(60, 3).double()
    expected = [estimator(points, k=8) for estimator in ESTIMATORS]
    topk = torch.Tensor.topk

    def unsorted_topk(*args, sorted, **kwargs):  # as a GPU's is
        assert not sorted
        values, indices = topk(*args, sorted=True, **kwargs)
        return torch.return_types.topk((values.flip(1), indices.flip(1)))

    monkeypatch.setattr(torch.Tensor, "topk", unsorted_topk)
    for estimator, lid in zip(ESTIMATORS, expected, strict=True):
        assert torch.equal(estimator(points, k=8), lid)


@every_estimator
@pytest.mark.parametrize("chunk_size", [1, 7, 100, 1000])
def test_chunks_change_neither_values_nor_gradients(estimator, chunk_size):
    points = torch.randn(100, 6)
    points[::4] = points[1::4]  # ties too
    results = []
    for size in (None, chunk_size):
        leaf = points.clone().requires_grad_()
        lid = estimator(leaf, k=9, chunk_size=size)
        results.append((lid.detach(), *torch.autograd.grad(lid.log().mean(), leaf)))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(
            chunked, whole, rtol=1e-5, atol=1e-8
        )  # blocks of products round differently


# ---- degenerate neighbourhoods -----------------------------------------------------------------------------

FLOOR = 2.0**-23
L_CODE, L_TEXT = math.log(1e4), 23 * math.log(2)
one_copy = torch.tensor([[2.0, 1.0]]).repeat(10, 1)  # all points identical
simplex = 3 * torch.eye(10)  # all neighbours equally far away
pairs = torch.cat([torch.arange(10.0)[:, None] ** 2] * 2)  # each point twice
copies = torch.tensor([0.0] * 6 + [5.0, 6.0, 7.0, 8.0])[:, None]  # six at 0: r = 0, 0, 0, 0, 0, 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("points", "k", "expected"),  # expected: MoM code, MoM text, MLE code, MLE text of the first query
    [
        (one_copy, 6, (FLOOR, 1 / 5, 6 / (5 * L_CODE), 6 / (5 * L_TEXT))),
        (copies, 6, (FLOOR, 1 / 5, 6 / (5 * L_CODE), 6 / (5 * L_TEXT))),
        (simplex, 6, (1 / FLOOR, 6 / 5 / FLOOR, 1 / FLOOR, 1 / FLOOR)),
        (pairs, 3, ((1 / 2) / (1 - 1 / 2), 2, 3 / L_CODE, 3 / L_TEXT)),  # r = 0, 1, 1
    ],
)
def test_degenerate_neighbourhoods_have_defined_finite_values_and_gradients(dtype, points, k, expected):
    for (estimator, convention), value in zip(
        [(e, c) for e in ESTIMATORS for c in CONVENTIONS], expected, strict=True
    ):
        leaf = points.to(dtype).requires_grad_()
        lid = estimator(leaf, k=k, convention=convention)
        assert lid[0].item() == pytest.approx(value, rel=1e-3 if estimator is lid_mle else 1e-6)
        assert (lid > 0).all() and lid.isfinite().all()
        (gradient,) = torch.autograd.grad(lid.log().sum(), leaf)
        assert gradient.isfinite().all()
        if points is one_copy:
            assert not gradient.any()


@every_estimator
@every_convention
def test_a_shrinking_neighbourhood_tends_to_the_collapsed_one(estimator, convention):
    # k - 1 neighbours closing in: the LID falls without a jump to the value of k - 1 exact copies.
    values = []
    for radius in (1e-2, 1e-5, 1e-9, 0):
        points = torch.tensor([0.0] + [radius] * 4 + [1.0] * 3).double()[:, None]
        values.append(estimator(points, k=5, convention=convention)[0].item())
    assert values == sorted(values, reverse=True)
    assert values[2] == pytest.approx(values[3], rel=1e-4)


def test_gradient_through_a_zero_distance_is_zero_and_through_the_others_is_not():
    reference = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [9.0, 9.0]])
    query = torch.zeros(1, 2, requires_grad=True)
    lid = lid_mom(query, reference, 3)  # mu = (0 + r_2) / 2, w = r_3: LID = r_2 / (2 r_3 - r_2) = 1 / 5
    lid.backward()
    assert lid.item() == pytest.approx(1 / 5)
    # dLID/dr_2 = 2 r_3 / (2 r_3 - r_2)^2 = 6/25 and dLID/dr_3 = -2 r_2 / 25, each times -1 along x and y.
    torch.testing.assert_close(query.grad, torch.tensor([[-6 / 25, 2 / 25]]))


def test_memory_layout_is_no_obstacle():
    points = torch.randn(6, 40).T.requires_grad_()  # columns in memory, as a transposed matrix has
    copy = points.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    gradients = [torch.autograd.grad(lid_mom(x, k=5, chunk_size=7).log().sum(), x)[0] for x in (points, copy)]
    torch.testing.assert_close(*gradients)


def test_extreme_magnitudes_are_no_obstacle():
    points = torch.randn(20, 4)
    for scale in (2.0**-60, 2.0**50):
        leaf = (points * scale).requires_grad_()
        lid = lid_mom(leaf, k=5)
        torch.testing.assert_close(lid, lid_mom(points, k=5))
        (gradient,) = torch.autograd.grad(lid.log().sum(), leaf)
        assert gradient.isfinite().all() and gradient.any()


# ---- k and errors ------------------------------------------------------------------------------------------


@every_estimator
@pytest.mark.parametrize(
    ("reference_rows", "indexed", "most"), [(None, False, 8), (12, False, 11), (12, True, 10)]
)
def test_k_is_lowered_to_one_less_than_the_neighbours_with_one_warning(
    estimator, reference_rows, indexed, most
):
    queries = torch.randn(10, 3)
    reference = None if reference_rows is None else torch.randn(reference_rows, 3)
    index = torch.arange(10) if indexed else None
    with pytest.warns(UserWarning, match=rf"k=64 is too many for .* using k={most}$") as caught:
        lowered = estimator(queries, reference, 64, index)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(lowered, estimator(queries, reference, most, index))


ten = torch.arange(30.0).reshape(10, 3)
with_nan, with_inf = ten.clone(), ten.clone()
with_nan[3, 1], with_inf[7, 0] = math.nan, -math.inf


@every_estimator
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"queries": with_nan}, ValueError, r"queries must be finite.*row 3"),
        ({"queries": with_inf}, ValueError, r"queries must be finite.*row 7"),
        ({"queries": ten, "reference": with_nan}, ValueError, r"reference must be finite.*row 3"),
        ({"queries": ten * 1e30}, ValueError, r"below \de\+\d\d in magnitude"),
        ({"queries": 1e18 * ten.remainder(20).sub(10)}, ValueError, r"magnitude: row 0"),  # (2e19)^2 > 3e38
        ({"queries": ten, "reference": ten.numpy()}, TypeError, r"reference must be .* tensor, got ndarray"),
        ({"queries": ten[:2]}, ValueError, r"at least 3 neighbours.*2 rows hold only 1"),
        ({"queries": ten[:3]}, ValueError, r"at least 3 neighbours.*3 rows hold only 2"),
        ({"queries": ten, "reference": ten[:2]}, ValueError, r"2 rows hold only 2"),
        ({"queries": ten[:0]}, ValueError, r"shape \(rows, dim\)"),
        ({"queries": ten[0]}, ValueError, r"shape \(rows, dim\).*\(3,\)"),
        ({"queries": ten[None]}, ValueError, r"shape \(rows, dim\).*\(1, 10, 3\)"),
        ({"queries": ten, "reference": ten[:, :2]}, ValueError, r"3 wide but the reference 2"),
        ({"queries": ten.long()}, TypeError, r"floating-point.*int64"),
        ({"queries": ten.to(torch.complex64)}, TypeError, r"floating-point.*complex64"),
        ({"queries": ten.tolist()}, TypeError, r"floating-point tensor, got list"),
        ({"queries": ten, "k": 1}, ValueError, r"k must be an integer of at least 2, got 1"),
        ({"queries": ten, "k": 2.5}, ValueError, r"k must be an integer.*2\.5"),
        ({"queries": ten, "k": True}, ValueError, r"k must be an integer.*True"),
        ({"queries": ten, "convention": "codes"}, ValueError, r"'code' or 'text', got 'codes'"),
        ({"queries": ten, "chunk_size": 0}, ValueError, r"chunk_size must be at least 1"),
        ({"queries": ten, "query_index": torch.arange(10)}, ValueError, r"query_index needs a reference"),
        ({"queries": ten, "reference": ten, "query_index": torch.arange(9)}, ValueError, r"shape \(10,\)"),
        ({"queries": ten, "reference": ten, "query_index": torch.arange(1, 11)}, ValueError, r"\[0, 10\)"),
        ({"queries": ten, "reference": ten, "query_index": torch.arange(-1, 9)}, ValueError, r"\[0, 10\)"),
        ({"queries": ten, "reference": ten, "query_index": torch.ones(10)}, TypeError, r"integers.*float32"),
        ({"queries": ten, "reference": ten, "query_index": list(range(10))}, TypeError, r"integers.*list"),
        (
            {"queries": ten, "reference": ten, "query_index": torch.ones(10).bool()},
            TypeError,
            r"integers.*bool",
        ),
    ],
)
def test_bad_input_is_an_error_that_says_what(estimator, arguments, error, message):
    with pytest.raises(error, match=message):
        estimator(**{"k": 2, **arguments})


def test_a_batch_of_four_is_the_smallest():
    assert lid_mom(torch.tensor([[0.0], [1.0], [3.0], [9.0]]), k=2)[0].item() == pytest.approx(1 / (3 - 1))
