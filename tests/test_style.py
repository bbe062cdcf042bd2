"""Style, types and layers: what .pre-commit-config.yaml checks, and nowhere else is said again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import SLOW, TESTS

ROOT = Path(__file__).resolve().parents[1]
HOOKS = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]
PROGRAM = """
from ldreg import LDReg, lid
LDReg(beta="much")
lid.lid_mom([1.0])
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of this environment, in the repository's folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="pre-commit lists files by git: not a clone")
@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_pre_commit_finds_nothing(hook) -> None:
    done = run("pre-commit", "run", "--all-files", hook["id"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Skipped" not in done.stdout, "a hook without files checks nothing"


def test_users_get_the_types(tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = run("mypy", "--config-file", "pyproject.toml", program)
    assert done.returncode == 1, done.stdout + done.stderr
    wrong = [line for line in done.stdout.splitlines() if "[arg-type]" in line]
    assert ["program.py:3:" in wrong[0], "program.py:4:" in wrong[1]] == [True, True]


@pytest.mark.parametrize("place", SLOW)
def test_a_place_of_slow_tests_is_one_that_there_is(place) -> None:
    assert list(TESTS.glob(f"{place.removesuffix('/')}*"))
