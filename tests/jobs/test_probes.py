import hashlib
import json
import shutil
from functools import partial
from importlib.metadata import version

import pytest
import torch
import yaml

import ldreg.jobs.probes
from ldreg.cli import main
from ldreg.config.run_spec import write_spec
from ldreg.config.scale_file import Execution, Transfer
from ldreg.data.datasets import load
from ldreg.data.fetch import Absent
from ldreg.errors import LdregError
from ldreg.evaluation.transfer import transfer
from ldreg.jobs.probes import compose_job, detect_job, job_settings, transfer_job
from ldreg.jobs.runs import pretrain_job
from ldreg.models.load import channels_of, load_encoder, trained_weights
from ldreg.workflow.availability import AGAIN

RUN = "simclr-small_cnn/none/seed0"
TINY_DETECTION = {
    "iterations": 4,
    "steps": [3],
    "batch_size": 2,
    "warmup_iterations": 1,
    "precise_norm_batches": 1,
    "min_sizes": [64],
    "max_size": 64,
    "anchor_sizes": [28, 40],
    "anchors_per_image": 16,
    "pre_nms_train": 20,
    "pre_nms_test": 20,
    "proposals_train": 8,
    "proposals_test": 4,
    "regions_per_image": 8,
    "region_size": 7,
    "mask_channels": 8,
}


class NoTracker:
    def __init__(self, folder, kind, results, tags):
        self.kind = kind
        NoTracker.kinds.append(kind)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def log(self, metrics, step):
        pass


@pytest.fixture
def run(tmp_path, tiny_spec, data_root, monkeypatch):
    """A trained run's spec.yaml, and the manifest of its data set."""
    NoTracker.kinds = []
    monkeypatch.setattr(ldreg.jobs.runs, "Tracker", NoTracker)
    monkeypatch.setattr(ldreg.jobs.probes, "Tracker", NoTracker)
    spec = tmp_path / "results/tiny/runs" / RUN / "spec.yaml"
    write_spec(spec, tiny_spec(), RUN)
    manifest = data_root / "digits/dataset.json"
    with (tmp_path / "terminal.txt").open("w") as terminal:
        pretrain_job(spec, manifest, Execution(), tmp_path / "results", terminal)
    return spec, manifest


def offer(folder, name, **content):
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"dataset": name, **content}))
    return path


def test_transfer_writes_a_file_for_each_set_and_says_which_cannot_be_had(run, tmp_path, tiny_spec):
    spec, manifest = run
    settings = tmp_path / "transfer.yaml"
    settings.write_text(yaml.safe_dump({"datasets": ["digits", "mnist"], "epochs": 2, "train_images": 200}))
    offers = [
        offer(tmp_path, "digits", manifest=str(manifest)),
        offer(tmp_path, "mnist", unavailable="no way"),
    ]
    transfer_job(spec, settings, manifest, offers, Execution(), tmp_path)
    assert NoTracker.kinds[-1] == "transfer"
    found = json.loads((spec.parent / "transfer/digits.json").read_text())
    encoder = load_encoder(trained_weights(spec), tiny_spec(), 1, torch.device("cpu"))
    images = load("digits", manifest.parents[1])
    ways = job_settings(Transfer.model_validate(yaml.safe_load(settings.read_text())))
    expected = transfer(encoder, 1, images, 8, ways, torch.device("cpu"))
    about = {key: found.pop(key) for key in ("corrupt_images", "device", "versions")}
    assert found == json.loads(json.dumps(expected))
    assert found["dataset_digest"] == images.digest
    assert about["corrupt_images"] == 0 and about["device"]
    assert about["versions"]["torch"] == version("torch")
    assert found["settings"]["epochs"] == 2 and found["rows"]["train"] <= 200
    told = json.loads((spec.parent / "transfer/mnist.json").read_text())
    assert told == {"dataset": "mnist", "unavailable": "no way"}


def test_a_set_that_cannot_be_had_is_no_failure_where_it_is_only_offered(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    output = ["--output", "data/food101/dataset.json"]

    def refuse(name, root, kind=Absent):
        raise kind(f"{name}: not to be had")

    monkeypatch.setattr("ldreg.data.datasets.prepare", refuse)
    assert main(["data", "food101", *output]) == 2
    assert main(["data", "food101", *output, "--offer", "offer.json"]) == 0
    assert json.loads((tmp_path / "offer.json").read_text()) == {
        "dataset": "food101",
        "unavailable": f"food101: not to be had; {AGAIN}",
    }
    assert "food101 is left out: food101: not to be had" in capsys.readouterr().err
    # What is there and damaged is a mistake: leaving it out would hide it.
    (tmp_path / "offer.json").unlink()
    monkeypatch.setattr("ldreg.data.datasets.prepare", partial(refuse, kind=LdregError))
    assert main(["data", "food101", *output, "--offer", "offer.json"]) == 2
    assert not (tmp_path / "offer.json").exists()


@pytest.fixture
def composed(run, tmp_path):
    """The settings of a tiny detection, and a composed set for it."""
    settings, composed = tmp_path / "detection.yaml", tmp_path / "composed/composed.json"
    content = {"dataset": "composed_digits", "composed": {"train_images": 8, "val_images": 4}}
    settings.write_text(yaml.safe_dump({**content, "settings": TINY_DETECTION}))
    compose_job(settings, run[1], composed)
    return settings, composed


def test_detection_on_a_composed_set_end_to_end(run, composed, tmp_path):
    (spec, manifest), (settings, data) = run, composed
    with (tmp_path / "terminal.txt").open("w") as terminal:
        detect_job(spec, settings, manifest, data, Execution(), tmp_path, terminal)
    assert NoTracker.kinds[-1] == "detect"
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
    assert not (spec.parent / "detection.pt").exists()


def test_a_detection_that_fails_in_testing_keeps_its_training_for_these_data_alone(
    run, composed, tmp_path, monkeypatch, capsys
):
    (spec, manifest), (settings, data) = run, composed

    def detect():
        with (tmp_path / "terminal.txt").open("w") as terminal:
            detect_job(spec, settings, manifest, data, Execution(), tmp_path, terminal)

    with monkeypatch.context() as patch:
        patch.setattr("ldreg.detection.fine_tuning.predict", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            detect()
    kept = (spec.parent / "detection.pt").read_bytes()
    assert kept and not (spec.parent / "detection.json").exists()
    detect()
    assert "detection.pt: goes on after iteration 4" in capsys.readouterr().err
    (spec.parent / "detection.pt").write_bytes(kept)
    content = yaml.safe_load(settings.read_text())
    settings.write_text(yaml.safe_dump({**content, "composed": {**content["composed"], "seed": 1}}))
    compose_job(settings, manifest, data)
    detect()
    assert "detection.pt: ignored, since its training had another data" in capsys.readouterr().err
    assert not (spec.parent / "detection.pt").exists()


def test_another_file_than_the_data_sets_own_is_refused(run, composed, tmp_path):
    (spec, manifest), (settings, data) = run, composed
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


def test_coco_is_checked_in_all_its_parts(composed, tmp_path, capsys):
    """A composed set under COCO's names, of which one part after the other is missing."""
    _, data = composed
    coco, output = tmp_path / "coco", tmp_path / "coco.json"
    for split in ("train", "val"):
        shutil.copytree(data.parent / split, coco / f"{split}2017")
        (coco / "annotations").mkdir(exist_ok=True)
        shutil.copy(
            data.parent / f"annotations/instances_{split}.json",
            coco / f"annotations/instances_{split}2017.json",
        )
    arguments = ["coco", str(coco), "--output", str(output)]
    assert main(arguments) == 0
    found = json.loads(output.read_text())
    assert (found["train_images"], found["val_images"], found["categories"]) == (8, 4, 10)
    output.unlink()
    for part in (
        "train2017",
        "val2017",
        "annotations/instances_train2017.json",
        "annotations/instances_val2017.json",
    ):
        (coco / part).rename(tmp_path / "aside")
        assert main(arguments) == 2
        assert f"error: {coco / part}: no such f" in capsys.readouterr().err
        (tmp_path / "aside").rename(coco / part)
    image = next((coco / "val2017").iterdir())
    image.unlink()
    assert main(arguments) == 2
    assert f"error: {image}: no such file, but " in capsys.readouterr().err
    assert not output.exists() and len(list(coco.rglob("*.json"))) == 2


def test_an_encoder_that_was_not_trained_and_data_that_is_not_there_are_told(run, tmp_path):
    spec, manifest = run
    (spec.parent / "encoder.safetensors").unlink()
    settings = tmp_path / "transfer.yaml"
    settings.write_text("datasets: [digits]\n")
    with pytest.raises(
        LdregError, match=r"encoder\.safetensors: no such file; train it first: ldreg pretrain"
    ):
        transfer_job(spec, settings, manifest, [], Execution(), tmp_path)
    with pytest.raises(LdregError, match=r"nowhere/dataset.json: not found or damaged; prepare it first"):
        channels_of(tmp_path / "nowhere/dataset.json")
    settings.write_text("datasets: [svhn]\n")
    with pytest.raises(LdregError, match=r"transfer\.yaml: datasets\[0\]: 'svhn' is not allowed"):
        transfer_job(spec, settings, manifest, [], Execution(), tmp_path)
