"""Time of a LARS step against lightly's, on the parameters of a ResNet-50, by turns in one process.

    python benchmarks/lars.py [--device cuda] [--output benchmarks/lars_cpu.json]

lightly divides by |g| + weight_decay |p|, ours by |g + weight_decay p| as the paper's public code does; both
go once over all parameters, so that the times compare what a training pays.
"""

import argparse
import json
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import torch
import torchvision
from lightly.utils.lars import LARS as LightlyLARS

from ldreg.training.lars import LARS

ROUNDS, STEPS = 9, 5


def seconds(optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """Per step, over `STEPS` of them."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(STEPS):
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    network = torchvision.models.resnet50().to(device)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    settings = {"lr": 1e-6, "momentum": 0.9, "weight_decay": 1e-6, "trust_coefficient": 0.001}
    optimizers = {
        "ldreg": LARS(network.parameters(), **settings),
        "lightly": LightlyLARS(network.parameters(), **settings),
    }
    taken: dict[str, list[float]] = {name: [] for name in optimizers}
    for place in range(ROUNDS + 1):
        for name in sorted(optimizers, reverse=place % 2 == 1):
            found = seconds(optimizers[name], device)
            if place:  # the first round allocates the buffers
                taken[name].append(found)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratios = [one / other for one, other in zip(taken["ldreg"], taken["lightly"], strict=True)]
    result = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "milliseconds": {name: 1000 * value for name, value in medians.items()},
        "ratio": statistics.median(ratios),
        "rounds": ROUNDS,
        "versions": {name: version(name) for name in ("torch", "lightly")},
    }
    print(json.dumps(result, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
