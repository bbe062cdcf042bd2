import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from ldreg.evaluation import knn
from ldreg.evaluation.knn import count_top_hits, holdout_split, knn_accuracy

CLASSES = 7


@pytest.fixture
def split():
    """Overlapping Gaussian classes: (train_x, train_y, test_x, test_y)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(210) % CLASSES
    centers = torch.randn(CLASSES, 12, generator=generator)
    x = centers[labels] + 1.2 * torch.randn(210, 12, generator=generator)
    return x[:150], labels[:150], x[150:], labels[150:]


def plain_votes(train_x, train_y, query, k, temperature):
    cosines = []
    for row in train_x.tolist():
        dot = sum(a * b for a, b in zip(row, query.tolist(), strict=True))
        cosines.append(dot / math.hypot(*row) / math.hypot(*query.tolist()))
    votes = [0.0] * CLASSES
    for i in sorted(range(len(cosines)), key=lambda i: -cosines[i])[:k]:
        votes[train_y[i]] += math.exp(cosines[i] / temperature)
    return votes


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (20, 0.1), (20, 0.07), (150, 1.0)])
def test_equals_a_plain_loop(split, k, temperature):
    train_x, train_y, test_x, test_y = split
    hits = {1: 0, 5: 0}
    for query, label in zip(test_x, test_y.tolist(), strict=True):
        votes = plain_votes(train_x, train_y, query, k, temperature)
        ranked = sorted((c for c in range(CLASSES) if votes[c] > 0), key=lambda c: -votes[c])
        for top in hits:
            hits[top] += label in ranked[:top]
    result = knn_accuracy(*split, CLASSES, k=k, temperature=temperature)
    assert result == pytest.approx({"top1": 100 * hits[1] / 60, "top5": 100 * hits[5] / 60})


def test_equals_scikit_learn(split):
    train_x, train_y, test_x, test_y = (tensor.numpy() for tensor in split)
    # scikit-learn's cosine distance is 1 - similarity.
    classifier = KNeighborsClassifier(20, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.1))
    expected = 100 * classifier.fit(train_x, train_y).score(test_x, test_y)
    assert 30 < expected < 95  # a case that can tell right from wrong
    assert knn_accuracy(*split, CLASSES)["top1"] == pytest.approx(expected)


def test_chunks_do_not_change_the_result(split, monkeypatch):
    whole = knn_accuracy(*split, CLASSES)
    monkeypatch.setattr(knn, "SIMILARITIES_PER_CHUNK", 7 * 150)
    assert knn_accuracy(*split, CLASSES) == whole


def test_low_temperature_is_the_nearest_neighbor_and_does_not_overflow(split):
    assert (
        knn_accuracy(*split, CLASSES, temperature=1e-3)["top1"] == knn_accuracy(*split, CLASSES, k=1)["top1"]
    )


def test_no_top5_without_more_than_five_classes():
    x = torch.eye(5)
    assert knn_accuracy(x, torch.arange(5), x, torch.arange(5), classes=5, k=1) == {
        "top1": 100.0,
        "top5": None,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 151}, "k must lie between 1 and the 150 training rows, got 151"),
        ({"k": 0}, "got 0"),
        ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
    ],
)
def test_bad_settings_are_named(split, change, message):
    with pytest.raises(ValueError, match=message):
        knn_accuracy(*split, CLASSES, **change)


def test_bad_features_are_refused(split):
    train_x, train_y, test_x, test_y = split
    with pytest.raises(ValueError, match="no row to classify"):
        knn_accuracy(train_x, train_y, test_x[:0], test_y[:0], CLASSES)
    test_x[3, 2] = torch.nan
    with pytest.raises(ValueError, match="must be finite"):
        knn_accuracy(train_x, train_y, test_x, test_y, CLASSES)


def test_top_hits_by_hand():
    scores = torch.tensor(
        [
            [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],  # label 4: fifth
            [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],  # label 5: sixth
            [0.1, 0.8, 0.7, 0.6, 0.5, 0.4, 0.9],  # label 6: first
            [0.9, 0.8] + 5 * [-torch.inf],  # label 2: not predicted
            7 * [torch.nan],  # label 0: nothing is predicted
        ]
    )
    labels = torch.tensor([4, 5, 6, 2, 0])
    assert count_top_hits(scores, labels, 1).tolist() == 1
    assert count_top_hits(scores, labels, 5).tolist() == 2
    two_heads = torch.stack([scores, scores.flip(1)])
    # Flipped: label 4 third, label 5 second, label 6 seventh, label 2 not predicted.
    assert count_top_hits(two_heads, labels, 5).tolist() == [2, 2]


def test_holdout_is_stratified_disjoint_and_complete():
    labels = torch.tensor([0] * 100 + [1] * 50 + [3] * 10 + [4] * 2 + [5])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))]
    fit, holdout = holdout_split(labels, 0.2)
    assert torch.equal(torch.cat([fit, holdout]).sort().values, torch.arange(len(labels)))
    # Class 4 gives one of its two rows, class 5 keeps its only row in the fit, class 2 has none.
    assert torch.bincount(labels[holdout], minlength=6).tolist() == [20, 10, 0, 2, 1, 0]
    assert torch.equal(fit, fit.sort().values) and torch.equal(holdout, holdout.sort().values)


def test_holdout_depends_on_its_seed_alone():
    labels = torch.arange(200) % 10
    torch.manual_seed(1)
    first = holdout_split(labels, 0.1)[1]
    torch.manual_seed(2)
    assert torch.equal(holdout_split(labels, 0.1)[1], first)
    assert not torch.equal(holdout_split(labels, 0.1, seed=1)[1], first)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_bad_fraction_is_named(fraction):
    with pytest.raises(ValueError, match="between 0 and 1, got"):
        holdout_split(torch.arange(20) % 2, fraction)


def test_empty_holdout_is_refused():
    with pytest.raises(ValueError, match="no class of these 4 rows"):
        holdout_split(torch.arange(4), 0.5)
