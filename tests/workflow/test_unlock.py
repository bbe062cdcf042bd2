"""The lock of a killed Snakemake is taken over, that of a living one is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldreg.errors import LdregError
from ldreg.workflow.unlock import unlock


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / ".snakemake/locks/0.input.lock"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_lock_without_a_snakemake_is_taken_over(tmp_path: Path, lock: Path) -> None:
    assert "is taken over" in unlock(tmp_path) and not lock.exists()
    assert unlock(tmp_path) is None


def test_a_living_snakemake_keeps_its_lock(tmp_path: Path, lock: Path) -> None:
    script = tmp_path / "snakemake"
    script.write_text("import time; print(flush=True); time.sleep(600)")
    with subprocess.Popen([sys.executable, script], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert unlock(tmp_path) is None and lock.exists()
        process.kill()
    assert unlock(tmp_path) is not None


def test_a_process_that_cannot_be_looked_into_counts_as_alive(tmp_path: Path, lock: Path) -> None:
    process = tmp_path / "proc/1"
    process.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir()
    (process / "cmdline").write_bytes(b"python\0/usr/bin/snakemake\0")
    (process / "cwd").mkdir()  # no link: reading it as one fails, as for another user's process
    assert unlock(tmp_path, tmp_path / "proc") is None and lock.exists()
    (process / "cwd").rmdir()
    os.symlink(tmp_path / "elsewhere", process / "cwd")
    assert unlock(tmp_path, tmp_path / "proc") is not None


def test_a_machine_that_does_not_show_its_processes_leaves_it_to_the_user(tmp_path: Path, lock: Path) -> None:
    with pytest.raises(LdregError, match=r"locks: locked; .*snakemake --unlock"):
        unlock(tmp_path, tmp_path / "nothing")
    assert lock.exists()
