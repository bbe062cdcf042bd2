"""The time that a regulariser adds to a training step.

Trainings that run at different times or beside other jobs differ in speed for other reasons than their
regulariser. Here one process alternates between steps with and without the regulariser, so anything that
slows the machine down affects both.
"""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import torch
from torch import distributed as dist

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec
from ldreg.data.batches import Batch, batches
from ldreg.data.datasets import ImageData, Split
from ldreg.data.decode import CorruptImages
from ldreg.neighbors import NotFiniteError
from ldreg.runtime.distributed import world_size
from ldreg.training.pretrain import Trainer, diverged, split_on_device, steps_of_epoch

KINDS = ("with", "without")  # kinds of steps: with or without the regulariser of the run
WARM_UP = 2  # untimed steps of each kind, in which memory is allocated and kernels are chosen
BUDGET = 8.0  # seconds for all timed steps, unless the smallest number of pairs takes longer
BLOCK = 0.1  # minimal seconds per block, so that reading the clock and synchronising are negligible
PAIRS = (8, 80)  # smallest and largest number of pairs of blocks
LEVEL = 0.95  # minimal level of the confidence interval


def step_cost(
    spec: RunSpec,
    data: ImageData,
    execution: Execution,
    device: torch.device,
    corrupt: CorruptImages | None = None,
) -> dict[str, Any]:
    """Measure the seconds per training step with and without the regulariser of a run.

    A step is a step of pretraining (`Trainer`): views, forward and backward pass, loss and optimiser, without
    the live monitors. Steps of both kinds train the same networks along the schedule of the run, so both
    kinds use the same weights and memory. The regulariser is active from the first step on. Steps are timed
    in blocks. A block of each kind forms a pair, and the order within pairs alternates. A run without a
    regulariser has only blocks of the kind "without", in the smallest number.

    Args:
        spec: specification of the run.
        data: the data set; only its training split is used.
        execution: how the steps are executed.
        device: device of this rank.
        corrupt: policy for corrupt images. The default stops at the first.

    Returns:
        A dictionary with these keys:

        - "seconds_with", "seconds_without": medians over blocks.
        - "ratio": median of the ratios of the pairs; "ratio_low", "ratio_high", "level": its interval from
          `median_interval`.
        - "pairs", "steps_per_block", "warm_up_steps": numbers of pairs and steps.
        - "block_seconds_with", "block_seconds_without", "first": for each pair, the seconds per step and the
          kind that ran first.
        - "peak_memory_bytes_with", "peak_memory_bytes_without": peak memory allocated on this rank's GPU,
          None on a CPU.

        For a run without a regulariser the values "with" are None, and the ratio is 1 without an interval.

    Raises:
        LdregError: in the cases of `pretrain`.
    """
    split = split_on_device(data.train, spec, device)
    stream = _stream(spec, data, split, execution, device, corrupt)
    trainer = Trainer(spec, split.channels, execution, device)
    trainer.model.train()
    kinds = KINDS[1:] if spec.regularizer == "none" else KINDS
    memory = dict.fromkeys(KINDS, 0)

    def block(kind: str, steps: int) -> float:
        """Run a block of steps and return the seconds per step."""
        began = _now(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        for _ in range(steps):
            epoch, progress, batch = next(stream)
            try:
                trainer.step(batch.inputs, progress, regularized=kind == "with")
            except NotFiniteError as error:
                raise diverged(spec, epoch, "representations are not finite, or too large") from error
        seconds = (_now(device) - began) / steps
        if device.type == "cuda":
            memory[kind] = max(memory[kind], torch.cuda.max_memory_allocated(device))
        return seconds

    for _ in range(WARM_UP):
        tried = [block(kind, 1) for kind in kinds]
    steps, pairs = _agreed(*planned(sum(tried), len(kinds)), device)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    orders = [kinds if pair % 2 == 0 else kinds[::-1] for pair in range(pairs)]
    for kind in (kind for order in orders for kind in order):
        seconds[kind].append(block(kind, steps))
    ratios = [one / other for one, other in zip(*seconds.values(), strict=True)] if len(kinds) > 1 else []
    low, high, level = median_interval(ratios) if ratios else (None, None, None)
    on_gpu = device.type == "cuda"
    return {
        **{f"seconds_{kind}": statistics.median(seconds[kind]) if kind in kinds else None for kind in KINDS},
        "ratio": statistics.median(ratios) if ratios else 1.0,
        "ratio_low": low,
        "ratio_high": high,
        "level": level,
        "pairs": pairs,
        "steps_per_block": steps,
        "warm_up_steps": WARM_UP * len(kinds),
        "first": [order[0] for order in orders],
        **{f"block_seconds_{kind}": seconds.get(kind) for kind in KINDS},
        **{f"peak_memory_bytes_{kind}": memory[kind] if on_gpu and kind in kinds else None for kind in KINDS},
    }


def planned(seconds: float, kinds: int) -> tuple[int, int]:
    """Return the number of steps per block and the number of blocks of each kind.

    The number of blocks is the largest even number that fits into `BUDGET`, so that both kinds run first
    equally often. With a single kind there is nothing to compare, and the smallest number is used.

    Args:
        seconds: time of one step of every kind together.
        kinds: number of kinds, 1 or 2.

    >>> planned(0.13, 2), planned(1.0, 2), planned(3.2, 2), planned(0.004, 2), planned(0.065, 1)
    ((2, 30), (1, 8), (1, 8), (50, 40), (2, 8))
    """
    steps = max(1, math.ceil(BLOCK * kinds / seconds))
    if kinds == 1:
        return steps, PAIRS[0]
    fitting = int(BUDGET / (steps * seconds)) // 2 * 2
    return steps, min(max(fitting, PAIRS[0]), PAIRS[1])


def median_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Distribution-free confidence interval of the median of the distribution of `values`.

    The bounds are the d-th lowest and the d-th highest value. d is the largest number whose exact level, 1 -
    2 P(X < d) for X ~ Binomial(n, 1/2), is at least `level`. For fewer than 6 values there is no such d at
    level 0.95, and d is 1.

    Returns:
        Lower bound, upper bound and exact level.

    >>> median_interval([5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0])
    (2.0, 8.0, 0.9609375)
    """
    n = len(values)
    ordered = sorted(values)
    levels = [1 - 2 * sum(math.comb(n, i) for i in range(d)) / 2**n for d in range(1, n // 2 + 1)] or [0.0]
    d = max([place for place, reached in enumerate(levels) if reached >= level], default=0)
    return ordered[d], ordered[-1 - d], levels[d]


def _stream(
    spec: RunSpec,
    data: ImageData,
    split: Split,
    execution: Execution,
    device: torch.device,
    corrupt: CorruptImages | None,
) -> Iterator[tuple[int, float, Batch]]:
    """Yield (epoch, progress in epochs, batch) in the order of the run, repeating after its last epoch."""
    steps = steps_of_epoch(spec, data)
    for epoch in cycle(range(spec.epochs)):
        found = batches(split, spec, epoch, steps, execution.workers, device, corrupt)
        for step, batch in enumerate(found):
            yield epoch, epoch + step / steps, batch


def _now(device: torch.device) -> float:
    """Return the time in seconds, after waiting for the device to finish its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _agreed(steps: int, pairs: int, device: torch.device) -> tuple[int, int]:
    """Broadcast the numbers of rank 0, because all ranks must take the same steps."""
    if world_size() == 1:
        return steps, pairs
    plan = torch.tensor([steps, pairs], device=device)
    dist.broadcast(plan, src=0)
    steps, pairs = plan.tolist()
    return steps, pairs
