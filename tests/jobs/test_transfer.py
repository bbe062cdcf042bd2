"""The job that tests a run's encoder on other data sets."""

import json
from importlib.metadata import version

import pytest
import torch
import yaml

from ldreg.config.execution import Execution
from ldreg.config.scale_file import Transfer
from ldreg.data.datasets import load
from ldreg.errors import LdregError
from ldreg.evaluation.transfer import transfer
from ldreg.jobs.transfer import classifier_settings, transfer_job
from ldreg.models.load import channels_of, load_encoder, trained_weights


def offer(folder, name, **content):
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"dataset": name, **content}))
    return path


def test_transfer_writes_a_file_for_each_set_and_says_which_cannot_be_had(trained, tmp_path, tiny_spec):
    spec, manifest, kinds = trained
    settings = tmp_path / "transfer.yaml"
    settings.write_text(yaml.safe_dump({"datasets": ["digits", "mnist"], "epochs": 2, "train_images": 200}))
    offers = [
        offer(tmp_path, "digits", manifest=str(manifest)),
        offer(tmp_path, "mnist", unavailable="no way"),
    ]
    transfer_job(spec, settings, manifest, offers, Execution(), tmp_path)
    assert kinds[-1] == "transfer"
    found = json.loads((spec.parent / "transfer/digits.json").read_text())
    encoder = load_encoder(trained_weights(spec), tiny_spec(), 1, torch.device("cpu"))
    images = load("digits", manifest.parents[1])
    ways = classifier_settings(Transfer.model_validate(yaml.safe_load(settings.read_text())))
    expected = transfer(encoder, 1, images, 8, ways, torch.device("cpu"))
    about = {key: found.pop(key) for key in ("corrupt_images", "device", "versions")}
    assert found == json.loads(json.dumps(expected))
    assert found["dataset_digest"] == images.digest
    assert about["corrupt_images"] == 0 and about["device"]
    assert about["versions"]["torch"] == version("torch")
    assert found["settings"]["epochs"] == 2 and found["rows"]["train"] <= 200
    told = json.loads((spec.parent / "transfer/mnist.json").read_text())
    assert told == {"dataset": "mnist", "unavailable": "no way"}


def test_an_encoder_that_was_not_trained_and_data_that_is_not_there_are_told(trained, tmp_path):
    spec, manifest, _ = trained
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
