"""No mixed precision around them lowers the LIDs and the regularisers: the same bits as without it."""

from itertools import product

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ldreg.lid import lid_mle, lid_mom, mle_from_distances, mom_from_distances
from ldreg.regularizers import Covariance, CovarianceVariance, LDReg, MinLID, TargetLID

FORMS = ("l1", "l2", "per_sample")
TERMS = {
    **{
        f"{estimator.__name__}-{convention}": lambda x, e=estimator, c=convention: e(
            x, k=10, convention=c
        ).log()
        for estimator, convention in product((lid_mom, lid_mle), ("code", "text"))
    },
    **{f"ldreg_{form}": LDReg(0.5, 10, form) for form in FORMS},
    "min_lid": MinLID(0.5, 10),
    "target_lid": TargetLID(0.5, 10, target=3.0),
    "cov": Covariance(0.5),
    "cov_var": CovarianceVariance(0.5),
}
every_term = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS.keys())
PRODUCTS = {
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "mv",
    "addmv",
    "dot",
    "linear",
    "_euclidean_dist",
    "_cdist_forward",
}


@pytest.fixture(autouse=True)
def _seed_and_one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def medium_precision():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def value_and_gradient(term, features):
    leaf = features.clone().requires_grad_()
    value = term(leaf)
    return value.detach(), *torch.autograd.grad(value.sum(), leaf)


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def features(rows=100, dim=16):
    """Rows far from the origin and of a few directions: what rounding hurts."""
    return torch.randn(rows, 4) @ torch.randn(4, dim) + 0.1 * torch.randn(rows, dim) + 20


@every_term
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_no_bit(term, dtype):
    x = features()
    expected = value_and_gradient(term, x)
    with torch.autocast("cpu", dtype):
        assert (x @ x.T).dtype == dtype  # the region is in force
        assert_same_bits(value_and_gradient(term, x), expected)


@every_term
def test_a_lower_precision_of_float32_products_changes_no_bit(term, request):
    x = features(512, 128)  # a CPU lowers large products alone, and only if it has instructions for it
    expected = value_and_gradient(term, x)
    request.getfixturevalue("medium_precision")
    assert_same_bits(value_and_gradient(term, x), expected)


@every_term
@pytest.mark.parametrize("rows", [100, 512])  # products of float64, and of float32
def test_every_matrix_product_is_of_full_precision(term, rows, medium_precision):
    settings, seen = torch.backends.mkldnn.matmul, []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.overloadpacket.__name__ in PRODUCTS:
                dtypes = {arg.dtype for arg in args if isinstance(arg, torch.Tensor)}
                seen.append(dtypes == {torch.float64} or settings.fp32_precision == "ieee")
            return function(*args, **(kwargs or {}))

    x = features(rows, 32)
    assert settings.fp32_precision == "bf16"
    with Record():
        value_and_gradient(term, x)
    assert seen and all(seen)
    assert settings.fp32_precision == "bf16"


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_computed_in_float32(term, dtype):
    lowered = features().to(dtype)
    value, gradient = value_and_gradient(term, lowered)
    expected_value, expected_gradient = value_and_gradient(term, lowered.float())
    assert value.dtype == torch.float32
    assert torch.equal(value, expected_value)
    assert torch.equal(gradient, expected_gradient.to(dtype))
    assert gradient.isfinite().all() and gradient.any()


@every_term
def test_float64_stays_float64_and_float32_is_close_to_it(term):
    x = features()
    value, gradient = value_and_gradient(term, x)
    exact_value, exact_gradient = value_and_gradient(term, x.double())
    assert (value.dtype, exact_value.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(value.double(), exact_value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("estimator", [lid_mom, lid_mle])
def test_the_wider_of_queries_and_reference_decides(estimator):
    points = features().half()
    assert torch.equal(estimator(points, points.float(), 10), estimator(points.float(), points, 10))
    assert estimator(points, points.double(), 10).dtype == torch.float64


@pytest.mark.parametrize("from_distances", [mom_from_distances, mle_from_distances])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_distances_are_computed_in_float32(from_distances, dtype):
    distances = (1 + torch.rand(50, 20)).sort(dim=1).values.to(dtype)
    assert torch.equal(from_distances(distances), from_distances(distances.float()))
