"""What a process finds around it: programs, temporary folders and variables that would break its work."""

import errno
import os
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

# The longest temporary folder, in bytes. A Unix socket's path has at most 107, of which multiprocessing and
# torch add up to 34, as in `/torch-shm-dir-XXXXXX/manager.sock`.
LONGEST_TEMPORARY = 107 - 34
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


def path_with(program: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return `PATH` with the folder in front that holds `program` of this interpreter's environment.

    So a job's shell finds the program of the environment that Snakemake runs in, whether it is activated or
    not. An environment that Snakemake activates for a job (`--sdm conda`) still comes first, because that
    happens later. `PATH` stays as it is if the program is nowhere beside the interpreter.
    """
    path = environment.get("PATH", os.defpath)
    folders = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    folders.append(sysconfig.get_path("scripts", f"{os.name}_user"))
    for folder in folders:
        if os.access(Path(folder, program), os.X_OK):
            return path if path.split(os.pathsep)[0] == folder else f"{folder}{os.pathsep}{path}"
    return path


def settle_temporary_folder() -> None:
    """Make every library use a temporary folder that can be written and is short enough for sockets.

    Workers that decode images talk through Unix sockets in it. A folder that cannot be written, or too long a
    one, is replaced for this process and those that it starts. If there is no other, it stays.
    """
    try:
        usable = tempfile.gettempdir()  # passes over a TMPDIR that cannot be written
    except FileNotFoundError:
        return
    if len(os.fsencode(usable)) > LONGEST_TEMPORARY:
        folders = (os.environ.get("XDG_RUNTIME_DIR", ""), *_SHORT)
        usable = next((each for each in folders if _fits(each)), usable)
    if usable != os.environ.get("TMPDIR", usable):
        os.environ["TMPDIR"] = usable
    tempfile.tempdir = usable


def too_long(error: OSError) -> str | None:
    """Explain in one line that a path is longer than the file system allows; None for another error."""
    if error.errno != errno.ENAMETOOLONG:
        return None
    path = os.fsdecode(error.filename or "")
    longest = max((len(os.fsencode(part)) for part in path.split(os.sep)), default=0)
    return (
        f"{path[:60]}...: too long a path ({len(os.fsencode(path))} bytes, of which one name has {longest});"
        " allowed: 4095 in all and 255 for a name; work in a folder with a shorter path"
    )


def _fits(folder: str) -> bool:
    if not folder or len(os.fsencode(folder)) > LONGEST_TEMPORARY:
        return False
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
