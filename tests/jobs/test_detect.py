"""The job that fine-tunes a detector."""

import hashlib
import json

import pytest
import torch
import yaml

from ldreg.config.execution import Execution
from ldreg.errors import LdregError
from ldreg.jobs.compose import compose_job
from ldreg.jobs.detect import detect_job


def test_detection_on_a_composed_set_end_to_end(trained, composed, tmp_path):
    (spec, manifest, kinds), (settings, data) = trained, composed
    with (tmp_path / "terminal.txt").open("w") as terminal:
        detect_job(spec, settings, manifest, data, Execution(), tmp_path, terminal)
    assert kinds[-1] == "detect"
    found = json.loads((spec.parent / "detection.json").read_text())
    assert (found["dataset"], found["train_images"], found["val_images"]) == ("composed_digits", 8, 4)
    assert found["box"].keys() == found["mask"].keys() == {"ap", "ap50", "ap75"}
    assert found["history"][-1]["iteration"] == 4
    assert "detection 4/4" in (tmp_path / "terminal.txt").read_text()
    # On what it ran, and on which data.
    assert (found["world_size"], found["precision"], found["corrupt_images"]) == (1, "float32", 0)
    assert found["device"] and torch.__version__.startswith(found["versions"]["torch"])
    train = hashlib.sha256((data.parent / "annotations/instances_train.json").read_bytes())
    assert found["annotations"]["train"] == train.hexdigest()[:16] and len(found["annotations"]) == 3
    assert not (tmp_path / "tiny/checkpoints").exists()


def test_a_detection_that_fails_in_testing_keeps_its_training_for_these_data_alone(
    trained, composed, tmp_path, monkeypatch, capsys
):
    (spec, manifest, _), (settings, data) = trained, composed

    def detect():
        with (tmp_path / "terminal.txt").open("w") as terminal:
            detect_job(spec, settings, manifest, data, Execution(), tmp_path, terminal)

    with monkeypatch.context() as patch:
        patch.setattr("ldreg.detection.fine_tuning.predict", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            detect()
    (checkpoint,) = (tmp_path / "tiny/checkpoints/detect").iterdir()
    assert (checkpoint / "4.json").exists() and not (spec.parent / "detection.json").exists()
    content = yaml.safe_load(settings.read_text())
    settings.write_text(yaml.safe_dump({**content, "composed": {**content["composed"], "seed": 1}}))
    compose_job(settings, manifest, data)
    detect()
    assert "goes on" not in capsys.readouterr().err
    settings.write_text(yaml.safe_dump(content))
    compose_job(settings, manifest, data)
    detect()
    assert f"{checkpoint}: goes on after step 4" in capsys.readouterr().err
    assert not (tmp_path / "tiny/checkpoints").exists()


def test_another_file_than_the_data_sets_own_is_refused(trained, composed, tmp_path):
    (spec, manifest, _), (settings, data) = trained, composed
    for path, message in (
        (data.parent / "nope.json", "--data: .*nope.json is not allowed; .* it should be its composed.json"),
        (tmp_path / "composed.json", "composed.json: no such file; compose it first: ldreg compose"),
    ):
        with pytest.raises(LdregError, match=message):
            detect_job(spec, settings, manifest, path, Execution(), tmp_path, None)
    settings.write_text("dataset: coco\n")
    with pytest.raises(LdregError, match=r"with dataset coco in .* should be its instances_train2017.json"):
        detect_job(spec, settings, manifest, data, Execution(), tmp_path, None)
    with pytest.raises(LdregError, match=r"coco/train2017: no such folder; COCO is not fetched"):
        path = tmp_path / "coco/annotations/instances_train2017.json"
        detect_job(spec, settings, manifest, path, Execution(), tmp_path, None)
