"""The job that embeds a run's test representations."""

import csv

import numpy as np
import pytest
import torch

import ldreg.jobs.tsne
from ldreg.config.execution import Execution
from ldreg.config.run_spec import read_spec
from ldreg.data.datasets import Split
from ldreg.errors import LdregError
from ldreg.evaluation.features import represent
from ldreg.evaluation.tsne import CLASSES
from ldreg.jobs.tsne import tsne_job
from ldreg.models.load import load_encoder


def test_the_job_writes_one_line_per_test_image_and_the_same_bytes_again(
    untrained, data_root, digits
) -> None:
    threads = torch.get_num_threads()
    manifest = data_root / "digits/dataset.json"
    tsne_job(untrained / "spec.yaml", manifest, Execution(threads=2))
    content = (untrained / "tsne.csv").read_bytes()
    lines = list(csv.DictReader(content.decode().splitlines()))
    assert list(lines[0]) == ["x", "y", "label", "perplexity"]
    assert [int(line["label"]) for line in lines] == digits.test.labels.tolist()
    assert {line["perplexity"] for line in lines} == {"30"} and digits.classes == CLASSES
    assert np.isfinite([[float(line["x"]), float(line["y"])] for line in lines]).all()
    tsne_job(untrained / "spec.yaml", manifest, Execution())
    assert (untrained / "tsne.csv").read_bytes() == content
    torch.set_num_threads(threads)


def test_a_line_holds_the_place_and_the_label_of_one_image(untrained, data_root, digits, monkeypatch) -> None:
    few = torch.tensor([5, 40, 7, 300])  # out of order on purpose
    monkeypatch.setattr(ldreg.jobs.tsne, "first_classes", lambda labels: few)
    monkeypatch.setattr(ldreg.jobs.tsne, "embed", lambda features: features[:, :2].double().numpy())
    tsne_job(untrained / "spec.yaml", data_root / "digits/dataset.json", Execution())
    lines = list(csv.DictReader((untrained / "tsne.csv").read_text().splitlines()))
    assert [int(line["label"]) for line in lines] == digits.test.labels[few].tolist()
    _, spec = read_spec(untrained / "spec.yaml")
    encoder = load_encoder(untrained / "encoder.safetensors", spec, 1, torch.device("cpu"))
    for line, row in zip(lines, few.tolist(), strict=True):
        one = Split(digits.test.images[row : row + 1], digits.test.labels[row : row + 1])
        alone, _ = represent(encoder, one, spec.image_size, torch.device("cpu"))
        assert [float(line["x"]), float(line["y"])] == pytest.approx(alone[0, :2].tolist(), abs=2e-6)


def test_an_untrained_run_is_named(untrained, data_root) -> None:
    (untrained / "encoder.safetensors").unlink()
    with pytest.raises(
        LdregError, match=r"encoder\.safetensors: no such file; train it first: ldreg pretrain"
    ):
        tsne_job(untrained / "spec.yaml", data_root / "digits/dataset.json", Execution())
    assert not (untrained / "tsne.csv").exists()
