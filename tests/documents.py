"""What the README and the documentation show: their code blocks, and the commands in their text."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# What people read. Exhibits in docs/demo and docs/cifar10_cpu are what the workflow made.
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md", "results/README.md")),
    *sorted(path for folder in ("docs", "docs/reference") for path in (ROOT / folder).glob("*.md")),
)
# A name of one of these at the beginning of inline code makes it a command; alone it is the program's name.
PROGRAMS = ("ldreg", "make", "mlflow", "pip", "pytest", "python", "ruff", "snakemake", "srun")


class Block(NamedTuple):
    """A fenced block of code."""

    page: str  # relative to the repository
    language: str
    text: str


class Command(NamedTuple):
    """One command line, as words; without comments, redirections and what follows them."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


@cache
def blocks() -> tuple[Block, ...]:
    """Every fenced block of every page, without the indentation of a list it stands in."""
    return tuple(block for path in PAGES for block in _blocks(path))


def _blocks(path: Path) -> Iterator[Block]:
    page = str(path.relative_to(ROOT))
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.M | re.S)
    for indent, language, text in found:
        yield Block(page, language, re.sub(rf"^{indent}", "", text, flags=re.M))


def prose(path: Path) -> str:
    """A page's text without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


@cache
def commands() -> tuple[Command, ...]:
    """Every command of every page, in blocks of `sh` and in inline code, each once."""
    found = [
        Command(block.page, _words(line))
        for block in blocks()
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
        if _words(line)
    ]
    for path in PAGES:
        for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(path)):
            program, *rest = code.split()
            if program in PROGRAMS and (rest or program == "snakemake"):
                found.append(Command(str(path.relative_to(ROOT)), _words(" ".join(code.split()))))
    return tuple({command.words: command for command in reversed(found)}.values())[::-1]


def _words(line: str) -> tuple[str, ...]:
    words = shlex.split(line, comments=True)
    end = next((place for place, word in enumerate(words) if word in (">", ">>")), len(words))
    return tuple(words[:end])
