"""How many jobs the queue runs side by side: as many as make the whole faster, which is measured on a GPU."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from ldreg.config.execution import Execution
from ldreg.files import read_json, write_json
from ldreg.runtime.console import say
from ldreg.runtime.container import available_cpus
from ldreg.workflow.queued import QueuedJob
from ldreg.workflow.scale import Scale

MOST = 4  # jobs side by side on one GPU
GAIN = 1.1  # one more must raise the steps per second of all together by a tenth
_FILE = "side_by_side.json"
_PATIENCE = 300.0  # seconds for a job to load, to warm up and to be timed


def side_by_side(scale: Scale, results: Path, jobs: Sequence[QueuedJob], terminal: TextIO) -> int:
    """The number of jobs to run at the same time on a GPU, or on the CPU.

    On the CPU it is the number of cores over `execution.threads`, as with Snakemake. On a GPU, steps of the
    first pretraining in the queue are timed in one process, in two at once, and so on, until another process
    raises the steps per second of all by less than a tenth, or the memory is full. Runs of several GPUs have
    them for themselves. The answer is kept in results/<scale>/side_by_side.json.
    """
    execution = scale.content.execution
    if execution.gpus == 0:
        return max(1, available_cpus() // execution.threads)
    pretraining = next((job for job in jobs if job.kind == "pretrain"), None)
    if execution.gpus > 1 or pretraining is None:
        return 1
    spec, data = pretraining.command[1], pretraining.command[pretraining.command.index("--data") + 1]
    known, path = _about(execution), results / scale.name / _FILE
    if path.is_file() and (noted := read_json(path)).get("measured_on") == known:
        return int(noted["best"])
    rates: list[float | None] = []

    def rate(number: int) -> float | None:
        rates.append(together(spec, data, execution, number))
        shown = "no room" if rates[-1] is None else f"{rates[-1]:.1f} steps per second"
        say(terminal, f"queue: {number} side by side on one GPU: {shown}")
        return rates[-1]

    waiting = sum(job.kind == "pretrain" for job in jobs)
    best = fastest(rate, min(MOST, waiting))
    if waiting >= MOST:  # else not all numbers were tried
        write_json(path, {"measured_on": known, "steps_per_second": rates, "best": best})
    return best


def fastest(rate: Callable[[int], float | None], most: int) -> int:
    """The last number of processes that pays, from one up; `rate` gives their steps per second, all together.

    None from `rate` means that so many do not fit.

    >>> fastest({1: 10.0, 2: 16.0, 3: 17.0, 4: 30.0}.get, 4), fastest({1: 10.0, 2: None}.get, 4)
    (2, 1)
    """
    best, reached = 1, rate(1) or 0.0
    for number in range(2, most + 1):
        total = rate(number)
        if total is None or total < GAIN * reached:
            break
        best, reached = number, total
    return best


def together(spec: str, data: str, execution: Execution, number: int) -> float | None:
    """Steps per second of `number` processes that train at once (`ldreg.jobs.pace`); None if one fails."""
    command = [sys.executable, "-m", "ldreg.jobs.pace", spec, data, execution.model_dump_json()]
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": first} if first else {})
    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        for _ in range(number)
    ]
    timer = threading.Timer(_PATIENCE, lambda: [process.kill() for process in processes])
    timer.start()
    try:
        ready = [process.stdout.readline() if process.stdout else "" for process in processes]
        if not all(line == "ready\n" for line in ready):
            return None
        for process in processes:  # all are warm, and now compete
            if process.stdin:
                process.stdin.write("go\n")
                process.stdin.flush()
        found = [process.communicate()[0] for process in processes]
        return sum(map(float, found))
    except (OSError, ValueError):
        return None
    finally:
        timer.cancel()
        for process in processes:
            process.kill()
            process.wait()


def _about(execution: Execution) -> dict[str, str]:
    """What the answer holds for: the GPU, and how steps are executed."""
    import torch

    options = f"{execution.pretrain_options} --threads {execution.threads}"
    return {"device": torch.cuda.get_device_name(0), "options": options}
