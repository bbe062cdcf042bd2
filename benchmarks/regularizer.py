"""What LDReg costs: forward and backward, against the plain way, and as a share of a training step.

    python benchmarks/regularizer.py --device cpu > benchmarks/regularizer_cpu.json

Both sides alternate within one run, so that a noisy machine slows both; medians and ratios are reported. The
plain way is the paper's pseudocode: all distances by `torch.cdist`, all of them sorted.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ldreg import LDReg
from ldreg.config.scale_file import Execution
from ldreg.methods import build_method
from ldreg.training.step import TrainingStep
from ldreg.workflow.scale import Scale

SIZES = ((512, 128, 16), (512, 128, 64), (1024, 512, 16), (2048, 512, 64))  # rows, dimensions, k
LARGE = ((4096, 2048, 64),)  # the paper's batch; minutes on a CPU


def plain(representations: Tensor, k: int, mode: str) -> Tensor:
    """-mean ln LID by the method of moments from all distances, sorted; the row itself comes first."""
    distances = torch.cdist(representations, representations.detach(), compute_mode=mode).sort(dim=1).values
    mean, last = distances[:, 1:k].mean(dim=1), distances[:, k]
    return -(mean / (last - mean)).log().mean()


def seconds(step: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(rows: int, dim: int, k: int, device: str, repeats: int) -> dict:
    """Medians of LDReg and of the plain way in its fast (matrix product) and its exact mode."""
    representations = torch.randn(rows, dim, device=device, requires_grad=True)
    regularizer = LDReg(beta=1.0, k=k)
    ways = {
        "ldreg": lambda: regularizer(representations).backward(),
        "plain_matmul": lambda: plain(representations, k, "use_mm_for_euclid_dist").backward(),
        "plain_exact": lambda: plain(representations, k, "donot_use_mm_for_euclid_dist").backward(),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, step in ways.items():
            taken = seconds(step, device)
            if repeat:  # the first warms up
                times[name].append(taken)
    medians = {f"{name}_ms": 1e3 * statistics.median(values) for name, values in times.items()}
    ratios = {
        f"{name}_over_ldreg": statistics.median(
            a / b for a, b in zip(times[name], times["ldreg"], strict=True)
        )
        for name in ("plain_matmul", "plain_exact")
    }
    return {"rows": rows, "dim": dim, "k": k, **medians, **ratios}


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
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = arguments.device
    sizes = SIZES + (LARGE if device == "cuda" else ())
    result = {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "threads": arguments.threads,
        "torch": torch.__version__,
        "repeats": arguments.repeats,
        "regularizer": [compare(*size, device, arguments.repeats) for size in sizes],
        "demo_step": share_of_a_step(device, arguments.repeats),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
