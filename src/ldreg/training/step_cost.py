"""What a regulariser adds to a training step, with and without side by side.

Two whole trainings that ran at different times, or beside other jobs, differ in time for other reasons than
their regulariser. Here one process takes both kinds of step in turn, so that whatever slows the machine down
slows both.
"""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import torch
from torch import distributed as dist

from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Execution
from ldreg.data.batches import Batch, batches
from ldreg.data.datasets import ImageData, Split
from ldreg.data.decode import CorruptImages
from ldreg.runtime.distributed import world_size
from ldreg.training.pretrain import Trainer, diverged, split_on_device, steps_of_epoch

KINDS = ("with", "without")  # the run's regulariser
WARM_UP = 2  # steps of each kind before those that count: the first ones allocate and choose kernels
BUDGET = 8.0  # seconds for those that count, if not for the fewest pairs
BLOCK = 0.1  # seconds that a block takes at least, beside which the clock and a synchronisation are nothing
PAIRS = (8, 80)  # of blocks, at least and at most
LEVEL = 0.95  # at least, of the interval


def step_cost(
    spec: RunSpec,
    data: ImageData,
    execution: Execution,
    device: torch.device,
    corrupt: CorruptImages | None = None,
) -> dict[str, Any]:
    """Seconds per step with the run's regulariser and without, in alternating blocks of steps.

    A step is that of pretraining (`Trainer`): its views, both passes, the loss and the optimiser; without the
    live measurements. The networks, one set of them, begin as the run's do and are trained by all steps, of
    either kind, along the run's schedule, so that both kinds find the same weights, at the same place in
    memory; the regulariser takes part from the first step on. One block of each kind is a pair, and the order
    within pairs alternates. A run without a regulariser has blocks of one kind, and few of them.

    Args:
        data: its training split alone is used.
        device: this rank's.

    Returns:
        {"seconds_with", "seconds_without": medians over blocks; "ratio": the median of the pairs' ratios;
        "ratio_low", "ratio_high", "level": of `median_interval`; "pairs", "steps_per_block", "warm_up_steps";
        "block_seconds_with", "block_seconds_without", "first": of each pair; "peak_memory_bytes_with",
        "peak_memory_bytes_without": the most that was allocated on this rank's GPU, None on a CPU}; a run
        without a regulariser has None where others have values with it, and ratio 1 without an interval.

    Raises:
        LdregError: as `pretrain`.
    """
    split = split_on_device(data.train, spec, device)
    stream = _stream(spec, data, split, execution, device, corrupt)
    trainer = Trainer(spec, split.channels, execution, device)
    trainer.model.train()
    kinds = KINDS[1:] if spec.regularizer == "none" else KINDS
    memory = dict.fromkeys(KINDS, 0)

    def block(kind: str, steps: int) -> float:
        """Seconds per step."""
        began = _now(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        for _ in range(steps):
            epoch, progress, batch = next(stream)
            try:
                trainer.step(batch.inputs, progress, regularized=kind == "with")
            except ValueError as error:
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
    """Steps of a block, and how many blocks of each kind; one step of each of `kinds` takes `seconds`.

    As many as fit into `BUDGET`, an even number, so that either kind is as often the first; one kind has
    nothing to be compared with, and the fewest.

    >>> planned(0.13, 2), planned(1.0, 2), planned(3.2, 2), planned(0.004, 2), planned(0.065, 1)
    ((2, 30), (1, 8), (1, 8), (50, 40), (2, 8))
    """
    steps = max(1, math.ceil(BLOCK * kinds / seconds))
    if kinds == 1:
        return steps, PAIRS[0]
    fitting = int(BUDGET / (steps * seconds)) // 2 * 2
    return steps, min(max(fitting, PAIRS[0]), PAIRS[1])


def median_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Bounds of the median of what `values` are drawn from, whatever its distribution, and their exact level.

    The bounds are the d-th lowest and the d-th highest value, with the greatest d whose level, 1 - 2 P(X < d)
    for X binomial (n, 1/2), is at least `level`. Fewer than 6 values have no such d; theirs is 1.

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
    """The run's batches in their order with the epoch and what is done then, from its first epoch on."""
    steps = steps_of_epoch(spec, data)
    for epoch in cycle(range(spec.epochs)):
        found = batches(split, spec, epoch, steps, execution.workers, device, corrupt)
        for step, batch in enumerate(found):
            yield epoch, epoch + step / steps, batch


def _now(device: torch.device) -> float:
    """The clock, when the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _agreed(steps: int, pairs: int, device: torch.device) -> tuple[int, int]:
    """Rank 0's plan, for all ranks: each must take part in every step."""
    if world_size() == 1:
        return steps, pairs
    plan = torch.tensor([steps, pairs], device=device)
    dist.broadcast(plan, src=0)
    steps, pairs = plan.tolist()
    return steps, pairs
