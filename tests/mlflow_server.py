"""A real `mlflow server` on the loopback interface, started once for many tests."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

PATIENCE = 120  # seconds; the server imports for several


@contextmanager
def serving(folder: Path, database: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Yield the address of a server with its database and artifacts in `folder`, and the folder.

    `database` is an empty one, whose copy saves the server seconds. The test is skipped, with the reason, if
    the server does not start.
    """
    if database:
        shutil.copy(database, folder / "server.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, env=kept, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(process, uri, folder / "server.log")
        yield uri, folder
    finally:
        # The server has workers, which its own end does not always reach.
        os.killpg(process.pid, 9)
        process.wait()


def _wait(process: subprocess.Popen[bytes], uri: str, log: Path) -> None:
    for _ in range(PATIENCE * 5):
        try:
            with urlopen(f"{uri}/health", timeout=5):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    pytest.skip(f"mlflow server does not start here: {log.read_text()[-500:]}")
