"""The commit of the repository and the versions of packages, for the record of a job."""

import subprocess
from functools import lru_cache
from importlib.metadata import version


@lru_cache
def git_state() -> tuple[str, bool]:
    """Return the commit of the current repository, and whether tracked files have changed since.

    Returns ("unknown", False) if git is missing or there is no repository with a commit. The result is
    cached.
    """
    try:
        commit, changes = (
            subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown", False
    return commit.strip(), bool(changes.strip())


def git_tags() -> dict[str, str | bool]:
    """Return `git_state` as a dictionary with the keys of result files and MLflow tags."""
    commit, dirty = git_state()
    return {"git_commit": commit, "git_dirty": dirty}


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect results."""
    return {package: version(package) for package in ("ldreg", "torch", "torchvision")}
