"""By which code something was computed."""

import subprocess

from ldreg.runtime.provenance import git_state


def test_git_state(tmp_path, monkeypatch):
    def state():
        git_state.cache_clear()
        return git_state()

    def git(*arguments):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert state() == ("unknown", False)
    git("init")
    assert state() == ("unknown", False)
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    assert state() == (commit, False)
    (tmp_path / "code.py").write_text("2")
    assert state() == (commit, True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state() == ("unknown", False)
    git_state.cache_clear()
