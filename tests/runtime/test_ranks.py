"""A process is a rank because a launcher started it so, and not because variables say so."""

import os
import subprocess
import sys

import pytest

from ldreg.cli import main
from ldreg.errors import LdregError
from ldreg.runtime import ranks
from ldreg.runtime.ranks import is_rank, settle_rank

RANK = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "n7", "MASTER_PORT": "29500"}
TORCHRUN = RANK | {"TORCHELASTIC_RUN_ID": "none"}
TASK = {"STEP_NUM_TASKS": "4", "PROCID": "3", "LOCALID": "1", "STEP_NODELIST": "n[7-8]"}
STEP = {f"SLURM_{name}": value for name, value in (TASK | {"JOB_ID": "123456", "STEP_ID": "0"}).items()}
STRAY = [
    {"RANK": "0", "WORLD_SIZE": "4"},
    {"LOCAL_RANK": "0"},
    RANK,
    {"RANK": "first", "WORLD_SIZE": "many"},
    {"SLURM_STEP_NUM_TASKS": "4"},
    {"SLURM_STEP_NUM_TASKS": "4", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"},
    STEP | {"SLURM_PROCID": "x"},
    STEP | {"SLURM_JOB_ID": "7_1"},
    STEP | {"SLURM_TASK_PID": "1999999999"},  # of a shell that has ended
]


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """`launched(variables)`: an environment with these variables, and a `scontrol` that knows two nodes."""
    for name in os.environ:
        if name.startswith(("SLURM_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)
    for name in {*RANK, *TORCHRUN, "LOCAL_WORLD_SIZE"}:
        monkeypatch.setenv(name, "")  # so that monkeypatch knows the variable and takes it away again
        monkeypatch.delenv(name)
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[7-8]" ] && echo n7 && echo n8\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(ranks, "_FIRST_NAMESPACE", os.readlink("/proc/self/ns/pid"))

    def set_variables(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


def told():
    return {name: os.environ[name] for name in RANK if name in os.environ}


def test_ranks_of_torchrun_stay_what_they_are(launched):
    launched(TORCHRUN)
    assert settle_rank(ranked=True) is None
    assert is_rank() and told() == RANK


def test_torchrun_counts_more_than_the_step_that_it_runs_in(launched):
    launched(STEP | TORCHRUN)
    settle_rank(ranked=True)
    assert told() == RANK


def test_several_tasks_of_srun_are_ranks(launched):
    launched(STEP | {"SLURM_TASK_PID": str(os.getppid())})
    assert settle_rank(ranked=True) is None
    port = str(20_000 + 123456 % 20_000)
    expected = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "n7", "MASTER_PORT": port}
    assert told() == expected


def test_two_steps_of_an_allocation_meet_at_different_ports(launched):
    ports = set()
    for step in ("0", "1", "2"):
        launched(STEP | {"SLURM_STEP_ID": step})
        settle_rank(ranked=True)
        ports.add(os.environ["MASTER_PORT"])
    assert len(ports) == 3


def test_in_a_container_with_its_own_process_ids_the_variables_are_believed(launched, monkeypatch):
    monkeypatch.setattr(ranks, "_FIRST_NAMESPACE", "pid:[1]")
    launched(STEP | {"SLURM_TASK_PID": "1999999999"})
    settle_rank(ranked=True)
    assert is_rank()


def test_one_host_needs_no_scontrol(launched, monkeypatch):
    monkeypatch.setenv("PATH", "")
    launched(STEP | {"SLURM_STEP_NODELIST": "n7"})
    settle_rank(ranked=True)
    assert os.environ["MASTER_ADDR"] == "n7"
    launched(STEP)
    with pytest.raises(LdregError, match=r"^SLURM_STEP_NODELIST: 'n\[7-8\]' cannot be resolved by scontrol "):
        settle_rank(ranked=True)


@pytest.mark.parametrize("variables", STRAY)
def test_stray_variables_make_no_rank_and_are_told(launched, variables):
    launched(variables)
    remark = settle_rank(ranked=True)
    assert not is_rank() and told() == {}
    assert remark.endswith(" ignored: neither torchrun nor srun started this process as a rank")
    assert next(name for name in (*RANK, "SLURM_STEP_NUM_TASKS") if name in variables) in remark


@pytest.mark.parametrize("variables", [*STRAY, TORCHRUN, STEP])
def test_commands_without_ranks_ignore_them_all(launched, variables):
    launched(variables)
    assert settle_rank(ranked=False) is None
    assert not is_rank() and told() == {}


@pytest.mark.parametrize("variables", [{}, {"SLURM_JOB_ID": "7"}, STEP | {"SLURM_STEP_NUM_TASKS": "1"}])
def test_a_single_task_is_no_rank(launched, variables):
    launched(variables)
    assert settle_rank(ranked=True) is None
    assert not is_rank()


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("RANK", "one", "RANK: 'one' is not allowed with TORCHELASTIC_RUN_ID; it should be a whole number"),
        ("WORLD_SIZE", "", "WORLD_SIZE: '' is not allowed with TORCHELASTIC_RUN_ID; "),
        ("LOCAL_RANK", "-1", "LOCAL_RANK: '-1' is not allowed with TORCHELASTIC_RUN_ID; "),
        ("RANK", "2", "RANK: 2 is not allowed; it should be less than WORLD_SIZE (2)"),
        ("MASTER_PORT", "x", "MASTER_PORT: 'x' is not allowed with TORCHELASTIC_RUN_ID; "),
        ("MASTER_ADDR", "", "MASTER_ADDR: missing; "),
    ],
)
def test_broken_variables_of_torchrun_end_in_one_line(launched, capsys, name, value, error):
    launched(TORCHRUN | {name: value})
    assert main(["pretrain", "no.yaml", "--data", "no.json"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {error}")


@pytest.mark.parametrize("variables", [*STRAY, TORCHRUN, STEP])
def test_the_plan_is_printed_whatever_launchers_left(variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    command = [
        sys.executable,
        "-c",
        "from ldreg.cli import main; raise SystemExit(main(['show', 'nowhere']))",
    ]
    done = subprocess.run(command, env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: nowhere") and done.stderr.count("\n") == 1
