"""A training that is interrupted goes on, and no other one takes its place."""

import json

import pytest
import torch

from ldreg.detection import fine_tuning, loop
from ldreg.detection.checkpoint import Checkpoint
from ldreg.detection.fine_tuning import train_and_evaluate
from ldreg.errors import LdregError

CPU = torch.device("cpu")


class Interrupted(Exception):
    pass


@pytest.fixture
def often(monkeypatch):
    """Checkpoints every two iterations, rows of the history every three."""
    monkeypatch.setattr(loop, "SAVED_EVERY", 2)
    monkeypatch.setattr(loop, "ROWS", 2)


@pytest.fixture
def run(tiny, composed, small_cnn, tmp_path, monkeypatch):
    """`run(belongs, ends_after)`: the result and the detector's weights at its end; by default with a
    checkpoint and with all randomness that there is."""
    settings = tiny(iterations=6, steps=(4,), precise_norm_batches=1, flip=0.5, min_sizes=(80, 96))
    kept = {}

    def watched(detector, *arguments):
        kept.update({key: value.clone() for key, value in detector.state_dict().items()})
        return predict(detector, *arguments)

    predict = fine_tuning.predict
    monkeypatch.setattr(fine_tuning, "predict", watched)

    def run(belongs=None, ends_after=None, on_row=lambda row: None, corrupt=None):
        kept.clear()
        checkpoint = Checkpoint(tmp_path / "detection.pt", belongs or {"spec": "a"})
        step = loop.DetectorTraining._step

        def stopping(self, *batch):
            if self.iteration == ends_after:
                raise Interrupted
            step(self, *batch)

        with monkeypatch.context() as patch:
            patch.setattr(loop.DetectorTraining, "_step", stopping)
            result = train_and_evaluate(
                small_cnn, "small_cnn", settings, *composed, CPU, 1, "float32", 0, on_row, corrupt, checkpoint
            )
        return result, dict(kept)

    return run


def same(first, second):
    (result, weights), (other, others) = first, second
    return result == other and all(torch.equal(weights[key], others[key]) for key in weights)


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(run, often, tmp_path, capsys):
    path = tmp_path / "detection.pt"
    whole = run()
    path.unlink()
    with pytest.raises(Interrupted):
        run(ends_after=5)
    torch.manual_seed(7)  # whatever state there is
    rows = []
    assert same(run(on_row=rows.append), whole)
    assert "detection.pt: goes on after iteration 4" in capsys.readouterr().err
    assert rows == whole[0]["history"] and [row["iteration"] for row in rows] == [3, 6]
    assert [each.name for each in tmp_path.iterdir()] == ["detection.pt"], "nothing half-written stays"


def test_a_failure_in_testing_does_not_cost_the_training(run, tmp_path, monkeypatch):
    whole = run()
    (tmp_path / "detection.pt").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(fine_tuning, "predict", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    assert same(run(ends_after=0), whole), "no iteration is made again"


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_ignored(run, often, tmp_path, capsys):
    path = tmp_path / "detection.pt"
    with pytest.raises(Interrupted):
        run({"spec": "a", "data": {"train": "1"}}, ends_after=3)
    with pytest.raises(Interrupted):
        run({"spec": "a", "data": {"train": "2"}}, ends_after=0)
    told = f"{path}: ignored, since its training had another data; training anew\n"
    assert capsys.readouterr().err == told
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(Interrupted):
        run({"spec": "a", "data": {"train": "1"}}, ends_after=0)
    assert capsys.readouterr().err == f"{path}: ignored, since it is damaged; training anew\n"


def test_a_full_disk_costs_a_warning(run, often, monkeypatch, capsys, tmp_path):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        result, _ = run()
    assert json.dumps(result) and not list(tmp_path.iterdir())
    assert "warning: " in capsys.readouterr().err


def test_divergence_stores_nothing_that_is_not_finite(tiny, composed, small_cnn, tmp_path):
    settings = tiny(learning_rate=1e6, warmup_iterations=0, iterations=10, steps=())
    with pytest.raises(LdregError, match="detection diverged"):
        train_and_evaluate(
            small_cnn,
            "small_cnn",
            settings,
            *composed,
            CPU,
            checkpoint=Checkpoint(tmp_path / "detection.pt", {}),
        )
    assert not list(tmp_path.iterdir())
