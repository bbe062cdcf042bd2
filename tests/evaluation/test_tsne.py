"""t-SNE of the first classes: the same each time, and true to clusters."""

import numpy as np
import pytest
import torch

from ldreg.evaluation.tsne import embed, first_classes, perplexity


def clusters(rows: int = 30) -> torch.Tensor:
    """Two far clusters in 8 dimensions."""
    torch.manual_seed(0)
    return torch.cat([torch.randn(rows, 8), torch.randn(rows, 8) + 30])


def test_it_is_the_same_each_time_and_leaves_torchs_random_state(recwarn) -> None:
    features = clusters()
    state = torch.get_rng_state()
    first = embed(features)
    np.random.seed(3)
    assert np.array_equal(first, embed(features)) and first.shape == (60, 2)
    assert torch.equal(torch.get_rng_state(), state) and not recwarn.list


def test_far_clusters_stay_apart() -> None:
    points = embed(clusters())
    labels = np.repeat([0, 1], 30)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()
    centres = np.stack([points[labels == label].mean(axis=0) for label in (0, 1)])
    spread = max(points[labels == label].std(axis=0).max() for label in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 3 * spread


def test_scale_and_offset_change_little() -> None:
    features = clusters().double()
    points, moved = embed(features), embed(features * 4 + 64)
    assert np.isfinite(moved).all() and np.allclose(points, moved, atol=0.05 * np.abs(points).max())


def test_collapsed_representations_give_finite_places(recwarn) -> None:
    equal = embed(torch.full((20, 8), 0.1))
    np.random.seed(4)  # the global state must not matter where places begin at random
    assert np.isfinite(equal).all() and np.array_equal(equal, embed(torch.full((20, 8), 0.1)))
    assert not np.array_equal(equal, embed(torch.full((20, 8), 0.1), seed=1))
    nearly = clusters() * 1e-40
    assert np.isfinite(embed(nearly)).all() and np.ptp(embed(nearly)) > 1
    assert not recwarn.list


def test_few_rows_lower_the_perplexity() -> None:
    assert perplexity(2000) == 30 and perplexity(31) == 10
    assert embed(torch.randn(4, 3)).shape == (4, 2)
    with pytest.raises(ValueError, match="at least 4 rows, got 3"):
        embed(torch.randn(3, 3))


def test_the_first_images_of_the_first_classes_in_their_order() -> None:
    labels = torch.tensor([11, 3, 0, 3, 3, 10, 0, 9])
    assert first_classes(labels).tolist() == [1, 2, 3, 4, 6, 7]
    assert first_classes(labels, per_class=1).tolist() == [1, 2, 7]
    assert len(first_classes(torch.arange(20).repeat(500))) == 2000
