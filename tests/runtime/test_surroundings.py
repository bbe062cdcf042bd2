"""Programs, temporary folders and users that a process may find itself with."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ldreg.cli import main
from ldreg.runtime import surroundings
from ldreg.runtime.surroundings import LONGEST_TEMPORARY, path_with, settle_temporary_folder, too_long

WORKERS = """
import sys
from ldreg.runtime.surroundings import settle_temporary_folder
if sys.argv[1] == "settled":
    settle_temporary_folder()
import torch
from torch.utils.data import DataLoader
if __name__ == "__main__":
    loader = DataLoader(torch.arange(4), batch_size=2, num_workers=1, multiprocessing_context="forkserver")
    print(torch.cat(list(loader)).tolist())
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The folder of an interpreter that has the program `ldreg` beside it."""
    folder = tmp_path / "of an environment"
    folder.mkdir()
    (folder / "ldreg").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


def test_the_program_of_this_environment_is_found_first(program):
    assert path_with("ldreg", {"PATH": "/usr/bin:/bin"}) == f"{program}:/usr/bin:/bin"
    activated = {"PATH": f"{program}:/usr/bin"}
    assert path_with("ldreg", activated) == activated["PATH"]
    assert path_with("ldreg", {"PATH": f"/usr/bin:{program}"}).split(":")[0] == str(program)
    assert path_with("ldreg", {}) == f"{program}:{os.defpath}"


def test_a_program_that_is_nowhere_changes_nothing(program):
    assert path_with("nonsense", {"PATH": "/usr/bin"}) == "/usr/bin"


@pytest.fixture
def temporary(monkeypatch):
    """`temporary(folder)`: the user's TMPDIR, which tempfile has not looked at yet."""

    def set_folder(folder):
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)

    return set_folder


def test_a_long_temporary_folder_is_replaced_by_a_short_one(temporary, tmp_path):
    folder = tmp_path / ("x" * LONGEST_TEMPORARY)
    folder.mkdir()
    temporary(folder)
    settle_temporary_folder()
    assert os.environ["TMPDIR"] == tempfile.gettempdir() != str(folder)
    assert len(os.environ["TMPDIR"]) <= LONGEST_TEMPORARY


def test_a_folder_that_is_fine_stays(temporary, tmp_path, monkeypatch):
    monkeypatch.setattr(surroundings, "LONGEST_TEMPORARY", len(str(tmp_path)))
    temporary(tmp_path)
    settle_temporary_folder()
    assert os.environ["TMPDIR"] == tempfile.gettempdir() == str(tmp_path)


def test_a_folder_that_cannot_be_written_is_replaced_for_every_library(temporary, tmp_path):
    temporary(tmp_path / "missing")
    settle_temporary_folder()
    assert os.environ["TMPDIR"] == tempfile.gettempdir() != str(tmp_path / "missing")


def test_where_nothing_can_be_written_nothing_is_changed(temporary, tmp_path, monkeypatch):
    temporary(tmp_path / "missing")

    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    settle_temporary_folder()
    assert os.environ["TMPDIR"] == str(tmp_path / "missing")


def test_workers_start_with_a_long_temporary_folder(tmp_path):
    folder = tmp_path / ("x" * 108)
    folder.mkdir()
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)

    def run(how):
        command = [sys.executable, script, how]
        return subprocess.run(
            command, env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True
        )

    assert "AF_UNIX path too long" in run("as it is").stderr
    assert run("settled").stdout == "[0, 1, 2, 3]\n"


@pytest.mark.parametrize("name, longest", [("x" * 300, 300), ("/".join(["y" * 200] * 25), 200)])
def test_too_long_a_path_is_told_in_one_line(tmp_path, monkeypatch, capsys, name, longest):
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).stat()
    except OSError as error:
        told = too_long(error)
    assert told.startswith(
        f"{name[:60]}...: too long a path ({len(name)} bytes, of which one name has {longest})"
    )
    assert "\n" not in told and len(told) < 300
    assert too_long(FileNotFoundError(errno.ENOENT, "no", name)) is None
    monkeypatch.setitem(
        main.__globals__["_parser"].__globals__["COMMANDS"], "show", lambda *_: Path(name).stat()
    )
    assert main(["show", "results"]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


def test_a_user_without_home_and_name_can_train(tmp_path, data_root, tiny_spec):
    """As in a container that is started with a number for its user."""
    from ldreg.config.run_spec import write_spec

    write_spec(tmp_path / "run/spec.yaml", tiny_spec(), "simclr-small_cnn/none/seed0")
    (tmp_path / "nobody.py").write_text(
        "import os, pwd, sys\n"
        "def unknown(uid):\n"
        "    raise KeyError(f'getpwuid(): uid not found: {uid}')\n"
        "pwd.getpwuid = unknown\n"
        "os.getuid = lambda: 12345\n"
        "from ldreg.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    data = str(data_root / "digits/dataset.json")
    command = [sys.executable, "nobody.py", "pretrain", "run/spec.yaml", "--data", data]
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/encoder.safetensors").is_file()
