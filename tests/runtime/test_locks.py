import errno
import fcntl
import subprocess
import sys
import threading

import pytest

from ldreg.runtime.locks import host_lock, locked

COUNT = """
import sys, time
from pathlib import Path
from ldreg.runtime.locks import locked
counter = Path(sys.argv[1])
for _ in range(20):
    with locked(counter.with_name("lock")):
        value = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(value + 1))
        if sys.argv[2] == "remove":
            counter.with_name("lock").unlink(missing_ok=True)
"""


def test_one_holder_at_a_time(tmp_path):
    first = host_lock(f"a {tmp_path}")
    assert host_lock(f"a {tmp_path}") is None
    other = host_lock(f"b {tmp_path}")
    assert other is not None
    first.close()
    again = host_lock(f"a {tmp_path}")
    assert again is not None
    again.close(), other.close()


@pytest.mark.parametrize("cleaner", ["keep", "remove"])
def test_processes_take_turns_even_if_a_cleaner_removes_the_file(tmp_path, cleaner):
    counter = tmp_path / "counter"
    counter.write_text("0")
    jobs = [subprocess.Popen([sys.executable, "-c", COUNT, counter, cleaner]) for _ in range(3)]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0, 0]
    assert counter.read_text() == "60"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_file_systems_without_flock(tmp_path, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)
    entered = []

    def enter():
        with locked(tmp_path / "lock"):
            entered.append("second")

    with locked(tmp_path / "lock"):
        second = threading.Thread(target=enter)
        second.start()
        second.join(timeout=0.2)
        assert not entered
    second.join(timeout=60)
    assert entered == ["second"]


def test_other_errors_of_flock_are_told(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.EDEADLK, "deadlock")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="deadlock"), locked(tmp_path / "lock"):
        raise AssertionError("the block must not run")
