"""A `kubectl` without a cluster: pretend_kubectl.py FOLDER create|get|delete ...

It checks a job's manifest as far as an API server would that knows this project's, then runs the container's
command as a process of this machine, in an empty folder and with the environment of a bare container.
"""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import yaml

# Runs the container, and writes its exit status where `get` looks for it.
RUN = """\
import subprocess, sys
code = subprocess.run(sys.argv[1:], cwd="empty").returncode
open("status", "w").write(str(code))
"""


def create(folder: Path, manifest: dict[str, Any]) -> str:
    """Start a job; returns its name."""
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    name = f"{manifest['metadata']['generateName']}{uuid.uuid4().hex[:5]}"
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    requests, limits = (container["resources"][key] for key in ("requests", "limits"))
    # Kubernetes refuses GPUs without a limit, or with another limit than request.
    assert requests["nvidia.com/gpu"] == limits["nvidia.com/gpu"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    job = folder / name
    (job / "empty").mkdir(parents=True)
    (job / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    environment = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    with (job / "log").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, "-c", RUN, *container["command"]],
            cwd=job,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (job / "pid").write_text(str(started.pid))
    return name


def conditions(folder: Path, name: str) -> str:
    """The types of a job's conditions that are true; ends with kubectl's message if there is no such job."""
    if not (folder / name / "pid").is_file():
        sys.exit(f'Error from server (NotFound): jobs.batch "{name}" not found')
    status = folder / name / "status"
    if not status.is_file() or not (told := status.read_text()):
        return ""
    return "SuccessCriteriaMet Complete" if told == "0" else "FailureTarget Failed"


def delete(folder: Path, name: str) -> None:
    """End a job's processes and forget it."""
    pid = folder / name / "pid"
    if pid.is_file():
        os.killpg(int(pid.read_text()), signal.SIGKILL)
        pid.unlink()


def main() -> None:
    """Do what the arguments say."""
    folder, verb, *arguments = sys.argv[1:]
    names = [each for each in arguments if not each.startswith("--") and each != "job"]
    if verb == "create":
        print(create(Path(folder), yaml.safe_load(sys.stdin)), end="")
    elif verb == "get":
        print(conditions(Path(folder), *names), end="")
    elif verb == "delete":
        for name in names:
            delete(Path(folder), name)
    else:
        sys.exit(f"unknown command {verb}")


if __name__ == "__main__":
    main()
