"""What the README tells people to type and paste is true."""

import re
from pathlib import Path

import pytest
import yaml

from ldreg.cli import main
from ldreg.files import read_yaml
from ldreg.workflow.scale import Scale

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Fenced blocks of one language, without the indentation of a list they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_the_example_of_ones_own_training_runs_and_gives_gradients():
    (example,) = blocks("python")
    names: dict = {}
    exec(example, names)
    weight = names["encoder"][1].weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0
    assert names["loss"] < names["ssl_loss"], "LDReg subtracts beta times ln mLID, which is above zero here"


def test_the_example_of_a_sweep_is_a_scale(monkeypatch):
    (example,) = blocks("yaml")
    content = read_yaml(ROOT / "config/demo.yaml")
    content["exhibits"] |= yaml.safe_load(example)["exhibits"]
    runs = Scale(content, "README.md", ROOT / "config").runs_of("temperatures")
    assert len(runs) == 2 * 3 * len(content["seeds"])


def test_the_commands_are_ones_that_exist(capsys):
    shell = "\n".join(blocks("sh"))
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", shell, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in set(re.findall(r"ldreg (\w+) (?=config|results)", README)):
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        assert stopped.value.code == 0, name
    for path in re.findall(r"(?:config|profiles|src/ldreg|docs|benchmarks)/[\w./]+\w", README):
        assert (ROOT / path).exists(), path
