"""Linear evaluation, transfer and detection that are killed or stopped go on exactly."""

import json
import signal
from functools import partial

import pytest
import yaml
from killed import contents, run_killed

from ldreg.config.execution import Execution
from ldreg.jobs import transfer as transfer_module
from ldreg.jobs.detect import detect_job
from ldreg.jobs.linear_paper import linear_paper_job
from ldreg.jobs.transfer import transfer_job
from ldreg.runtime.slices import UNFINISHED, WHOLE, Slot

KILLED = -signal.SIGKILL
ALWAYS = Execution(checkpoint_minutes=1e-9)
SETTINGS = {
    "linear_paper": {"linear_paper": {"epochs": 2, "batch_size": 34, "base_lr": 20.0}},
    "transfer": {"datasets": ["digits"], "epochs": 2, "train_images": 60},
}
# For each job its output, and where it is killed: several times in a row, each time further on.
CASES = {
    "linear_paper": ("linear_paper.json", ["step 2", "step 3", "write 2", "step 1"]),
    "transfer": ("transfer/digits.json", ["step 2", "step 1", "write 1", "step 2"]),
    "detect": ("detection.json", ["step 2", "write 3", "step 1"]),
}


@pytest.fixture
def job(trained, composed, tmp_path, monkeypatch):
    """`job(name, slot)` does a job of the trained run."""
    spec, manifest, _ = trained
    monkeypatch.setattr("ldreg.jobs.linear_paper.Tracker", transfer_module.Tracker)  # `trained` replaced it
    for name, block in SETTINGS.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(block))
    offer = tmp_path / "digits.json"
    offer.write_text(json.dumps({"dataset": "digits", "manifest": str(manifest)}))

    def do(name, slot=WHOLE):
        with (tmp_path / "terminal.txt").open("a") as terminal:
            if name == "linear_paper":
                files = (spec, tmp_path / "linear_paper.yaml", manifest)
                linear_paper_job(*files, ALWAYS, tmp_path / "results", terminal, slot)
            elif name == "transfer":
                files = (spec, tmp_path / "transfer.yaml", manifest, [offer])
                transfer_job(*files, ALWAYS, tmp_path / "results", slot)
            else:
                files = (spec, composed[0], manifest, composed[1])
                detect_job(*files, ALWAYS, tmp_path / "results", terminal, slot)

    do.folder, do.checkpoints = spec.parent, tmp_path / "results/tiny/checkpoints"
    return do


@pytest.mark.parametrize("name", CASES)
def test_a_killed_measurement_ends_as_if_it_had_never_been(job, name, capfd):
    output, kills = CASES[name]
    job(name)
    whole = contents(job.folder)
    (job.folder / output).unlink()
    for kill in kills:
        assert run_killed(partial(job, name), kill) == KILLED
        assert not (job.folder / output).exists()
        assert [path.name for path in job.checkpoints.iterdir()] == [name]
    assert run_killed(partial(job, name)) == 0
    assert "goes on after step" in capfd.readouterr().err
    assert contents(job.folder) == whole
    assert not job.checkpoints.exists(), "removed, since the output is complete"


@pytest.mark.parametrize("name", CASES)
def test_a_measurement_goes_through_slices(job, name):
    output, _ = CASES[name]
    job(name)
    whole = contents(job.folder)
    (job.folder / output).unlink()
    for attempt in range(1, 20):
        slot = Slot(budget=1e-6, attempt=attempt)
        if (status := run_killed(partial(job, name, slot))) != UNFINISHED:
            break
    assert status == 0 and attempt > 3
    assert contents(job.folder) == whole
