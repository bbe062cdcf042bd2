import os

import pytest
import torch

from ldreg.errors import LdregError
from ldreg.runtime.launch import adopt_slurm_rank, check_gpus, claimed_gpus, srun_command, start_ranks


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
        assert start_ranks(2, 1, ["pretrain", "--help"], terminal) == 0
    assert path.read_text().count("usage: ") == 2


def test_torchrun_leaves_our_options_to_us(tmp_path):
    """`--log` is the beginning of several of torchrun's own."""
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert start_ranks(2, 1, ["data", "nonsense", "--log", str(tmp_path / "log.txt")], terminal) == 2
    assert path.read_text().startswith("error: ") and path.read_text().count("\n") == 1
    assert "nonsense" in path.read_text() and "nonsense" in (tmp_path / "log.txt").read_text()


def test_a_rank_that_fails_without_a_word_is_told_in_one_line(tmp_path):
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert start_ranks(2, 1, ["nonsense"], terminal) == 1
    assert path.read_text().startswith("error: a rank failed, torchrun ended with status ")
    assert path.read_text().count("\n") == 1


RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """`slurm(**variables)`: an environment with these of SLURM's, and a `scontrol` that knows two nodes."""
    for name in (*RANK_VARIABLES, *(name for name in os.environ if name.startswith("SLURM_"))):
        monkeypatch.setenv(name, "")  # so that monkeypatch knows the variable and takes it away again
        monkeypatch.delenv(name)
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[7-8]" ] && echo n7 && echo n8\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def set_variables(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"SLURM_{name}", value)

    return set_variables


def test_several_tasks_of_srun_are_ranks(slurm):
    slurm(STEP_NUM_TASKS="4", PROCID="3", LOCALID="1", STEP_NODELIST="n[7-8]", JOB_ID="123456")
    adopt_slurm_rank()
    assert [os.environ[name] for name in RANK_VARIABLES] == [
        "3",
        "1",
        "4",
        "n7",
        str(20_000 + 123456 % 20_000),
    ]


@pytest.mark.parametrize("variables", [{}, {"STEP_NUM_TASKS": "1", "PROCID": "0", "JOB_ID": "7"}])
def test_one_task_is_no_rank(slurm, variables):
    slurm(**variables)
    adopt_slurm_rank()
    assert "RANK" not in os.environ


def test_ranks_of_torchrun_stay_what_they_are_inside_a_step(slurm, monkeypatch):
    slurm(STEP_NUM_TASKS="4", PROCID="3", LOCALID="1", STEP_NODELIST="n[7-8]", JOB_ID="7")
    monkeypatch.setenv("RANK", "1")
    adopt_slurm_rank()
    assert os.environ["RANK"] == "1" and "LOCAL_RANK" not in os.environ


def test_several_nodes_are_started_by_srun_where_it_granted_them(slurm):
    with pytest.raises(LdregError, match=r"^execution.nodes: 2, but this is no SLURM job; "):
        srun_command(4, 2)
    slurm(JOB_ID="7")
    assert srun_command(4, 2)[:4] == ["srun", "--nodes=2", "--ntasks=8", "--ntasks-per-node=4"]
    assert "--ntasks-per-node=1" in srun_command(0, 2)
