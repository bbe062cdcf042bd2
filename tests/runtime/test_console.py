import io
import subprocess
import sys

import pytest

from ldreg.errors import LdregError
from ldreg.runtime.console import Progress, logging_to, say

JOB = """
import os, subprocess, sys
from pathlib import Path
from ldreg.runtime.console import logging_to, say
with logging_to({path}) as terminal:
    print("from print")
    print("from stderr", file=sys.stderr)
    os.write(1, b"from the descriptor\\n")
    subprocess.run(["echo", "from a subprocess"])
    subprocess.run("echo from its stderr >&2", shell=True)
    say(terminal, "essential")
print("afterwards")
print("afterwards too", file=sys.stderr)
"""
INNER = ["from print", "from stderr", "from the descriptor", "from a subprocess", "from its stderr"]


def run_job(path):
    """A process of its own, since pytest has taken this one's output already."""
    return subprocess.run(
        [sys.executable, "-c", JOB.format(path=path)], capture_output=True, text=True, check=True
    )


def test_all_output_goes_to_the_log_and_the_essentials_also_to_the_terminal(tmp_path):
    path = tmp_path / "logs/job.log"
    path.parent.mkdir()
    path.write_text("of an earlier attempt\n")
    done = run_job(f"Path({str(path)!r})")
    lines = path.read_text().splitlines()
    assert lines[0] == "of an earlier attempt"
    assert sorted(lines[1:]) == sorted([*INNER, "essential"])
    assert done.stdout == "afterwards\n"
    assert done.stderr == "essential\nafterwards too\n"


def test_without_a_log_everything_stays_where_it_is():
    done = run_job(None)
    assert sorted((done.stdout + done.stderr).splitlines()) == sorted(
        [*INNER, "essential", "afterwards", "afterwards too"]
    )


def test_a_terminal_that_has_gone_away_costs_nothing(tmp_path):
    job = """
import sys
from pathlib import Path
from ldreg.runtime.console import Progress, logging_to, say
with logging_to(Path(sys.argv[1])) as terminal:
    say(terminal, "essential")
    Progress(terminal, "run", epochs=1)({"epoch": 1, "loss": 1.0, "mlid": 2.0})
"""
    path = tmp_path / "job.log"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", job, path], stderr=full)
    assert done.returncode == 0
    assert [line.split()[0] for line in path.read_text().splitlines()] == ["essential", "run"]


def test_output_comes_back_after_an_error(tmp_path, capfd):
    with pytest.raises(KeyboardInterrupt), logging_to(tmp_path / "job.log") as terminal:
        print("essential", file=terminal)
        subprocess.run(["echo", "inside"], check=True)
        raise KeyboardInterrupt
    subprocess.run(["echo", "outside"], check=True)
    assert capfd.readouterr() == ("outside\n", "essential\n")
    assert (tmp_path / "job.log").read_text() == "inside\n"


@pytest.mark.parametrize("name", ["file/job.log", "folder"])
def test_a_log_that_cannot_be_written_is_told(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    with pytest.raises(LdregError) as caught, logging_to(path):
        raise AssertionError("the block must not run")
    assert str(caught.value).startswith(f"{path}: the log cannot be written: ")
    assert "\n" not in str(caught.value)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    times = [100.0]
    monkeypatch.setattr("ldreg.runtime.console.time.monotonic", lambda: times[0])
    return times


def row(epoch):
    return {"epoch": epoch, "loss": 3.14159, "mlid": 5.9371}


def test_progress_tells_how_far_and_how_long(clock, capsys):
    progress = Progress(sys.stderr, "simclr-small_cnn/none/seed0", epochs=8)
    for epoch, now in ((2, 130.0), (8, 7300.0)):
        clock[0] = now
        progress(row(epoch))
    half, end = capsys.readouterr().err.splitlines()
    bar = "████░░░░░░░░░░░░"
    assert half.split("  ")[0].rstrip() == "simclr-small_cnn/none/seed0"
    assert half.endswith(f" {bar} 2/8 epochs  loss 3.14  mLID 5.94  1:30 left")
    assert end.endswith(f" {'█' * 16} 8/8 epochs  loss 3.14  mLID 5.94  took 2:00:00")


def test_progress_leaves_out_what_an_epoch_did_not_measure(capsys):
    Progress(sys.stderr, "run", epochs=1)({**row(1), "mlid": None})
    assert "loss 3.14  took" in capsys.readouterr().err


def test_progress_spares_the_terminal_but_not_the_log(clock, capsys):
    terminal = io.StringIO()
    progress = Progress(terminal, "run", epochs=10)
    for epoch in range(1, 11):
        clock[0] += 2.0
        progress(row(epoch))
    logged = capsys.readouterr().err.splitlines()
    assert len(logged) == 10
    # Every 5 seconds, which is every third epoch, and at the end.
    assert terminal.getvalue().splitlines() == [logged[2], logged[5], logged[8], logged[9]]


def test_say_tells_once_where_log_and_terminal_are_one(capsys):
    terminal = io.StringIO()
    say(terminal, "a line")
    say(sys.stderr, "another")
    assert terminal.getvalue() == "a line\n"
    assert capsys.readouterr().err == "a line\nanother\n"
