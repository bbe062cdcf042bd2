import json

import pytest
import torch

from ldreg.evaluation.dimensionality import DimensionalitySettings, measure_dimensionality
from ldreg.lid import lid_mle, lid_mom


def manifold(dim: int, rows: int, ambient: int = 20) -> torch.Tensor:
    """Points uniform in a dim-dimensional cube, rotated into `ambient` dimensions."""
    generator = torch.Generator().manual_seed(dim)
    basis = torch.linalg.qr(torch.randn(ambient, ambient, generator=generator)).Q[:dim]
    return torch.rand(rows, dim, generator=generator) @ basis


def find(result: dict, **wanted) -> dict:
    (entry,) = [e for e in result["lid"] if all(e[key] == value for key, value in wanted.items())]
    return entry


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_finds_the_dimension_of_a_manifold(dim):
    result = measure_dimensionality(
        manifold(dim, rows=2000), DimensionalitySettings(ks=(20,), batch_rows=1000)
    )
    for estimator in ("mom", "mle"):
        for batch_rows in (None, 1000):
            entry = find(result, estimator=estimator, batch_rows=batch_rows)
            assert entry["mlid"] == pytest.approx(dim, rel=0.15)
            assert entry["mlid"] < entry["mean"]
            assert entry["frechet_variance"] < 0.2
    # Uniform and uncorrelated along each of its directions: the spectrum of the covariance is flat.
    assert result["effective_rank"]["covariance"] == pytest.approx(dim, rel=0.01)


def test_full_split_equals_the_estimators():
    x = manifold(3, rows=300)
    result = measure_dimensionality(x, DimensionalitySettings(ks=(8, 16), batch_rows=300))
    for name, estimator in (("mom", lid_mom), ("mle", lid_mle)):
        for k in (8, 16):
            lid = estimator(x, k=k).double()
            full, batch = (find(result, estimator=name, k=k, batch_rows=rows) for rows in (None, 300))
            assert full["mlid"] == pytest.approx(lid.log().mean().exp().item(), rel=1e-4)
            assert full["mean"] == pytest.approx(lid.mean().item(), rel=1e-4)
            assert full["frechet_variance"] == pytest.approx(lid.log().var(correction=0).item(), rel=1e-3)
            # One batch that holds every row is the full split in another order.
            assert batch["mlid"] == pytest.approx(full["mlid"], rel=1e-4)


def test_mini_batches_refer_to_their_own_rows():
    # Pairs of rows: within the full split each row's first neighbour is its twin, which most batches lack.
    x = manifold(3, rows=512)
    x = torch.cat([x, x + 1e-3 * torch.randn(512, 20, generator=torch.Generator().manual_seed(0))])
    result = measure_dimensionality(x, DimensionalitySettings(ks=(8,), batch_rows=256))
    full, batch = (find(result, estimator="mle", batch_rows=rows) for rows in (None, 256))
    assert (full["rows_used"], batch["rows_used"]) == (1024, 1024)
    assert full["mlid"] < 0.8 * batch["mlid"]


def test_incomplete_last_batch_is_left_out_and_small_split_has_no_batches():
    result = measure_dimensionality(manifold(2, rows=700), DimensionalitySettings(ks=(8,), batch_rows=300))
    assert find(result, estimator="mom", batch_rows=300)["rows_used"] == 600
    small = measure_dimensionality(manifold(2, rows=299), DimensionalitySettings(ks=(8,), batch_rows=300))
    assert [entry["batch_rows"] for entry in small["lid"]] == [None, None]


def test_result_is_as_documented_and_repeatable():
    settings = DimensionalitySettings(ks=(8, 16), batch_rows=128)
    x = manifold(3, rows=300)
    torch.manual_seed(1)
    result = measure_dimensionality(x, settings, split="train")
    torch.manual_seed(2)
    assert measure_dimensionality(x, settings, split="train") == result
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result) == ["split", "rows", "dim", "lid", "effective_rank", "rankme"]
    assert (result["split"], result["rows"], result["dim"]) == ("train", 300, 20)
    named = [(entry["estimator"], entry["k"], entry["batch_rows"]) for entry in result["lid"]]
    assert named == [(e, k, b) for e in ("mom", "mle") for k in (8, 16) for b in (None, 128)]
    fields = {"estimator", "k", "batch_rows", "rows_used", "mlid", "mean", "frechet_variance"}
    assert all(set(entry) == fields for entry in result["lid"])
    assert list(result["effective_rank"]) == ["correlation", "covariance", "second_moment"]
    assert all(1 <= rank <= 20 for rank in [*result["effective_rank"].values(), result["rankme"]])


def test_collapsed_representations_are_reported_not_hidden():
    result = measure_dimensionality(torch.ones(100, 8), DimensionalitySettings(ks=(8,), batch_rows=50))
    json.dumps(result, allow_nan=False)
    assert all(entry["mlid"] < 0.01 for entry in result["lid"] if entry["estimator"] == "mom")
    assert result["effective_rank"]["correlation"] == 0


def test_bad_input_is_named():
    settings = DimensionalitySettings(ks=(8, 64), batch_rows=128)
    with pytest.raises(ValueError, match="k = 64 needs at least 66 rows, but the split has 65"):
        measure_dimensionality(manifold(2, rows=65), settings)
    broken = manifold(2, rows=100)
    broken[5, 5] = torch.nan
    with pytest.raises(ValueError, match="must be finite"):
        measure_dimensionality(broken, settings)
    with pytest.raises(ValueError, match="k = 64 needs at least 66 rows, but batch_rows is 65"):
        DimensionalitySettings(ks=(8, 64), batch_rows=65)
    with pytest.raises(ValueError, match="ks must hold"):
        DimensionalitySettings(ks=())
