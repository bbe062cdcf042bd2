"""t-SNE of the first classes: the same each time, true to clusters, and the job that writes it."""

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ldreg.config.run_spec import read_spec, write_spec
from ldreg.config.scale_file import Execution
from ldreg.data.datasets import Split
from ldreg.errors import LdregError
from ldreg.evaluation import tsne
from ldreg.evaluation.features import represent
from ldreg.evaluation.tsne import CLASSES, embed, first_classes, perplexity, tsne_job
from ldreg.models.load import load_encoder
from ldreg.models.networks import build_encoder


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


@pytest.fixture
def run(tmp_path, tiny_spec):
    """A run folder with an untrained encoder."""
    spec = tiny_spec()
    write_spec(tmp_path / "run/spec.yaml", spec, "simclr-small_cnn/none/seed0")
    torch.manual_seed(0)
    encoder, _ = build_encoder(spec, 1)
    save_file(encoder.state_dict(), tmp_path / "run/encoder.safetensors")
    return tmp_path / "run"


def test_the_job_writes_one_line_per_test_image_and_the_same_bytes_again(run, data_root, digits) -> None:
    threads = torch.get_num_threads()
    manifest = data_root / "digits/dataset.json"
    tsne_job(run / "spec.yaml", manifest, Execution(threads=2))
    content = (run / "tsne.csv").read_bytes()
    lines = list(csv.DictReader(content.decode().splitlines()))
    assert list(lines[0]) == ["x", "y", "label", "perplexity"]
    assert [int(line["label"]) for line in lines] == digits.test.labels.tolist()
    assert {line["perplexity"] for line in lines} == {"30"} and digits.classes == CLASSES
    assert np.isfinite([[float(line["x"]), float(line["y"])] for line in lines]).all()
    tsne_job(run / "spec.yaml", manifest, Execution())
    assert (run / "tsne.csv").read_bytes() == content
    torch.set_num_threads(threads)


def test_a_line_holds_the_place_and_the_label_of_one_image(run, data_root, digits, monkeypatch) -> None:
    few = torch.tensor([5, 40, 7, 300])  # out of order on purpose
    monkeypatch.setattr(tsne, "first_classes", lambda labels: few)
    monkeypatch.setattr(tsne, "embed", lambda features: features[:, :2].double().numpy())
    tsne_job(run / "spec.yaml", data_root / "digits/dataset.json", Execution())
    lines = list(csv.DictReader((run / "tsne.csv").read_text().splitlines()))
    assert [int(line["label"]) for line in lines] == digits.test.labels[few].tolist()
    _, spec = read_spec(run / "spec.yaml")
    encoder = load_encoder(run / "encoder.safetensors", spec, 1, torch.device("cpu"))
    for line, row in zip(lines, few.tolist(), strict=True):
        one = Split(digits.test.images[row : row + 1], digits.test.labels[row : row + 1])
        alone, _ = represent(encoder, one, spec.image_size, torch.device("cpu"))
        assert [float(line["x"]), float(line["y"])] == pytest.approx(alone[0, :2].tolist(), abs=2e-6)


def test_an_untrained_run_is_named(run, data_root) -> None:
    (run / "encoder.safetensors").unlink()
    with pytest.raises(
        LdregError, match=r"encoder\.safetensors: no such file; train it first: ldreg pretrain"
    ):
        tsne_job(run / "spec.yaml", data_root / "digits/dataset.json", Execution())
    assert not (run / "tsne.csv").exists()
