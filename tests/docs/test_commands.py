"""Every command that the README and the documentation tell people to type is run, or run dry."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from documents import ROOT, Command, blocks, commands
from snakemake.utils import update_config

from ldreg.cli.commands import COMMANDS
from ldreg.cli.parser import main
from ldreg.files import read_yaml
from ldreg.workflow.scale import Scale

BIN = Path(sys.executable).parent
COPIED = ("Snakefile", "workflow", "config", "profiles", "environment.yml")
TABLES_AND_FIGURES = tuple(read_yaml(ROOT / "config/exhibits.yaml"))
# Options of Snakemake with which a dry run says nothing that the command without them does not.
NEUTRAL = {"--cores": 1, "--resources": 1, "--dry-run": 0}


def shell(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow in which a reader has put every YAML block of the pages where it belongs."""
    folder = tmp_path_factory.mktemp("documented")
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    demo = read_yaml(folder / "config/demo.yaml")
    for block in blocks():
        if block.language != "yaml":
            continue
        if file := re.match(r"# (config/\w+\.yaml)\n", block.text):
            (folder / file[1]).write_text(block.text)
        else:
            demo["exhibits"] |= yaml.safe_load(block.text).get("exhibits", {})
    (folder / "config/demo.yaml").write_text(yaml.safe_dump(demo, sort_keys=False))
    return folder


def check_make(command: Command, folder: Path) -> None:
    done = shell([*command.words, "--dry-run"], ROOT)
    assert done.returncode == 0, done.stderr


def check_snakemake(command: Command, folder: Path) -> None:
    """Its options are Snakemake's own and its targets the scale's; it also runs dry, with the demo's scale.

    Other scales, and single exhibits of the demo, run dry in tests/workflow/test_dry_runs.py.
    """
    from snakemake.cli import parse_args, parse_config

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _, arguments = parse_args(list(command.words[1:]))
        file = Path(*arguments.configfile or [Path("config/demo.yaml")])
        content = read_yaml(file)
        update_config(content, parse_config(arguments.config))
        scale = Scale(content, str(file), Path("config"))
    assert set(arguments.targets) <= {"all", "core", *scale.exhibits}
    words = _essential(command.words)
    if not (arguments.configfile or (len(words) == 2 and words[1] in ("core", *TABLES_AND_FIGURES))):
        assert _dry_run(words, folder) == 0


def _essential(words: tuple[str, ...]) -> tuple[str, ...]:
    """A Snakemake command without neutral options, so that those that come to the same run once."""
    left, kept = list(words), []
    while left:
        word = left.pop(0)
        if word in NEUTRAL:
            del left[: NEUTRAL[word]]
        else:
            kept.append(word)
    return tuple(kept)


@cache
def _dry_run(words: tuple[str, ...], folder: Path) -> int:
    done = shell([*words, "--dry-run"], folder)
    if done.returncode:
        print(done.stdout, done.stderr)
    return done.returncode


def check_ldreg(command: Command, folder: Path) -> None:
    """Parsed by the real parser; where it is to read a file of the repository, the file is there."""
    seen: list[argparse.Namespace] = []
    name = command.words[1]
    assert name in COMMANDS
    if len(command.words) == 2:  # text that speaks of the command
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(COMMANDS, name, lambda arguments, terminal: seen.append(arguments))
        assert main(list(command.words[1:])) == 0
    assert len(seen) == 1
    for word in command.words[2:]:
        if word.startswith("config/"):
            assert (folder / word).is_file(), word


def check_srun(command: Command, folder: Path) -> None:
    assert command.words[1] == "ldreg"
    check_ldreg(Command(command.page, command.words[1:]), folder)


def check_mlflow(command: Command, folder: Path) -> None:
    from mlflow.cli import cli

    name, *options = command.words[1:]
    found = cli.get_command(click.Context(cli), name)
    assert found
    found.make_context(name, options)  # parses the options and starts nothing


def check_pip(command: Command, folder: Path) -> None:
    _, action, *rest = command.words
    if (action, *rest) == ("cache", "purge"):
        return
    assert action == "install"
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in rest:
        if word.endswith(".lock"):
            assert (ROOT / word).is_file()
        elif word not in ("-r", "-e", "--no-deps"):
            package = re.fullmatch(r"\.(?:\[([\w,]+)\])?", word)
            assert package, word
            assert set((package[1] or "").split(",")) <= {"", *known}, word


def check_python(command: Command, folder: Path) -> None:
    """Of this repository's scripts, each of which explains its options."""
    script, *rest = command.words[1:]
    done = shell([sys.executable, str(ROOT / script), "--help"], folder)
    assert done.returncode == 0, done.stderr
    for word in rest:
        assert not word.startswith("-") or word in done.stdout, word


def check_pytest(command: Command, folder: Path) -> None:
    """Where it names a file or a folder, tests are there."""
    for word in command.words[1:]:
        assert word.startswith("-") or (ROOT / word).exists(), word


def check_source(command: Command, folder: Path) -> None:
    """The environment that `make setup` makes."""
    assert command.words[1] == ".venv/bin/activate"
    assert re.search(r"^VENV \?= \.venv$", (ROOT / "Makefile").read_text(), re.M)


def check_ruff(command: Command, folder: Path) -> None:
    assert command.words[1] in ("check", "format")
    for word in command.words[2:]:
        assert word.startswith("-") or (ROOT / word).exists(), word


def check_pre_commit(command: Command, folder: Path) -> None:
    assert command.words[1] in ("install", "run")
    assert (ROOT / ".pre-commit-config.yaml").is_file()


CHECKS: dict[str, Callable[[Command, Path], Any]] = {
    "ldreg": check_ldreg,
    "make": check_make,
    "mlflow": check_mlflow,
    "pip": check_pip,
    "pre-commit": check_pre_commit,
    "pytest": check_pytest,
    "python": check_python,
    "ruff": check_ruff,
    "snakemake": check_snakemake,
    "source": check_source,
    "srun": check_srun,
}


@pytest.mark.parametrize("command", commands(), ids=str)
def test_command(command: Command, copy: Path) -> None:
    program = command.words[0]
    assert program in CHECKS, f"{command.page}: no test knows how to check `{shlex.join(command.words)}`"
    CHECKS[program](command, copy)


def test_the_pages_show_commands_of_every_kind_that_matters() -> None:
    """A page whose blocks are not found would pass all of the above."""
    shown = {command.words[:2] for command in commands()}
    assert {("make", "demo"), ("make", "demo-all"), ("make", "test"), ("make", "docs")} <= shown
    assert {("snakemake", "core"), ("ldreg", "plan"), ("ldreg", "import"), ("mlflow", "ui")} <= shown
    readme = [command for command in commands() if command.page == "README.md"]
    assert len(readme) >= 6
