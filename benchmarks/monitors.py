"""What the live monitors cost, as a share of training time.

    python benchmarks/monitors.py --device cpu > benchmarks/monitors_cpu.json

Each part alternates with plain training steps of the same run within one process, so that a noisy machine
slows both; medians are reported. Every 25th step measures LID.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec
from ldreg.evaluation.features import extract
from ldreg.evaluation.knn import knn_accuracy
from ldreg.methods import build_method
from ldreg.models.networks import build_encoder
from ldreg.training.monitors import EVERY, Monitors
from ldreg.training.optim import build_optimizer
from ldreg.training.regularizer import build_regularizer
from ldreg.training.step import TrainingStep
from ldreg.workflow.scale import Scale

# Images and classes of the training sets; the images are random: their content costs nothing.
SETS = {"digits": (1347, 10, 1), "cifar10": (50_000, 10, 3), "imagenet": (1_281_167, 1000, 3)}
KNN_IMAGES = 50_000


def timed(work: Any, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def cost(spec: RunSpec, device: torch.device, precision: str, rounds: int) -> dict[str, Any]:
    """Medians in milliseconds of a step and of each monitor, and their share of an epoch."""
    images, classes, channels = SETS[spec.dataset]
    images = min(images, spec.train_images or images)
    steps = images // spec.batch_size
    method = build_method(spec, channels).to(device, memory_format=torch.channels_last)
    optimizer = build_optimizer(spec, method)
    regularizer = build_regularizer(spec)
    training = TrainingStep(spec, method, method, regularizer, Execution(precision=precision), device)
    monitors = Monitors(spec, classes, build_encoder(spec, channels)[1], steps, device)
    shape = (spec.batch_size, channels, spec.image_size, spec.image_size)
    labels = torch.randint(classes, (spec.batch_size,), device=device)
    few = torch.randint(256, (min(images, 512), *shape[1:]), dtype=torch.uint8)
    found: dict[str, Any] = {}
    times: dict[str, list[float]] = {name: [] for name in ("step", "watch", "lid", "finish", "knn")}

    def step() -> None:
        views = [torch.rand(shape, device=device) for _ in spec.views]
        optimizer.zero_grad(set_to_none=True)
        found["result"] = training(tuple(views), regularized=True)
        training.optimize(optimizer)

    def knn() -> None:
        x = extract(method.encoder, few, spec.image_size, device)
        y = torch.arange(len(x)) % classes
        knn_accuracy(x[len(x) // 5 :], y[len(x) // 5 :], x[: len(x) // 5], y[: len(x) // 5], classes)

    def observe(measures_lid: bool) -> None:
        monitors.step = EVERY - 1 if measures_lid else 0
        monitors.observe(found["result"].representations, labels)

    for turn in range(rounds + 1):
        one = {
            "step": timed(step, device),
            "watch": timed(lambda: observe(False), device),
            "lid": timed(lambda: observe(True), device),
            "finish": timed(monitors.finish, device),
            "knn": timed(knn, device),
        }
        if turn:  # the first warms up
            for name, seconds in one.items():
                times[name].append(seconds)
    median = {name: statistics.median(values) for name, values in times.items()}
    epoch = steps * median["step"]
    # Every step is watched, one in EVERY measures LID; epochs that hold such a one end in an effective rank.
    live = median["watch"] + (median["lid"] - median["watch"]) / EVERY + median["finish"] / max(EVERY, steps)
    knn_seconds = median["knn"] * min(images, KNN_IMAGES) / len(few)
    return {
        "dataset": spec.dataset,
        "backbone": spec.backbone,
        "regularizer": spec.regularizer,
        "batch_size": spec.batch_size,
        "steps": steps,
        **{f"{name}_ms": round(1e3 * value, 2) for name, value in median.items() if name != "knn"},
        "live_share": round(live / median["step"], 4),
        "knn_every": spec.knn_every,
        "knn_share": round(knn_seconds / spec.knn_every / epoch, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scales", nargs="+", default=["demo", "cifar10_cpu"])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    rows = []
    for name in arguments.scales:
        runs = Scale.read(Path("config", f"{name}.yaml")).runs_of("claims").values()
        for regularizer in ("none", "ldreg_l1"):
            spec = next(run for run in runs if run.regularizer == regularizer)
            rows.append(cost(spec, device, arguments.precision, arguments.rounds))
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    about = {"device": machine, "threads": 1, "torch": torch.__version__, "precision": arguments.precision}
    print(json.dumps({**about, "rounds": arguments.rounds, "runs": rows}, indent=2))


if __name__ == "__main__":
    main()
