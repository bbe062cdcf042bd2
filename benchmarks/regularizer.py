"""What LDReg costs: forward and backward, against the paper's pseudocode, and as a share of a training step.

    python benchmarks/regularizer.py --device cpu --threads 2 > benchmarks/regularizer_cpu.json

All sides alternate within one process, so that a noisy machine slows all of them; medians and ratios are
reported. The pseudocode computes all distances by `torch.cdist` and sorts them. The bare product of the rows
with themselves is what no search for neighbours by distance can do without. Peak memory is that of a process
of its own, beyond what it takes before the step (Linux alone).
"""

import argparse
import json
import multiprocessing
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ldreg import LDReg
from ldreg.config.execution import Execution
from ldreg.methods import build_method
from ldreg.training.step import TrainingStep
from ldreg.workflow.scale import Scale

# Rows, dimensions, k. The last is the paper's batch of 2,048 images.
SIZES = (
    (64, 128, 16),
    (256, 256, 16),
    (512, 512, 64),
    (512, 2048, 64),
    (1024, 2048, 64),
    (2048, 2048, 64),
    (4096, 2048, 64),
)


def pseudocode(representations: Tensor, k: int) -> Tensor:
    """-mean ln LID by the method of moments from all distances, sorted; the row itself comes first."""
    distances = torch.cdist(representations, representations.detach()).sort(dim=1).values
    mean, last = distances[:, 1:k].mean(dim=1), distances[:, k]
    return -(mean / (last - mean)).log().mean()


def seconds(step: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(rows: int, dim: int, k: int, device: str, repeats: int) -> dict:
    """Medians of a step of LDReg, of the pseudocode, and of the bare product."""
    representations = torch.randn(rows, dim, device=device, requires_grad=True)
    fixed = representations.detach()
    regularizer = LDReg(beta=1.0, k=k)
    ways = {
        "ldreg": lambda: regularizer(representations).backward(),
        "pseudocode": lambda: pseudocode(representations, k).backward(),
        "product": lambda: fixed @ fixed.T,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, step in ways.items():
            taken = seconds(step, device)
            if repeat:  # the first warms up
                times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "rows": rows,
        "dim": dim,
        "k": k,
        **{f"{name}_ms": 1e3 * value for name, value in medians.items()},
        "pseudocode_over_ldreg": medians["pseudocode"] / medians["ldreg"],
        "ldreg_over_product": medians["ldreg"] / medians["product"],
    }


def peak_memory(way: str, rows: int, dim: int, k: int) -> float:
    """MiB that forward and backward take on a CPU at their peak, beyond the rows; in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (way, rows, dim, k))


def _peak(way: str, rows: int, dim: int, k: int) -> float:
    steps = {"ldreg": LDReg(1.0, k), "pseudocode": lambda rows: pseudocode(rows, k)}
    step = steps[way]
    step(torch.randn(k + 9, 8, requires_grad=True)).backward()  # loads what any step needs
    representations = torch.randn(rows, dim, requires_grad=True)
    Path("/proc/self/clear_refs").write_text("5")  # Linux forgets the highest memory so far
    before = _memory("VmRSS")
    step(representations).backward()
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """This process's present (VmRSS) or highest memory (VmHWM) in MiB."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def share_of_a_step(device: str, repeats: int) -> dict:
    """The demo's training step with LDReg over the same without: forward, backward, no optimiser."""
    scale = Scale.read("config/demo.yaml")
    spec = next(spec for spec in scale.runs.values() if spec.regularizer == "ldreg_l1")
    method = build_method(spec, channels=1).to(device)
    views = tuple(
        torch.rand(spec.batch_size, 1, spec.image_size, spec.image_size, device=device) for _ in range(2)
    )
    regularizer = LDReg(spec.beta, spec.k)
    training = TrainingStep(spec, method, method, regularizer, Execution(), torch.device(device))

    def step(with_ldreg: bool) -> None:
        training(views, regularized=with_ldreg)

    pairs = [[seconds(lambda w=w: step(w), device) for w in (False, True)] for _ in range(repeats + 1)][1:]
    return {
        "without_ms": 1e3 * statistics.median(pair[0] for pair in pairs),
        "with_ms": 1e3 * statistics.median(pair[1] for pair in pairs),
        "with_over_without": statistics.median(pair[1] / pair[0] for pair in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = arguments.device
    result = {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "threads": arguments.threads,
        "torch": torch.__version__,
        "repeats": arguments.repeats,
        "regularizer": [compare(*size, device, arguments.repeats) for size in SIZES],
        "demo_step": share_of_a_step(device, arguments.repeats),
    }
    if device == "cpu":
        ways, largest = ("ldreg", "pseudocode"), SIZES[-1]
        result["peak_mib"] = {way: peak_memory(way, *largest) for way in ways}
        result["peak_mib"]["ldreg, 65,536 rows"] = peak_memory("ldreg", 65_536, *largest[1:])
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
