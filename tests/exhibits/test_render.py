"""From a spec to files: names, bytes, errors, and what an import costs."""

import subprocess
import sys

import pytest
import yaml

from ldreg.errors import LdregError
from ldreg.exhibits import RENDERERS, render

SETTINGS = {
    "main_table": {"base": {"beta": 0.1, "k": 16}},  # as for the others, though a table has no sweep
    "sweep": {"axes": ["beta"], "metrics": ["mlid"], "base": {"beta": 0.1, "k": 16}},
    "ledger": {"base": {"beta": 0.1, "k": 16}},
}


@pytest.mark.parametrize("renderer", SETTINGS)  # the others read more: their own tests render them
def test_files_lie_beside_the_spec_and_are_the_same_each_time(demo, renderer) -> None:
    path = demo.spec(renderer, name="figure", **SETTINGS[renderer])
    written = render(path)
    assert [file.name for file in written] == [f"figure.{suffix}" for suffix in RENDERERS[renderer].suffixes]
    assert all(file.parent == path.parent for file in written)
    first = [file.read_bytes() for file in written]
    assert [file.read_bytes() for file in render(path)] == first and all(first)
    assert len(list(path.parent.iterdir())) == 1 + len(written)


def test_an_unknown_renderer_is_named(demo) -> None:
    with pytest.raises(
        LdregError, match=r"exhibit\.spec\.yaml: renderer: 'pie' is unknown; allowed: main_table"
    ):
        render(demo.spec("pie"))


def test_a_failing_exhibit_leaves_nothing(demo) -> None:
    path = demo.spec("sweep", **SETTINGS["sweep"])
    content = yaml.safe_load(path.read_text())
    content["runs"].append(str(demo.root / "runs/none"))
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(LdregError, match=r"runs/none/spec\.yaml: no such file"):
        render(path)
    assert list(path.parent.iterdir()) == [path]


def test_importing_the_renderers_is_cheap() -> None:
    code = (
        "import sys, ldreg.exhibits as e; assert e.RENDERERS['sweep'].suffixes; "
        "print(sorted({'torch', 'pandas', 'numpy', 'matplotlib', 'scipy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
