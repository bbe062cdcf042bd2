"""Two gloo ranks on this machine's CPU against one process, through `pretrain` itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ldreg.catalogue.measurements import PRETRAINED
from ldreg.catalogue.methods import METHODS
from ldreg.config.run_spec import write_spec
from ldreg.runtime.distributed import gather_rows, process_group, rank, replicate, world_size

RUN = "simclr-small_cnn/ldreg_l1-beta0.1-k8/seed0"
CASES = [(method, name) for method in METHODS for name in ("none", "ldreg_l1", "cov_var")]
CASES += [("simclr", "ldreg_l2"), ("simclr", "min_lid"), ("byol", "target_lid"), ("byol", "ldreg_l2")]
RESUMED = "simclr-ldreg_l1"  # the case whose training is interrupted
TIGHT = {"rtol": 1e-6, "atol": 1e-12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_spec, data_root):
    """A folder with what `two_ranks.py` made in it."""
    folder = tmp_path_factory.mktemp("two_ranks")
    for method, name in CASES:
        # Four steps, of which the regulariser joins in the last two.
        changes = {"train_images": 64, "optimizer": "sgd", "base_lr": 0.01}
        changes |= {} if name == "none" else {"regularizer": name, "beta": 0.5, "regularizer_start": 0.5}
        changes |= {"target": 3.0} if name == "target_lid" else {}
        write_spec(folder / f"equivalence/{method}-{name}.yaml", tiny_spec(method=method, **changes), RUN)
    for name in ("job", "timed"):
        write_spec(folder / name / "spec.yaml", tiny_spec(regularizer="ldreg_l1"), RUN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = Path(__file__).with_name("two_ranks.py")
    command = [*torchrun, script, folder, data_root / "digits/dataset.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-9000:]
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """Results of one process and of the two ranks, with their whole share at once and in micro-batches."""
    names = ("one0", "one1", "rank0", "rank1", "cached0", "cached1")
    found = {name: torch.load(folder / f"equivalence/{name}.pt") for name in names}
    return {"one": found.pop("one0") | found.pop("one1"), **found}


@pytest.mark.parametrize("way", ["rank", "cached"])
@pytest.mark.parametrize(("method", "regularizer"), CASES)
def test_two_ranks_compute_what_one_process_does(trained, method, regularizer, way):
    one = trained["one"][f"{method}-{regularizer}"]
    terms = [row["regularizer"] for row in one["history"]]
    assert [term != 0 for term in terms] == [False, regularizer != "none"]
    assert all(gradient.abs().max() > 1e-9 for gradient in one["gradients"].values())
    for rank_number in (0, 1):
        found = trained[f"{way}{rank_number}"][f"{method}-{regularizer}"]
        for row, expected in zip(found["history"], one["history"], strict=True):
            assert row == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(found["gradients"], one["gradients"], **TIGHT)
        torch.testing.assert_close(found["weights"], one["weights"], **TIGHT)


def test_two_ranks_that_were_interrupted_go_on_exactly(folder, trained):
    for number in (0, 1):
        found = torch.load(folder / f"resumed{number}.pt")["two-two"]
        whole = trained[f"rank{number}"][RESUMED]
        assert found["history"] == whole["history"]
        for name, value in whole["weights"].items():
            assert torch.equal(found["weights"][name], value)


def test_a_training_goes_on_on_another_number_of_ranks(folder, trained):
    one = trained["one"][RESUMED]
    found = torch.load(folder / "resumed.pt") | torch.load(folder / "resumed0.pt")
    for name in ("two-one", "one-two"):
        for row, expected in zip(found[name]["history"], one["history"], strict=True):
            assert row == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(found[name]["weights"], one["weights"], **TIGHT)


@pytest.mark.parametrize("method", METHODS)
def test_the_regularizers_gradients_differ(trained, method):
    """Else the test above would not see a regulariser whose gradient is lost between the ranks."""
    names = [name for case, name in CASES if case == method]
    first = next(
        name for name in trained["one"][f"{method}-none"]["gradients"] if name.startswith("encoder.")
    )
    gradients = [trained["one"][f"{method}-{name}"]["gradients"][first] for name in names]
    for index, gradient in enumerate(gradients):
        for other in gradients[:index]:
            assert (gradient - other).norm() > 3e-5 * other.norm()  # thirty times what may differ


def test_a_job_of_two_ranks_writes_its_files_once(folder):
    job = folder / "job"
    assert {path.name for path in job.iterdir()} == {"spec.yaml", *PRETRAINED}
    summary = json.loads((job / "summary.json").read_text())
    assert (summary["world_size"], summary["epochs"], summary["steps"]) == (2, 2, 6)
    assert summary["final"]["regularizer"] < 0
    assert summary["final"]["knn_top1"] > 10
    assert [path.name for path in folder.glob("tracked_by_*")] == ["tracked_by_rank0"]
    lines = (folder / "terminal.txt").read_text().splitlines()
    assert [line for line in lines if "2/2 epochs" in line] == lines[-1:]


def test_two_ranks_time_the_same_steps_and_write_once(folder):
    timed = folder / "timed"
    assert {path.name for path in timed.iterdir()} == {"spec.yaml", "step_cost.json", "records"}
    assert [path.name for path in (timed / "records").iterdir()] == ["step_cost.json"]
    found = json.loads((timed / "step_cost.json").read_text())
    assert (found["world_size"], found["pairs"]) == (2, 8)  # rank 0's plan
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]


def test_one_process_needs_no_group():
    assert (rank(), world_size()) == (0, 1)
    rows = torch.rand(3, 2, requires_grad=True)
    assert gather_rows(rows) is rows
    with process_group(gpus=0) as device:
        assert device == torch.device("cpu")
        assert not torch.distributed.is_initialized()
        layer = torch.nn.Linear(2, 2)
        assert replicate(layer, device) is layer
