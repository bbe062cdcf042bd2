"""Planning and dry runs answer in seconds, because they import neither torch nor pandas nor matplotlib."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Workflow = Any  # tests/workflow/conftest.py
REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pandas", "matplotlib")
# Snakemake loads its executor plugins, of which this one reads SLURM's tables with pandas, whose own imports
# go through importlib too.
NOT_OURS = {"pandas": {"pandas", "importlib", "snakemake_executor_plugin_slurm"}}

# Python runs this module before anything else: it notes which packages import the heavy ones.
SITECUSTOMIZE = f"""
import atexit, builtins, json, os

importers = {{}}
original = builtins.__import__


def noted(name, globals=None, locals=None, fromlist=(), level=0):
    package = name.partition(".")[0]
    if level == 0 and package in {HEAVY!r}:
        importers.setdefault(package, set()).add((globals or {{}}).get("__name__", "").partition(".")[0])
    return original(name, globals, locals, fromlist, level)


def write():
    with open(os.environ["IMPORTERS"], "w") as file:
        json.dump({{package: sorted(found) for package, found in importers.items()}}, file)


builtins.__import__ = noted
atexit.register(write)
"""


@pytest.mark.parametrize("scale", ["demo", "cifar10", "imagenet"])
def test_plan_imports_nothing_heavy(scale: str) -> None:
    code = (
        f"import sys; from ldreg.cli import main; status = main(['plan', 'config/{scale}.yaml']);"
        f"print(status, sorted({set(HEAVY)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["0 []"], done.stdout + done.stderr
    assert "to pretrain and to measure" in done.stdout


@pytest.mark.parametrize("scale", [None, "config/imagenet.yaml"])
def test_dry_run_imports_nothing_heavy(
    fresh_workflow: Callable[[Path], Workflow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scale: str | None,
) -> None:
    workflow = fresh_workflow(tmp_path / "ldreg")
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IMPORTERS", str(tmp_path / "importers.json"))
    assert workflow.jobs(scale=scale)["site"] == 1
    importers = json.loads((tmp_path / "importers.json").read_text())
    others = {name: set(found) - NOT_OURS.get(name, set()) for name, found in importers.items()}
    assert {name: found for name, found in others.items() if found} == {}
