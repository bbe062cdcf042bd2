"""The job that evaluates a run by the paper's protocol, and the settings that it takes from a scale."""

import io
import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import yaml

from ldreg.cli.parser import main
from ldreg.config.execution import Execution
from ldreg.config.scale_file import Evaluation
from ldreg.data.datasets import load
from ldreg.errors import LdregError
from ldreg.evaluation.classifier import ClassifierSettings
from ldreg.evaluation.linear_paper import linear_paper
from ldreg.jobs.linear_paper import classifier_settings, linear_paper_job
from ldreg.models.load import load_encoder, trained_weights

SETTINGS = {"test_view": "authors", "linear_paper": {"epochs": 2, "batch_size": 64, "base_lr": 20.0}}


@pytest.fixture
def run(untrained, data_root, tmp_path, monkeypatch):
    """Spec, settings and data of a run, whose job is not shown in MLflow."""

    monkeypatch.setattr(
        "ldreg.jobs.linear_paper.Tracker", lambda *about: nullcontext(SimpleNamespace(log=print))
    )
    settings = tmp_path / "linear_paper.yaml"
    settings.write_text(yaml.safe_dump(SETTINGS))
    return untrained / "spec.yaml", settings, data_root / "digits/dataset.json"


def test_the_job_writes_what_the_evaluation_finds_and_tells_its_epochs(run, tmp_path, tiny_spec):
    terminal = io.StringIO()
    linear_paper_job(*run, Execution(), tmp_path, terminal)
    found = json.loads((run[0].parent / "linear_paper.json").read_text())
    spec = tiny_spec()
    settings = classifier_settings(Evaluation.model_validate(SETTINGS), spec.backbone)
    encoder = load_encoder(trained_weights(run[0]), spec, 1, torch.device("cpu"))
    images = load("digits", run[2].parents[1], spec.train_images)
    expected = linear_paper(encoder, images, spec.image_size, settings, spec.seed, torch.device("cpu"))
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert found["spec_hash"] == spec.hash and found["world_size"] == 1 and found["wall_seconds"] > 0
    assert "2/2 epochs" in terminal.getvalue()


def test_a_scale_without_settings_has_the_papers():
    ours = classifier_settings(Evaluation(test_view="authors"), "resnet50")
    assert ours == ClassifierSettings()
    assert classifier_settings(Evaluation(), "vit_b16").norm_eps == 1e-6


def test_a_mistake_in_the_settings_is_told(run, tmp_path):
    run[1].write_text("linear_paper: {crop_scale: [1.0, 0.5]}\n")
    with pytest.raises(LdregError, match=r"linear_paper\.yaml: .*crop_scale: \[1\.0, 0\.5\] is not allowed"):
        linear_paper_job(*run, Execution(), tmp_path, io.StringIO())


def test_the_command_takes_settings_and_data_and_no_precision(run, capsys):
    with pytest.raises(SystemExit):
        main(["linear-paper", str(run[0]), "--settings", "s", "--data", "d", "--precision", "bf16"])
    assert "--precision" in capsys.readouterr().err
