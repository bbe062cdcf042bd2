"""Which rank of a distributed job this process is, decided by what really started it.

Shells, notebooks and platforms leave the variables of launchers behind, such as `RANK` or `SLURM_JOB_ID`, in
processes that no launcher started. A process that took them for true would wait for ranks that do not exist.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ldreg.errors import LdregError

# What torchrun tells its ranks. The first three are those that this project reads.
_TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
_ALL_TOLD = (*_TOLD, "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"
_STEP = ("STEP_ID", "PROCID", "LOCALID", "STEP_NUM_TASKS", "JOB_ID")
# The number of the first PID namespace, in which the process ids of SLURM's variables are valid (Linux).
_FIRST_NAMESPACE = "pid:[4026531836]"
_PROC = Path("/proc")


def settle_rank(ranked: bool) -> str | None:
    """Leave torchrun's variables in the environment if this process is a rank, and remove them if it is not.

    A rank was started by torchrun, or is one of several tasks of a step of srun; its variables are then set
    from SLURM's. Everything that runs in this process or is started by it can afterwards trust the variables.

    Args:
        ranked: whether the command at hand may have several ranks. No process of another command is a rank.

    Returns:
        A remark for the user if variables of a launcher were there and are ignored by a command with ranks.

    Raises:
        LdregError: a launcher did start this process, but its variables make no sense.
    """
    if ranked and _BY_TORCHRUN in os.environ:
        _check_torchrun()
        return None
    stray = [name for name in _TOLD if name in os.environ]
    for name in (*_ALL_TOLD, *_ADDRESS):
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("TORCHELASTIC_")]:
        del os.environ[name]
    if not ranked:
        return None
    step = {name: _whole(os.environ.get(f"SLURM_{name}")) for name in _STEP}
    if (step["STEP_NUM_TASKS"] or 1) > 1:
        if None not in step.values() and "SLURM_STEP_NODELIST" in os.environ and _is_task_of_slurm():
            _become_rank({name: value for name, value in step.items() if value is not None})
            return None
        stray.append("SLURM_STEP_NUM_TASKS")
    if not stray:
        return None
    verb = "is" if len(stray) == 1 else "are"
    return f"{', '.join(stray)} {verb} ignored: neither torchrun nor srun started this process as a rank"


def is_rank() -> bool:
    """Whether this process is one of a job's ranks; valid after `settle_rank`."""
    return "RANK" in os.environ


def _check_torchrun() -> None:
    """Check what torchrun has told, since a wrapper script may have changed it."""
    for name in (*_TOLD, "MASTER_PORT"):
        value = os.environ.get(name)
        if _whole(value) is None:
            raise LdregError(
                f"{name}: {value!r} is not allowed with {_BY_TORCHRUN}; it should be a whole number"
            )
    number, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if number >= size:
        raise LdregError(f"RANK: {number} is not allowed; it should be less than WORLD_SIZE ({size})")
    if not os.environ.get("MASTER_ADDR"):
        raise LdregError(f"MASTER_ADDR: missing; torchrun sets it together with {_BY_TORCHRUN}")


def _become_rank(step: dict[str, int]) -> None:
    """Set torchrun's variables from those of a step of srun, `step`."""
    os.environ |= {
        "RANK": str(step["PROCID"]),
        "LOCAL_RANK": str(step["LOCALID"]),
        "WORLD_SIZE": str(step["STEP_NUM_TASKS"]),
        "MASTER_ADDR": _first_host(os.environ["SLURM_STEP_NODELIST"]),
        # The same for all ranks of a step. Other steps and jobs on the same node have other ports.
        "MASTER_PORT": str(20_000 + (step["JOB_ID"] + 101 * step["STEP_ID"]) % 20_000),
    }


def _first_host(hosts: str) -> str:
    """Return the first host of a list in SLURM's form, such as `n[07-08],m1`."""
    if not set(hosts) & set("[,"):
        return hosts
    try:
        command = ["scontrol", "show", "hostnames", hosts]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise LdregError(
            f"SLURM_STEP_NODELIST: {hosts!r} cannot be resolved by scontrol ({error}); start the ranks where"
            " scontrol is installed, or with torchrun"
        ) from error


def _is_task_of_slurm() -> bool:
    """Whether SLURM started this process or a parent of it, and did not merely leave its variables behind.

    A shell in tmux, for example, keeps the variables of the step that it was opened in. In a container with
    process ids of its own this cannot be known, and the variables are believed.
    """
    task = _whole(os.environ.get("SLURM_TASK_PID"))
    try:
        if task is None or os.readlink(_PROC / "self/ns/pid") != _FIRST_NAMESPACE:
            return True
        return task in _ancestors()
    except (OSError, ValueError, IndexError):
        return True


def _ancestors() -> Iterator[int]:
    """Yield the id of this process, of its parent, and so on."""
    pid = os.getpid()
    while pid > 0:
        yield pid
        # The second field is the program's name in parentheses, which may hold anything.
        pid = int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])


def _whole(text: str | None) -> int | None:
    """Return a whole number of at least 0, or None for any other text."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
