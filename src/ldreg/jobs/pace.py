"""Time the training steps of a run in this process; the queue starts several such processes at once.

Arguments: the run's spec, dataset.json, and the execution as JSON. The process writes `ready` when it is
warm, waits for a line, trains for some seconds and writes its steps per second.
"""

import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import torch

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec, read_spec
from ldreg.data.batches import batches
from ldreg.data.datasets import ImageData
from ldreg.jobs.shared import images_of, on_device

WARM_UP = 5  # steps, in which memory is allocated and kernels are chosen
SECONDS = 5.0  # of timed steps


def pace(
    spec: RunSpec,
    images: ImageData,
    execution: Execution,
    device: torch.device,
    wait: Callable[[], None],
    seconds: float = SECONDS,
) -> float:
    """Training steps per second of a run, regulariser included, from the moment when `wait` returns."""
    from ldreg.training.pretrain import Trainer, split_on_device, steps_of_epoch

    split, steps = split_on_device(images.train, spec, device), steps_of_epoch(spec, images)
    trainer = Trainer(spec, split.channels, execution, device)
    trainer.model.train()

    def stepping() -> Iterator[None]:
        for epoch in count():
            for batch in batches(split, spec, epoch % spec.epochs, steps, execution.workers, device):
                trainer.step(batch.inputs, 0.0, regularized=True)
                yield

    stream = stepping()
    for _ in range(WARM_UP):
        next(stream)
    _settle(device)
    wait()
    began, taken = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        next(stream)
        _settle(device)
        taken += 1
    return taken / (time.perf_counter() - began)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(arguments: list[str]) -> None:
    """Read the arguments, time, and write the result, as the module says."""
    _, spec = read_spec(Path(arguments[0]))
    images, execution = images_of(spec, Path(arguments[1])), Execution.model_validate_json(arguments[2])

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    with on_device(execution) as device:
        print(pace(spec, images, execution, device, wait))


if __name__ == "__main__":
    main(sys.argv[1:])
