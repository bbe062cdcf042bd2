"""The mini-batch LID's error, by the estimators themselves."""

import pytest
import torch

from ldreg.evaluation.lid_error import lid_errors, random_batches, tf32_errors, tf32_products
from ldreg.lid import lid_mle, lid_mom


def cloud(rows: int = 300, dim: int = 6) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(3))


def only(entries: list[dict], **where) -> dict:
    (found,) = [entry for entry in entries if all(entry[key] == value for key, value in where.items())]
    return found


def test_batches_are_without_repetition_nested_and_the_same_each_time() -> None:
    batches = random_batches(100, 30, batches=8)
    assert len(batches) == 8 and all(len(batch.unique()) == 30 for batch in batches)
    assert len(torch.cat(batches[:3]).unique()) == 90  # of one permutation
    assert not torch.equal(batches[0], batches[3])  # of another
    assert set(batches[0].tolist()) == set(torch.cat(random_batches(100, 15, batches=2)).tolist())
    assert all(torch.equal(a, b) for a, b in zip(batches, random_batches(100, 30, batches=8), strict=True))
    assert not torch.equal(batches[0], random_batches(100, 30, batches=8, seed=1)[0])


@pytest.mark.parametrize(("name", "estimator"), [("mom", lid_mom), ("mle", lid_mle)])
def test_errors_are_those_of_the_library_sample_by_sample(name, estimator) -> None:
    features = cloud()
    entry = only(lid_errors(features, (64, 128), (4, 8), batches=5), estimator=name, k=8, batch_rows=64)
    whole = estimator(features, k=8).double().log()
    drawn = random_batches(300, 64, batches=5)
    here = torch.stack([estimator(features[rows], k=8).double().log() for rows in drawn])
    errors = here - torch.stack([whole[rows] for rows in drawn])
    assert entry["bias"] == pytest.approx(float(errors.mean().exp()), rel=1e-5)
    assert entry["rms"] == pytest.approx(float(errors.square().mean().sqrt()), rel=1e-5)
    assert entry["batch_bias"] == pytest.approx(errors.mean(dim=1).exp().tolist(), rel=1e-5)
    assert entry["batch_rms"] == pytest.approx(errors.square().mean(dim=1).sqrt().tolist(), rel=1e-5)
    assert entry["mlid"] / entry["full_mlid"] == pytest.approx(entry["bias"], rel=1e-9)
    assert entry["rms"] >= abs(float(errors.mean()))


def test_the_error_falls_as_the_batch_grows_and_few_neighbours_scatter() -> None:
    entries = lid_errors(cloud(600, 20), (32, 128, 512), (4, 16))
    for name in ("mom", "mle"):
        for k in (4, 16):
            found = [only(entries, estimator=name, k=k, batch_rows=size) for size in (32, 128, 512)]
            bias, rms = ([entry[key] for entry in found] for key in ("bias", "rms"))
            assert bias[0] < bias[1] < bias[2] < 1 and rms[0] > rms[1] > rms[2]
        few, many = (only(entries, estimator=name, k=k, batch_rows=512) for k in (4, 16))
        assert few["rms"] > many["rms"]


def test_what_does_not_fit_is_left_out_and_nothing_left_is_refused() -> None:
    entries = lid_errors(cloud(100), (16, 64, 100, 400), (14, 15, 62, 63))
    sizes = {(entry["batch_rows"], entry["k"]) for entry in entries}
    assert sizes == {(16, 14), (64, 14), (64, 15), (64, 62)} and len(entries) == 8
    with pytest.raises(ValueError, match=r"100 rows hold no mini-batch of \[128\] for a k of \[4\]"):
        lid_errors(cloud(100), (128,), (4,))


def test_scale_changes_nothing_and_collapse_is_finite(recwarn) -> None:
    plain, scaled = (lid_errors(features, (64,), (8,)) for features in (cloud(), cloud() * 1e4))
    assert [entry["bias"] for entry in scaled] == pytest.approx([entry["bias"] for entry in plain], rel=1e-4)
    (mom, _) = lid_errors(torch.ones(100, 3), (64,), (8,))
    assert mom["bias"] == 1 and mom["rms"] == 0
    assert not recwarn.list


def test_tf32_is_measured_on_devices_that_have_it_alone() -> None:
    """On a CPU, whose products are never lowered, nothing is written that a claim could be tested on."""
    assert tf32_errors(cloud()) == []


def test_what_was_allowed_before_tf32_is_restored() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(KeyError), tf32_products():
        assert torch.backends.cuda.matmul.allow_tf32
        raise KeyError
    assert torch.backends.cuda.matmul.allow_tf32 == before


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0),
    reason="needs a GPU that has TF32",
)
def test_tf32_changes_lid_of_points_far_from_the_origin() -> None:
    features = cloud().cuda() + 10
    (entry,) = tf32_errors(features, (8,))
    assert entry["rms"] > 0.05 and entry["exact_mlid"] == pytest.approx(
        float(lid_mom(features, k=8).log().mean().exp())
    )
