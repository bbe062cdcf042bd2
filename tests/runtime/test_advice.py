"""Settings that cannot pay are told, on processors and GPUs that this machine need not have."""

import itertools

import pytest
import torch

from ldreg.runtime import advice as module
from ldreg.runtime.advice import advice, computes_natively, slowdown

CPU = torch.device("cpu")
FINE = {"precision": "float32", "threads": 2, "workers": 0}


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """`machine(line)`: 2 processors that list this, on which whatever is emulated takes 7 times as long."""

    def made(line):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{line}\n")

    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(module, "available_cpus", lambda: 2)
    monkeypatch.setattr(module, "slowdown", lambda precision: 7.0)
    made("flags : fpu avx2 avx512f")
    return made


def test_nothing_is_said_of_what_is_fine():
    assert advice(CPU, **FINE) == []
    assert advice(CPU, **FINE, micro_batch=16, share=64) == []


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_a_processor_emulates(precision):
    [line] = advice(CPU, **FINE | {"precision": precision})
    assert line.startswith(f"execution.precision: {precision} is emulated by this processor (")
    assert "7.0 times the time of float32 in a trial" in line


@pytest.mark.parametrize(
    "line, bf16, fp16",
    [
        ("flags : avx512f avx512_bf16", True, False),
        ("flags\t\t: fpu amx_bf16 amx_tile", True, False),
        ("flags : avx512_fp16", False, True),
        ("Features : fp asimd asimdhp bf16", True, True),
        ("flags : avx2", False, False),
        ("model name : no flags are listed", True, True),
    ],
)
def test_instructions_are_read_from_the_kernels_list(machine, line, bf16, fp16):
    machine(line)
    assert (computes_natively("bf16"), computes_natively("fp16")) == (bf16, fp16)
    assert bool(advice(CPU, **FINE | {"precision": "bf16"})) != bf16


def test_what_is_emulated_without_loss_is_not_told(monkeypatch):
    monkeypatch.setattr(module, "slowdown", lambda precision: 0.9)
    assert advice(CPU, **FINE | {"precision": "bf16"}) == []


def test_a_gpu_without_bf16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    cuda = torch.device("cuda", 0)
    [line] = advice(cuda, **FINE | {"precision": "bf16"})
    assert line.startswith("execution.precision: bf16 is emulated by Tesla T4")
    assert advice(cuda, **FINE | {"precision": "fp16"}) == []


@pytest.mark.parametrize(
    "settings, line",
    [
        ({"threads": 3}, "execution.threads: 3 are more than the 2 processors that this job may use"),
        ({"workers": 4}, "execution.workers: 4 are more than the 2 processors that this job may use"),
        (
            {"workers": 1, "files": False},
            "execution.workers: 1 have nothing to do, since the images are no files",
        ),
        (
            {"micro_batch": 64, "share": 64},
            "execution.micro_batch: 64 cuts nothing, since a batch has 64 images here",
        ),
    ],
)
def test_settings_that_bring_nothing(settings, line):
    assert advice(CPU, **FINE | settings) == [line]


def test_the_trial_compares_the_best_of_three():
    # Each trial reads the clock at its beginning and end: float32 takes 1, 1, 1 and the other 7, 2, 9.
    durations = [1, 1, 1, 7, 2, 9]
    ticks = itertools.chain.from_iterable((0.0, float(each)) for each in durations)
    assert slowdown("bf16", clock=lambda: next(ticks)) == 2.0
