"""Two gloo ranks train and test one detector."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ldreg.detection import loader
from ldreg.detection.loader import training_batches


def test_two_ranks_train_one_detector_and_test_every_image_once(composed_folder, composed):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = Path(__file__).with_name("two_ranks.py")
    done = subprocess.run([*torchrun, script, composed_folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((composed_folder / f"rank{number}.json").read_text()) for number in (0, 1))
    assert first["weights"] == second["weights"]
    assert first["predictions"] == second["predictions"]
    assert {each["image_id"] for each in first["predictions"]} == set(composed[1].image_ids)
    keys = [(each["image_id"], each["score"], *each["bbox"]) for each in first["predictions"]]
    assert len(keys) == len(set(keys))
    assert first["result"]["box"] == second["result"]["box"]
    assert (first["rows"], second["rows"]) == (2, 0)
    assert done.stderr.count(": goes on after step 1") == 1
    for each in (first, second):  # an interruption changes nothing on either
        assert [row["iteration"] for row in each["resumed"]["history"]] == [1, 2]
        for row, whole in zip(each["resumed"]["history"], each["result"]["history"], strict=True):
            assert row == pytest.approx(whole, rel=1e-5)


def test_ranks_share_the_images_of_a_pass(composed, monkeypatch):
    train, _ = composed
    monkeypatch.setattr(loader, "world_size", lambda: 2)
    seen = []
    for number in (0, 1):
        monkeypatch.setattr(loader, "rank", lambda number=number: number)
        batches = training_batches(train, 4, 0.0, seed=3)
        seen += [task.image_id for _ in range(15) for task in next(batches)]
    assert sorted(seen) == train.trainable()
