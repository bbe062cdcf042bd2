"""The job that times a run's training steps."""

import json

import torch

import ldreg.training.step_cost
from ldreg.cli import main
from ldreg.config.run_spec import write_spec


def test_the_job_needs_no_training_and_leaves_other_files_alone(
    tmp_path, data_root, tiny_spec, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(ldreg.training.step_cost, "BUDGET", 0.0)
    threads = torch.get_num_threads()
    write_spec(tmp_path / "spec.yaml", tiny_spec(regularizer="ldreg_l1"), "simclr-small_cnn/ldreg_l1/seed0")
    (tmp_path / "summary.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    manifest = str(data_root / "digits/dataset.json")
    arguments = ["step-cost", str(tmp_path / "spec.yaml"), "--data", manifest]
    assert main([*arguments, "--micro-batch", "16"]) == 0, capsys.readouterr()
    torch.set_num_threads(threads)
    found = json.loads((tmp_path / "step_cost.json").read_text())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name in before} == before
    assert {path.name for path in tmp_path.iterdir()} == {*before, "step_cost.json", "records"}
    how = {"world_size": 1, "threads": 1, "precision": "float32", "micro_batch": 16, "accumulation": "cached"}
    assert {key: found[key] for key in how} == how
    assert found["regularizer"] == "ldreg_l1" and found["device"] and found["corrupt_images"] == 0
    assert 0 < found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
