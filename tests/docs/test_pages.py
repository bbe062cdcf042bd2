"""The README and the documentation: examples run, what they name exists, numbers are the code's."""

import re
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from documents import PAGES, ROOT, Block, blocks, prose

import ldreg.regularizers
from ldreg.files import read_yaml
from ldreg.lid import lid_mom
from ldreg.workflow.scale import Scale

LANGUAGES = ("bibtex", "python", "sh", "snakemake", "text", "yaml")
FOLDERS = "benchmarks|config|docs|profiles|src|tests|workflow"
CONFIG = ROOT / "config"


def of(language: str) -> list[Block]:
    return [block for block in blocks() if block.language == language]


def test_every_block_says_what_it_is() -> None:
    """So that none escapes the tests of commands and examples."""
    assert {(block.page, block.language) for block in blocks() if block.language not in LANGUAGES} == set()


@pytest.mark.parametrize("page", sorted({block.page for block in of("python")} - {"CONTRIBUTING.md"}))
def test_examples_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From top to bottom, as a reader would paste them; the training loop's gives gradients."""
    names: dict = {}
    for block in of("python"):
        if block.page == page:
            exec(block.text, names)
    weight = names["encoder"][1].weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0
    assert names["loss"] < names["ssl_loss"], "LDReg subtracts beta times ln mLID, which is above zero here"


def test_recipes_are_python() -> None:
    """Parts of files, which stand for what a reader adds there."""
    recipes = [block for block in of("python") if block.page == "CONTRIBUTING.md"]
    assert len(recipes) >= 3
    for block in recipes:
        compile(block.text, block.page, "exec")


def test_the_recipe_of_a_regulariser_works() -> None:
    (block,) = (block for block in of("python") if "class ArithmeticLID" in block.text)
    names = dict(vars(ldreg.regularizers))
    exec(block.text, names)
    features = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    term = names["ArithmeticLID"](beta=0.1, k=16)(features)
    assert torch.allclose(term, -0.1 * lid_mom(features, k=16).mean().log())


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: f"{block.page}: {block.text[:40]!r}")
def test_yaml_is_a_scale(block: Block) -> None:
    """A whole one, or with what it says put over the demo."""
    content = yaml.safe_load(block.text)
    if not block.text.startswith("# config/"):
        demo = read_yaml(CONFIG / "demo.yaml")
        assert set(content) <= set(demo)
        content = demo | {key: demo[key] | value for key, value in content.items()}
    own = list(yaml.safe_load(block.text).get("exhibits", {}))
    scale = Scale(content, block.page, CONFIG)
    assert all(scale.runs_of(name) for name in own)


def test_the_sweep_has_the_runs_that_its_page_counts() -> None:
    block = next(block for block in of("yaml") if "temperatures" in block.text)
    content = read_yaml(CONFIG / "demo.yaml")
    content["exhibits"] |= yaml.safe_load(block.text)["exhibits"]
    runs = Scale(content, block.page, CONFIG).runs_of("temperatures")
    assert len(runs) == 6 * len(content["seeds"]) == 6 * 3
    assert "6 combinations, each with the 3 seeds" in (ROOT / block.page).read_text()


@pytest.mark.parametrize("page", ["README.md", "docs/reproduce.md"])
@pytest.mark.parametrize("name", ["demo", "cifar10_cpu", "cifar10", "imagenet"])
def test_numbers_of_runs(page: str, name: str) -> None:
    scale = Scale.read(CONFIG / f"{name}.yaml")
    core = {run for exhibit in scale.content.core for run in scale.runs_of(exhibit)}
    row = re.search(rf"^\| `(?:config/)?{name}(?:\.yaml)?`.*", (ROOT / page).read_text(), re.M)
    assert row
    if len(core) < len(scale.runs):
        assert f"{len(scale.runs)} (core: {len(core)})" in row[0]
    else:
        assert f" {len(scale.runs)} |" in row[0]


@pytest.mark.parametrize("page", ["README.md", "docs/found.md"])
def test_effects_are_those_of_the_exhibits_shown(page: str) -> None:
    """Each number with its interval stands in a table of docs/demo, perhaps with a unit between them."""
    shown = "\n".join(path.read_text() for path in (ROOT / "docs/demo").glob("*.md"))
    found = re.findall(r"([+-]\d+\.\d\d)\s(\[[+-][\d.]+, [+-][\d.]+\])", (ROOT / page).read_text())
    assert len(found) >= 3
    told = set(re.findall(r"([+-]\d+\.\d\d)[^|\[\n]*(\[[^]]+\])", shown))
    assert set(found) - told == set()


def test_accuracies_of_the_methods_are_those_of_the_tables_shown() -> None:
    shown = "".join((ROOT / "docs/demo" / name).read_text() for name in ("table1.md", "table15.md"))
    rows = re.findall(r"^\| .* \| `\w+\.py` \|.*\| (.*) \|$", (ROOT / "docs/reproduce.md").read_text(), re.M)
    pairs = [pair for row in rows for pair in re.findall(r"(\d+\.\d+) / (\d+\.\d+)", row)]
    table = re.findall(r"\| (?:none|LDReg [^|]*?) +\| +\**(\d\d\.\d\d)", shown)
    assert len(pairs) == 8
    assert sorted(pairs) == sorted(zip(table[::2], table[1::2], strict=True))


def test_every_exhibit_is_explained() -> None:
    text = (ROOT / "docs/reproduce.md").read_text()
    names = [name for name in read_yaml(CONFIG / "exhibits.yaml") if not re.fullmatch(r"table\d+", name)]
    assert "`table1` to `table16`" in text
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_names_exists(path: Path) -> None:
    """Links to files, and paths of the repository in inline code."""
    text = prose(path)
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", text)
    # Files that a page tells the reader to write.
    written = {found[1] for block in of("yaml") if (found := re.match(r"# (config/\w+\.yaml)\n", block.text))}
    written |= {name for name in named if "alignment" in name or "seed_spread" in name}
    missing += [name for name in named if not (ROOT / name).exists() and name not in written]
    assert missing == []


def test_the_drawing_is_the_contract() -> None:
    """The floors of `How it is built`, from top to bottom, are the layers that import-linter checks."""
    (drawing,) = (block.text for block in of("text") if block.text.startswith("+---"))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(each for each in settings["contracts"] if each["containers"] == ["ldreg"])
    layers = [layer.split(" | ") for layer in contract["layers"]]
    rooms = {room for layer in layers for room in layer}
    lines = re.findall(r"^\+-.*\n\|(.*)\|$", drawing, re.M)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert [[cell for cell in floor if cell in rooms] for floor in cells] == layers


def test_the_module_is_the_one_that_is_deployed() -> None:
    """The four lines that a page shows are those with which tests/workflow/test_module.py runs."""
    (shown,) = of("snakemake")
    tested = re.search(
        r'SNAKEFILE = """\\\n(.*?)"""', (ROOT / "tests/workflow/test_module.py").read_text(), re.S
    )
    assert tested
    assert re.fullmatch(re.sub(r"\\\{\w+\\\}", r"[^\\s\"]+", re.escape(tested[1])), shown.text)


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
    paper = cited["preferred-citation"]
    entry = next(block.text for block in of("bibtex") if block.page == "README.md")
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert f"{{{' and '.join(names)}}}" in entry
    assert paper["title"] in entry.replace("{LDReg}", "LDReg") and f"{{{paper['year']}}}" in entry
