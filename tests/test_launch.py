import os

import pytest
import torch

from ldreg.errors import LdregError
from ldreg.launch import check_gpus, claimed_gpus, torchrun


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_too_few_gpus_are_told_with_the_key_that_sets_them(two_gpus):
    for gpus in (0, 1, 2):
        check_gpus(gpus)
    with pytest.raises(
        LdregError, match=r"^execution.gpus: 4, but this machine shows 2; .*execution=\{gpus: 0\}"
    ):
        check_gpus(4)
    with pytest.raises(LdregError, match=r"^execution.gpus: -1 is not allowed"):
        check_gpus(-1)


@pytest.fixture
def visible(two_gpus, monkeypatch):
    """What CUDA_VISIBLE_DEVICES says; restored, since a claim sets it for the rest of its process."""
    for name in ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "")  # so that monkeypatch knows the variable and takes it away again
        monkeypatch.delenv(name)
    return lambda: os.environ.get("CUDA_VISIBLE_DEVICES")


def test_jobs_of_one_machine_take_different_gpus(visible, monkeypatch, tmp_path):
    with claimed_gpus(1, tmp_path):
        assert visible() == "0"
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with claimed_gpus(1, tmp_path):
            assert visible() == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    with claimed_gpus(2, tmp_path):
        assert visible() == "3,5"


def test_a_job_waits_until_enough_gpus_are_free(visible, monkeypatch, tmp_path):
    other = claimed_gpus(1, tmp_path)
    other.__enter__()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    looks = []

    def sleep(seconds):
        looks.append(visible())
        if len(looks) == 2:
            other.__exit__(None, None, None)

    monkeypatch.setattr("time.sleep", sleep)
    with claimed_gpus(2, tmp_path):
        assert visible() == "0,1"
    assert looks == [None, None]


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "SLURM_JOB_ID"])
def test_what_a_scheduler_or_a_parent_chose_stays(visible, monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, "1")
    with claimed_gpus(1, tmp_path):
        assert visible() is None
    with claimed_gpus(0, tmp_path):
        assert visible() is None
    assert not list(tmp_path.iterdir())


def test_torchrun_starts_a_rank_per_gpu_and_passes_the_arguments_on(tmp_path):
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert torchrun(2, ["pretrain", "--help"], terminal) == 0
    assert path.read_text().count("usage: ") == 2


def test_torchrun_leaves_our_options_to_us(tmp_path):
    """`--log` is the beginning of several of torchrun's own."""
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert torchrun(2, ["data", "nonsense", "--log", str(tmp_path / "log.txt")], terminal) == 2
    assert path.read_text().startswith("error: ") and path.read_text().count("\n") == 1
    assert "nonsense" in path.read_text() and "nonsense" in (tmp_path / "log.txt").read_text()


def test_a_rank_that_fails_without_a_word_is_told_in_one_line(tmp_path):
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert torchrun(2, ["nonsense"], terminal) == 1
    assert path.read_text().startswith("error: a rank failed, torchrun ended with status ")
    assert path.read_text().count("\n") == 1
