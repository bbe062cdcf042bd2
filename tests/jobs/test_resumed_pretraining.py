"""A pretraining that is killed goes on exactly: its files are those of one that was never interrupted."""

import random
import signal
from importlib import import_module

import pytest
from killed import contents, run_killed

from ldreg.catalogue.measurements import PRETRAINED
from ldreg.catalogue.methods import METHODS
from ldreg.config.execution import Execution
from ldreg.config.run_spec import write_spec
from ldreg.errors import LdregError
from ldreg.jobs.pretrain import pretrain_job
from ldreg.runtime.slices import UNFINISHED, Slot

for name in ("ldreg.training.pretrain", "torch._dynamo", "lightly.loss"):
    import_module(name)  # once here, and not in every child

RUN = "simclr-small_cnn/none/seed0"
KILLED = -signal.SIGKILL
ALWAYS = 1e-9  # minutes between two checkpoints: one after every step


@pytest.fixture(autouse=True)
def untracked(monkeypatch):
    class NoTracker:
        def __init__(self, *arguments):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            pass

        def log(self, metrics, step):
            pass

    monkeypatch.setattr("ldreg.jobs.pretrain.Tracker", NoTracker)


@pytest.fixture
def job(tmp_path, tiny_spec, data_root):
    """`job(name, minutes, **changes)`: a run of 2 epochs of 3 steps, and its job."""

    class Job:
        def __init__(self, name, minutes=ALWAYS, execution=None, **changes):
            self.results = tmp_path / name
            self.spec = self.results / "tiny/runs" / RUN / "spec.yaml"
            self.folder, self.checkpoints = self.spec.parent, self.results / "tiny/checkpoints"
            write_spec(self.spec, tiny_spec(**{"knn_every": 1, **changes}), RUN)
            self.execution = Execution(checkpoint_minutes=minutes, **(execution or {}))

        def __call__(self, budget=None, attempt=1):
            manifest = data_root / "digits/dataset.json"
            with (self.results / "terminal.txt").open("a") as terminal:
                pretrain_job(
                    self.spec, manifest, self.execution, self.results, terminal, Slot(budget, attempt)
                )

        def steps(self):
            return sorted(int(path.stem) for path in self.checkpoints.rglob("[0-9]*.json"))

    return Job


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_pretraining_ends_as_if_it_had_never_been(job, method, capfd):
    optimizer = {"byol": "lars", "vicreg": "sgd"}.get(method, "adamw")
    changes = {"method": method, "regularizer": "ldreg_l1", "optimizer": optimizer}
    whole = job("whole", **changes)
    assert run_killed(whole) == 0
    killed = job("killed", **changes)
    # In the middle of the first epoch, at its end before and after its row, and in the second epoch.
    for kill, saved in (("step 2", [1]), ("step 3", [3]), ("step 2", [4]), ("step 1", [4])):
        assert run_killed(killed, kill) == KILLED
        assert killed.steps() == saved
        assert set(contents(killed.folder)) == {"spec.yaml"}
    assert run_killed(killed) == 0
    assert "goes on after step 4" in capfd.readouterr().err
    assert contents(killed.folder) == contents(whole.folder)
    assert set(contents(whole.folder)) == {"spec.yaml", *PRETRAINED}
    assert not killed.checkpoints.exists(), "removed, since the outputs are complete"


def test_kills_at_random_moments_lose_nothing(job):
    """Also while files are written: a checkpoint counts as a whole or not at all."""
    changes = {"regularizer": "ldreg_l2", "execution": {"precision": "bf16", "micro_batch": 10}}
    whole, killed = job("whole", **changes), job("killed", **changes)
    assert run_killed(whole) == 0
    moments = random.Random(0)
    for _ in range(8):
        kill = moments.choice(["step 1", "step 2", "write 1", "write 2", "write 3"])
        assert run_killed(killed, kill) in (KILLED, 0)
    assert run_killed(killed) == 0
    assert contents(killed.folder) == contents(whole.folder)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_ends_a_job_with_a_checkpoint_after_the_step(job, capfd, name):
    whole, stopped = job("whole", minutes=10), job("stopped", minutes=10)
    assert run_killed(whole) == 0
    assert run_killed(stopped, f"step 4 {name}") == UNFINISHED
    assert stopped.steps() == [4]
    told = f"stopped after step 4 of 6 ({name}); the same command goes on from there"
    assert told in capfd.readouterr().out
    assert run_killed(stopped) == 0
    assert contents(stopped.folder) == contents(whole.folder)


def test_a_budget_ends_a_job_in_slices_that_add_up(job):
    """Each slice takes at least a step, however short its budget is."""
    whole, sliced = job("whole"), job("sliced", minutes=10)
    assert run_killed(whole) == 0
    saved = []
    while (status := run_killed(lambda: sliced(budget=1e-6))) == UNFINISHED:
        saved += sliced.steps()
    assert status == 0
    assert saved == [1, 2, 3, 4, 5, 6]
    assert contents(sliced.folder) == contents(whole.folder)


def test_a_diverged_run_is_not_retried(job):
    diverging = job("diverging", optimizer="sgd", base_lr=1e30)
    for _ in range(2):  # a new start tries again
        with pytest.raises(LdregError, match=r"^training diverged in epoch 1: "):
            diverging()
        message = r"^not tried again, because the attempt before failed: LdregError: training diverged"
        with pytest.raises(LdregError, match=message):
            diverging(attempt=2)
