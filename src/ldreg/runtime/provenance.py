"""By which code something was computed: the repository's commit and the versions of packages."""

import subprocess
from functools import lru_cache
from importlib.metadata import version


@lru_cache
def git_state() -> tuple[str, bool]:
    """Commit of the working directory's repository, and whether tracked files differ from it.

    ("unknown", False) outside a repository, in one without commits, and without git. Asked once per process.
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
    """`git_state` under the names that files and MLflow's tags share: git_commit and git_dirty."""
    commit, dirty = git_state()
    return {"git_commit": commit, "git_dirty": dirty}


def versions() -> dict[str, str]:
    """The versions of the packages that results may depend on."""
    return {package: version(package) for package in ("ldreg", "torch", "torchvision")}
