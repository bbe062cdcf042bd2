"""`ldreg queue`: a scale's runs in the order of their value, on borrowed time and without Snakemake."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from ldreg.errors import LdregError
from ldreg.files import write_json
from ldreg.runtime.console import say
from ldreg.runtime.gpus import check_gpus, claimed_gpus, visible_gpus
from ldreg.runtime.slices import UNFINISHED, handled_by
from ldreg.workflow.inputs import write_inputs
from ldreg.workflow.queued import Agenda, QueuedJob, agenda
from ldreg.workflow.scale import Scale
from ldreg.workflow.side_by_side import side_by_side

FILE = "queue.json"  # in results/<scale>, while a queue works there
_TICK = 0.1  # seconds between two looks at the jobs
_RESERVE, _SHARE = 60.0, 0.05  # seconds, and share of the budget, kept free at its end for closing, at most
_DEATH = 1  # PR_SET_PDEATHSIG of Linux
PROGRAM = (sys.executable, "-m", "ldreg.cli")
Lane = dict[str, str]  # the environment variables that give a job its GPUs


def queue(
    scale_file: Path,
    results: Path,
    targets: Sequence[str],
    terminal: TextIO,
    budget: float | None = None,
    beside: int | None = None,
) -> int:
    """Train and measure the runs of the targets until all are finished or the time is over.

    Args:
        scale_file: such as config/cifar10.yaml.
        results: the folder that all scales share.
        targets: `core`, `all` or names of exhibits.
        terminal: receives the progress.
        budget: seconds after which all jobs are ended, those that can with a checkpoint; None: no limit.
        beside: jobs side by side on a GPU, or on the CPU; None measures on a GPU what is fastest, and on the
            CPU takes as many as its cores allow.

    Returns:
        The exit status: 0 if all is finished, 75 if the queue was ended before, 1 if a job failed.

    Raises:
        LdregError: a mistake in the scale or the targets, data that are not prepared, or too few GPUs.
    """
    began, scale = time.monotonic(), Scale.read(scale_file)
    execution = scale.content.execution
    if execution.nodes > 1:
        raise LdregError(
            f"{scale_file}: execution.nodes: {execution.nodes} is not allowed with the queue, which works on"
            " one machine; allowed: 1"
        )
    write_inputs(scale, results)
    todo = agenda(scale, results, targets)
    for line in todo.left_out:
        say(terminal, f"queue: {line}")
    if not todo.jobs:
        say(terminal, f"queue: nothing to be done; {todo.finished} runs are finished")
        return 0
    check_gpus(execution.gpus)
    with claimed_gpus(len(visible_gpus()) // execution.gpus * execution.gpus if execution.gpus else 0):
        number = beside or side_by_side(scale, results, todo.jobs, terminal)
        work = Work(todo, _lanes(execution.gpus, number), results / scale.name, terminal)
        return work.until(began + budget if budget else None, budget or 0.0)


def _lanes(gpus: int, beside: int) -> list[Lane]:
    """The places for jobs: `beside` on each group of as many GPUs as a run takes, or on the CPU."""
    if gpus == 0:
        return [{} for _ in range(beside)]
    visible = visible_gpus()
    groups = [",".join(visible[at : at + gpus]) for at in range(0, len(visible) - gpus + 1, gpus)]
    # The job takes these GPUs as they are: the queue holds the claim on them.
    lane_of = [{"CUDA_VISIBLE_DEVICES": group, "LDREG_CLAIMED_GPUS": group} for group in groups]
    return lane_of * (beside if gpus == 1 else 1)


@dataclass
class Running:
    """A job that runs, and since when."""

    job: QueuedJob
    lane: int
    process: subprocess.Popen[bytes]
    began: float


@dataclass
class Work:
    """The jobs of a queue at work."""

    agenda: Agenda
    lanes: list[Lane]
    folder: Path
    terminal: TextIO
    running: list[Running] = field(default_factory=list)
    stopped: str | None = None  # why the queue ends before its jobs are done
    failed: list[str] = field(default_factory=list)
    done: int = 0

    def __post_init__(self) -> None:
        self.waiting = list(self.agenda.jobs)
        self.took: dict[str, float] = {}  # the longest time of a job of each kind that was finished
        self.asked = False  # whether the running jobs have been asked to end
        self.interrupts = 0

    def until(self, end: float | None, budget: float) -> int:
        """Run the jobs until `end` by the monotonic clock; returns the exit status of `queue`."""
        last = None if end is None else end - min(_RESERVE, _SHARE * budget)
        total = len(self.waiting)
        say(self.terminal, f"queue: {total} jobs, {len(self.lanes)} at a time")
        with self._listening():
            while True:
                self._reap()
                left = None if last is None else last - time.monotonic()
                if left is not None and left <= 0:
                    self._stop("the budget")
                    if end is not None and time.monotonic() > end:
                        self._signal(signal.SIGKILL)  # the last checkpoint stays
                if not self.stopped:
                    self._start(left, end)
                if not self.running:
                    break
                time.sleep(_TICK)
        (self.folder / FILE).unlink(missing_ok=True)
        return self._conclude(total)

    def _start(self, left: float | None, end: float | None) -> None:
        """Start jobs in their order, as many as there is room for."""
        while len(self.running) < len(self.lanes) and not any(each.job.alone for each in self.running):
            job = next((job for job in self.waiting if self._may_start(job, left)), None)
            if job is None:
                break
            self.waiting.remove(job)
            used = {each.lane for each in self.running}
            lane = next(place for place in range(len(self.lanes)) if place not in used)
            limit = ["--budget", f"{left:.1f}s"] if job.resumes and left is not None else []
            command = [*PROGRAM, *job.command, *limit]
            process = subprocess.Popen(
                command,
                env=os.environ | self.lanes[lane],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the queue alone, which passes it on once
                preexec_fn=_end_with_parent,
            )
            say(self.terminal, f"queue: begins {job.name} ({self.done} of {len(self.agenda.jobs)} done)")
            self.running.append(Running(job, lane, process, time.monotonic()))
            self._note(end)

    def _may_start(self, job: QueuedJob, left: float | None) -> bool:
        if not job.ready or (job.alone and self.running):
            return False
        # What cannot be continued should have the time that such a job took before.
        return left is None or job.resumes or left > self.took.get(job.kind, 0.0)

    def _reap(self) -> None:
        """Take note of the jobs that have ended."""
        for each in list(self.running):
            status = each.process.poll()
            if status is None:
                continue
            self.running.remove(each)
            seconds = time.monotonic() - each.began
            if status == 0:
                self.done += 1
                self.took[each.job.kind] = max(seconds, self.took.get(each.job.kind, 0.0))
                say(self.terminal, f"queue: finished {each.job.name} in {seconds:.0f} s")
            elif self.stopped or status == UNFINISHED:
                # It has ended itself before the budget is over: what is begun now would not get far.
                self.stopped = self.stopped or "the budget"
                say(self.terminal, f"queue: stopped {each.job.name}, which goes on when it is queued again")
            else:
                self.failed.append(each.job.name)
                log = each.job.command[each.job.command.index("--log") + 1]
                say(self.terminal, f"queue: {each.job.name} failed (status {status}); see {log}")

    def _stop(self, why: str) -> None:
        """Ask all running jobs to end, once."""
        self.stopped = self.stopped or why
        if not self.asked:
            self.asked = True
            self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        for each in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.process.pid, number)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """End the jobs at SIGTERM, SIGUSR1 and Ctrl-C; a second Ctrl-C ends them at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            self.interrupts += number == signal.SIGINT
            if self.interrupts > 1:
                self._signal(signal.SIGKILL)
            self._stop(signal.Signals(number).name)

        with handled_by(ask):
            yield

    def _note(self, end: float | None) -> None:
        """Write down what the queue does, for `describe`."""
        left = None if end is None else end - time.monotonic()
        content = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "ends": None if left is None else time.time() + left,
            "running": [each.job.name for each in self.running],
            "waiting": [job.name for job in self.waiting],
            "done": self.done,
            "failed": self.failed,
        }
        write_json(self.folder / FILE, content)

    def _conclude(self, total: int) -> int:
        """Say what was done; returns the exit status."""
        line = f"queue: {self.done} of {total} jobs finished"
        if self.failed:
            line += f", {len(self.failed)} failed"
        if self.stopped:
            say(self.terminal, f"{line}, ended by {self.stopped}; the same command goes on")
            return UNFINISHED
        say(self.terminal, line)
        if self.failed:
            return 1
        return UNFINISHED if self.done < total else 0


def describe(folder: Path) -> list[str]:
    """What a queue does in results/<scale> now, a line each; empty if none works there.

    A queue that was killed leaves its file, which is told from a living one by its process on this machine.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["host"] == socket.gethostname() and not Path(f"/proc/{content['pid']}").exists():
        return []
    lines = [f"queue on {content['host']} (process {content['pid']}): {content['done']} jobs done,"]
    lines[0] += f" {len(content['waiting'])} waiting"
    return [*lines, *(f"  {name}" for name in content["running"])]


def _end_with_parent() -> None:
    """Have Linux end this job, as by SIGTERM, when the queue is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DEATH, signal.SIGTERM)
