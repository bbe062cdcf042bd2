"""The documentation is built as `make docs` builds it: strictly, and with nothing from other servers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT

# Of several processes, one builds it and runs all of these.
pytestmark = pytest.mark.xdist_group("documentation")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_folder_is_built(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert {path for path in pages if not (site / path).with_suffix(".html").is_file()} == set()


def test_pages_load_nothing_from_other_servers(site: Path) -> None:
    sources = r'<(?:script|img|iframe)[^>]*src="(https?:[^"]+)'
    styles = r'<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href="(https?:[^"]+)'
    for path in site.rglob("*.html"):
        text = path.read_text()
        loaded = re.findall(sources, text) + re.findall(styles, text)
        assert loaded == [], path


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("regularizers", ["LDReg", "MinLID", "TargetLID", "Covariance", "CovarianceVariance"]),
        ("lid", ["lid_mom", "lid_mle", "mom_from_distances", "mle_from_distances", "geometric_mean"]),
        ("spectrum", ["effective_rank", "rankme"]),
        ("neighbors", ["neighbor_distances"]),
    ],
)
def test_the_reference_shows_the_library(site: Path, page: str, names: list[str]) -> None:
    text = (site / "reference" / f"{page}.html").read_text()
    assert [name for name in names if f'id="ldreg.{page}.{name}"' not in text] == []


def test_no_block_of_code_falls_out_of_its_list(site: Path) -> None:
    """Blocks that are indented by less than four spaces would: fences or numbers are then text."""
    for path in site.rglob("*.html"):
        text = re.sub(r"<(pre|code).*?</\1>", "", path.read_text(), flags=re.S)
        assert "```" not in text and not re.search(r"\s\d\. <strong>", text), path
