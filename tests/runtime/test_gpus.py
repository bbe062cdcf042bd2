import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from ldreg.errors import LdregError
from ldreg.runtime import gpus
from ldreg.runtime.gpus import check_gpus, claimed_gpus, visible_gpus

UUIDS = ["GPU-11111111-aaaa", "GPU-22222222-bbbb", "GPU-33333333-cccc", "GPU-44444444-dddd"]
VARIABLES = ("CUDA_VISIBLE_DEVICES", "LDREG_CLAIMED_GPUS", "RANK", "SLURM_JOB_ID", "SLURM_STEP_ID")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """`machine(count)`: a machine with these GPUs, whose locks are of this test alone."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that monkeypatch knows the variable and takes it away again
        monkeypatch.delenv(name)

    def made(count, uuids=True):
        def visible():
            value = os.environ.get("CUDA_VISIBLE_DEVICES")
            return count if value is None else len([each for each in value.split(",") if each.strip()])

        monkeypatch.setattr(torch.cuda, "device_count", visible)
        known = [f"{uuid}-{tmp_path}" for uuid in UUIDS[:count]] if uuids else []
        monkeypatch.setattr(gpus, "_uuids", lambda: known)
        lock = gpus.host_lock
        monkeypatch.setattr(gpus, "host_lock", lambda name: lock(f"{name} {tmp_path}"))

    return made


def visible():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@contextmanager
def another_job(number, listed=None):
    """Yields the choice of a job that is started beside this one, where `listed` is visible."""
    before = {name: os.environ.pop(name, None) for name in ("CUDA_VISIBLE_DEVICES", "LDREG_CLAIMED_GPUS")}
    if listed is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = listed
    claim = claimed_gpus(number)
    claim.__enter__()
    choice = visible()
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    yield choice
    claim.__exit__(None, None, None)
    gpus._restore(before)


def test_too_few_gpus_are_told_with_the_key_that_sets_them(machine):
    machine(2)
    for number in (0, 1, 2):
        check_gpus(number)
    with pytest.raises(
        LdregError, match=r"^execution.gpus: 4, but this machine shows 2; .*execution=\{gpus: 0\}"
    ):
        check_gpus(4)
    with pytest.raises(LdregError, match=r"^execution.gpus: -1 is not allowed"):
        check_gpus(-1)


def test_a_rank_may_see_its_own_gpu_alone(machine, monkeypatch):
    machine(1)
    monkeypatch.setenv("RANK", "3")
    check_gpus(4)


@pytest.mark.parametrize(
    "surroundings", [{}, {"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}]
)
@pytest.mark.parametrize("uuids", [True, False])
def test_jobs_of_one_machine_take_different_gpus(machine, monkeypatch, surroundings, uuids):
    machine(4, uuids)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    with another_job(1) as a, another_job(1) as b, another_job(1) as c, another_job(1) as d:
        assert [a, b, c, d] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "listed, taken",
    [
        ("3,5,7", ["3", "5", "7"]),
        (" 3, 5 ,7", ["3", "5", "7"]),
        ("GPU-11111111-aaaa,GPU-3333", ["GPU-11111111-aaaa", "GPU-3333"]),
        ("MIG-6a,MIG-6b", ["MIG-6a", "MIG-6b"]),
        ("MIG-GPU-4f/1/0,MIG-GPU-4f/2/0", ["MIG-GPU-4f/1/0", "MIG-GPU-4f/2/0"]),
    ],
)
def test_jobs_choose_among_the_gpus_that_are_visible(machine, listed, taken):
    machine(4)
    with another_job(1, listed) as first, another_job(1, listed) as second:
        assert [first, second] == taken[:2]


def test_one_gpu_has_one_lock_whatever_it_is_called(machine):
    machine(2)
    with another_job(1, UUIDS[0][:12]) as first, another_job(1) as second:
        assert (first, second) == ("GPU-11111111", "1")


def test_equal_indices_of_two_allocations_are_different_gpus(machine, monkeypatch):
    """On a cluster each job sees its own GPU as number 0; without UUIDs the allocation tells them apart."""
    machine(1, uuids=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with another_job(1, "0"):
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with another_job(1, "0") as second:
            assert second == "0"


def test_parts_of_gpus_serve_one_process_each(machine, monkeypatch):
    machine(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-6a,MIG-6b")
    monkeypatch.setattr(torch.cuda, "device_count", None)  # it would start CUDA
    assert visible_gpus() == ["MIG-6a", "MIG-6b"]
    check_gpus(1)
    with pytest.raises(LdregError, match=r"^execution.gpus: 2 is not allowed with the parts .*; allowed: 1$"):
        check_gpus(2)


@pytest.mark.parametrize("listed", ["", " , "])
def test_no_visible_gpu_is_told(machine, monkeypatch, listed):
    machine(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with pytest.raises(LdregError, match=r"^execution.gpus: 1, but this machine shows 0"):
        check_gpus(1)


def test_a_job_waits_until_enough_gpus_are_free(machine, monkeypatch, capsys):
    machine(2)
    looks = []

    with another_job(1):
        other = claimed_gpus(1)
        other.__enter__()
        taken = os.environ.pop("CUDA_VISIBLE_DEVICES")
        assert taken == os.environ.pop("LDREG_CLAIMED_GPUS") == "1"

        def sleep(seconds):
            looks.append(visible())
            if len(looks) == 2:
                other.__exit__(None, None, None)

        monkeypatch.setattr("time.sleep", sleep)
        with claimed_gpus(1):
            assert visible() == "1"
    assert looks == [None, None]
    assert capsys.readouterr().err.count("waiting for a GPU") == 1


def test_what_a_parent_chose_stays(machine, monkeypatch):
    machine(2)
    with claimed_gpus(1):
        chosen = visible()
        with claimed_gpus(1):  # in a process that the claim's holder has started
            assert visible() == chosen == "0"
    assert visible() is None and "LDREG_CLAIMED_GPUS" not in os.environ
    monkeypatch.setenv("RANK", "1")
    with another_job(1) as choice:
        assert choice is None


def test_a_claim_ends_with_its_process(machine, tmp_path):
    """By SIGKILL, too, and neither a folder nor a file is needed for it."""
    machine(1)
    name = f"gpu {UUIDS[0]}-{tmp_path}"
    take = f"from ldreg.runtime.locks import host_lock; kept = host_lock({f'{name} {tmp_path}'!r})"
    job = f"import time; {take}; print('taken', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", job], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "taken\n"
        assert gpus.host_lock(name) is None
        holder.kill()
    with another_job(1) as choice:
        assert choice == "0"
