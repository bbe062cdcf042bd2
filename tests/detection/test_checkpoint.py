"""A detection that is interrupted goes on exactly, and a failure in testing does not cost the training."""

import json

import pytest
import torch

from ldreg.detection import fine_tuning, loop
from ldreg.detection.fine_tuning import train_and_evaluate
from ldreg.errors import LdregError
from ldreg.runtime.checkpoint import Checkpoint
from ldreg.runtime.resumption import Resumption

CPU = torch.device("cpu")


class Interrupted(Exception):
    pass


@pytest.fixture
def often(monkeypatch):
    """Rows of the history every three iterations."""
    monkeypatch.setattr(loop, "ROWS", 2)


@pytest.fixture
def run(tiny, composed, small_cnn, tmp_path, monkeypatch):
    """`run(ends_after)`: the result and the detector's weights at its end, with all randomness that there is.

    A checkpoint is made after every iteration.
    """
    settings = tiny(iterations=6, steps=(4,), precise_norm_batches=1, flip=0.5, min_sizes=(80, 96))
    kept = {}

    def watched(detector, *arguments):
        kept.update({key: value.clone() for key, value in detector.state_dict().items()})
        return predict(detector, *arguments)

    predict = fine_tuning.predict
    monkeypatch.setattr(fine_tuning, "predict", watched)

    def run(ends_after=None, on_row=lambda row: None):
        kept.clear()
        checkpoint = Checkpoint(tmp_path, "detect", {"spec": "a"})
        checkpoint.load()
        step = loop.DetectorTraining._step

        def stopping(self, *batch):
            if self.iteration == ends_after:
                raise Interrupted
            step(self, *batch)

        with monkeypatch.context() as patch:
            patch.setattr(loop.DetectorTraining, "_step", stopping)
            about = (small_cnn, "small_cnn", settings, *composed, CPU, 1, "float32", 0, on_row, None)
            result = train_and_evaluate(*about, Resumption(checkpoint, CPU, 1e-9))
        checkpoint.remove()
        return result, dict(kept)

    return run


def same(first, second):
    (result, weights), (other, others) = first, second
    return result == other and all(torch.equal(weights[key], others[key]) for key in weights)


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(run, often, tmp_path, capsys):
    whole = run()
    with pytest.raises(Interrupted):
        run(ends_after=4)
    torch.manual_seed(7)  # whatever state there is
    rows = []
    assert same(run(on_row=rows.append), whole)
    assert "goes on after step 4" in capsys.readouterr().err
    assert rows == whole[0]["history"] and [row["iteration"] for row in rows] == [3, 6]
    assert not list(tmp_path.iterdir()), "removed, since the result is there"


def test_a_failure_in_testing_does_not_cost_the_training(run, monkeypatch):
    whole = run()
    with monkeypatch.context() as patch:
        patch.setattr(fine_tuning, "predict", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    assert same(run(ends_after=0), whole), "no iteration is made again"


def test_a_full_disk_costs_a_warning(run, often, monkeypatch, capsys, tmp_path):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ldreg.runtime.checkpoint.write_durably", full)
        result, _ = run()
    assert json.dumps(result) and not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "warning: " in capsys.readouterr().err


def test_divergence_stores_nothing_that_is_not_finite(tiny, composed, small_cnn, tmp_path):
    settings = tiny(learning_rate=1e6, warmup_iterations=0, iterations=10, steps=())
    resumption = Resumption(Checkpoint(tmp_path, "detect", {}), CPU)
    with pytest.raises(LdregError, match="detection diverged"):
        train_and_evaluate(small_cnn, "small_cnn", settings, *composed, CPU, resumption=resumption)
    assert not list(tmp_path.iterdir())
