"""Jobs that are really killed (SIGKILL) at a chosen moment, in a forked process that spares the imports."""

import csv
import json
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ldreg.runtime.resumption import Resumption
from ldreg.runtime.slices import UNFINISHED, SliceEnded

TIMES = ("images_per_second", "wall_seconds")


def run_killed(job: Callable[[], Any], where: str = "") -> int:
    """Run `job` in a child process; returns its exit status, or minus the signal that ended it.

    Args:
        job: what the child does.
        where: when a signal comes: "step 4" at the end of the fourth step of this process, before anything is
            saved, "write 3" before the third file gets its name. It is SIGKILL, or that of a third word.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.MonkeyPatch.context() as patch:
                if where:
                    _arm(patch, *where.split())
                job()
            status = 0
        except SliceEnded as ended:
            print(ended)
            status = UNFINISHED
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(patch: pytest.MonkeyPatch, what: str, number: str, name: str = "SIGKILL") -> None:
    seen = {"step": 0, "write": 0}

    def counting(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            seen[kind] += 1
            if kind == what and seen[kind] == int(number):
                os.kill(os.getpid(), signal.Signals[name])
            return function(*arguments)

        return counted

    patch.setattr(Resumption, "after_step", counting("step", Resumption.after_step))
    patch.setattr(os, "replace", counting("write", os.replace))


def contents(folder: Path, but: Sequence[str] = TIMES) -> dict[str, Any]:
    """The files of a run folder: JSON and CSV without what tells the time, all others as bytes."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: timeless(each) for key, each in value.items() if key not in but}
        return [timeless(each) for each in value] if isinstance(value, list) else value

    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            found[name] = timeless(json.loads(path.read_text()))
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                found[name] = timeless(list(csv.DictReader(file)))
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
