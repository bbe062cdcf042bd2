"""The job that compares the LID of mini-batches with the whole split's."""

import json

import pytest
import torch

from ldreg.config.execution import Execution
from ldreg.config.run_spec import write_spec
from ldreg.errors import LdregError
from ldreg.evaluation.lid_error import BATCHES
from ldreg.jobs.lid_error import lid_error_job


def test_the_job_measures_the_training_split_and_writes_the_same_again(untrained, data_root) -> None:
    threads = torch.get_num_threads()
    manifest = data_root / "digits/dataset.json"
    lid_error_job(untrained / "spec.yaml", manifest, Execution())
    text = (untrained / "lid_error.json").read_text()
    content = json.loads(text)
    assert (content["split"], content["rows"], content["batches"]) == ("train", 100, BATCHES)
    assert {entry["batch_rows"] for entry in content["entries"]} == {32, 64}
    assert {entry["k"] for entry in content["entries"]} == {4, 8, 16, 32}
    assert all(len(entry["batch_rms"]) == BATCHES for entry in content["entries"])
    lid_error_job(untrained / "spec.yaml", manifest, Execution())
    assert (untrained / "lid_error.json").read_text() == text
    torch.set_num_threads(threads)


def test_mistakes_are_named_and_leave_nothing_behind(untrained, data_root, tiny_spec) -> None:
    manifest = data_root / "digits/dataset.json"
    write_spec(untrained / "spec.yaml", tiny_spec(train_images=32), "simclr-small_cnn/none/seed0")
    with pytest.raises(LdregError, match="32 training images; the smallest mini-batch here has 32"):
        lid_error_job(untrained / "spec.yaml", manifest, Execution())
    (untrained / "encoder.safetensors").unlink()
    with pytest.raises(
        LdregError, match=r"encoder\.safetensors: no such file; train it first: ldreg pretrain"
    ):
        lid_error_job(untrained / "spec.yaml", manifest, Execution())
    assert not (untrained / "lid_error.json").exists()
