"""Faults of what a run stands on: the disk, the clock, the tracking server, and a second Snakemake."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from folder import Folder, Outcome
from kills import KINDS, doubled, wait_for_orphans

# What a trial makes again: pretraining and measuring of both runs, and what shows them.
TARGETS = ("table1_simclr", "figure5")
REMOVED = tuple(pattern for kind in ("pretraining", "measuring") for pattern in KINDS[kind].removed) + tuple(
    f"exhibits/{name}.[!s]*" for name in TARGETS
)
DAY = 86_400
# Every Python process sees the clock fall back by a day in its third second.
CLOCK = """\
import time
_clock, _clock_ns, _began = time.time, time.time_ns, time.monotonic()
def _late(): return time.monotonic() > _began + 2
time.time = lambda: _clock() - 86400 * _late()
time.time_ns = lambda: _clock_ns() - 86400 * 10**9 * _late()
"""


def _mount(*arguments: str) -> bool:
    """Whether this machine lets us mount."""
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


@contextmanager
def _mounted(folder: Path, *arguments: str) -> Iterator[bool]:
    """A file system over a folder for as long as the block; yields whether that is allowed."""
    done = _mount(*arguments)
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _report(
    folder: Folder, expected: dict[str, str], how: str, first: Outcome, second: Outcome
) -> dict[str, Any]:
    """What a fault was answered by, and whether the same command then came to the same results."""
    wait_for_orphans(folder)
    found = folder.contents()
    wrong = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
    if second.code:
        wrong.append(second.told[-2000:])
    errors = [
        line for line in first.told.splitlines() if line.startswith(("error: ", "OSError", "warning: "))
    ]
    return {
        "how": how,
        "first_code": first.code,
        "told": list(dict.fromkeys(errors))[:4],
        "again_seconds": round(second.seconds, 1),
        "equal": not wrong,
        "wrong": wrong,
        "tracking": doubled(folder),
    }


def full_disk(folder: Folder, expected: dict[str, str]) -> dict[str, Any]:
    """The disk is full while runs are trained; then there is room again."""
    folder.remove(*REMOVED)
    results = folder.path / "results"
    kept = folder.path / "kept"
    results.rename(kept)
    results.mkdir()
    used = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    size = f"size={used // 1024 + 600}k"
    with _mounted(results, "-t", "tmpfs", "-o", size, "none", str(results)) as real:
        subprocess.run(["cp", "-a", f"{kept}/.", results], check=True)
        # Else the kernel ends every file at 16 kB, which programs are told as an error of the disk too.
        first = folder.run("--keep-going", *TARGETS, prefix=() if real else ("prlimit", "--fsize=16384"))
        if real:
            assert _mount("-o", "remount,size=200m", str(results))
        second = folder.again(*TARGETS)
        how = "a file system that is full" if real else "files end at 16 kB"
        return _report(folder, expected, how, first, second)


def read_only(folder: Folder, expected: dict[str, str]) -> dict[str, Any]:
    """Nothing can be written to the results; then it can."""
    folder.remove(*REMOVED)
    results = str(folder.path / "results")
    with _mounted(Path(results), "--bind", results, results) as real:
        real = real and _mount("-o", "remount,bind,ro", results)
        if not real:
            subprocess.run(["chmod", "-R", "a-w", results], check=True)
        first = folder.run(*TARGETS)
        if real:
            assert _mount("-o", "remount,bind,rw", results)
        else:
            subprocess.run(["chmod", "-R", "u+w", results], check=True)
        how = "a file system that is read-only" if real else "folders without the right to write"
        return _report(folder, expected, how, first, folder.again(*TARGETS))


def clock_set_back(folder: Folder, expected: dict[str, str]) -> dict[str, Any]:
    """The clock falls back by a day while jobs run; what was made before is then of tomorrow."""
    folder.remove(*REMOVED)
    patch = folder.path / "clock"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(CLOCK)
    places = os.pathsep.join([str(patch), os.environ.get("PYTHONPATH", "")])
    first = folder.run(*TARGETS, PYTHONPATH=places)
    for path in folder.results.glob("runs/**/*"):
        if path.is_file():
            os.utime(path, (time.time() + DAY, time.time() + DAY))
    second = folder.again(*TARGETS)
    return _report(folder, expected, "each process's clock, and the times of files", first, second)


def two_at_once(folder: Folder, expected: dict[str, str]) -> dict[str, Any]:
    """The same command in two terminals."""
    folder.remove(*REMOVED)
    one = folder.start(*TARGETS)
    time.sleep(1.0)
    two = folder.finish(folder.start(*TARGETS))
    folder.finish(one)
    return _report(folder, expected, "the second begins a second later", two, folder.again(*TARGETS))


def server_gone(folder: Folder, expected: dict[str, str]) -> dict[str, Any]:
    """MLflow's server dies while runs are trained; when it is there again, the runs are logged."""
    folder.remove(*REMOVED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    database = folder.path / "server.db"
    with _server(folder.path, database, port) as server:
        process = folder.start(*TARGETS, MLFLOW_TRACKING_URI=uri)
        while not folder.processes("ldreg pretrain") and process.poll() is None:
            time.sleep(0.05)
        time.sleep(4.0)
        server.kill()
        first = folder.finish(process)
    with _server(folder.path, database, port):
        second = folder.again(*TARGETS, MLFLOW_TRACKING_URI=uri)
        folder.ldreg("track", "results/faults", MLFLOW_TRACKING_URI=uri)
    found = _report(folder, expected, "SIGKILL of a server on loopback", first, second)
    runs = folder.tracked(database)
    finished = {run["name"] for run in runs if run["status"] == "FINISHED"}
    missing = {run["name"] for run in folder.tracked()} - finished
    return {
        **found,
        "tracking": [*doubled(folder, database), *(f"{name}: missing" for name in sorted(missing))],
    }


@contextmanager
def _server(folder: Path, database: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "1"]
    with (folder / "server.log").open("a") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.2)
        yield server
    finally:
        os.killpg(server.pid, 9)
        server.wait()


FAULTS: dict[str, Callable[[Folder, dict[str, str]], dict[str, Any]]] = {
    each.__name__: each for each in (full_disk, read_only, clock_set_back, two_at_once, server_gone)
}
