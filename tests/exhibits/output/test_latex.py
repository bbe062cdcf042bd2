"""The LaTeX of every kind of table, compiled in one document where a LaTeX engine is installed."""

import json
import shutil
import subprocess

import pytest
from exhibits.conftest import Runs
from exhibits.tables.test_detection_table import add_detection
from exhibits.tables.test_settings_table import SPECS, Made
from exhibits.tables.test_transfer_table import LDREG, SIX, add_transfer

from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.main_table import main_table
from ldreg.exhibits.tables.significance import significance
from ldreg.exhibits.tables.timing import timing
from ldreg.exhibits.tables.transfer_and_detection import detection_table, transfer_table

DOCUMENT = r"""\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs,graphicx}
\begin{document}%s\end{document}"""
EVERYTHING = ["50 % of a_b & c # $x {y} ~ ^ \\ < > β ± \u00d7 \u2013 →, -1"]


def test_latex_compiles(demo, tmp_path) -> None:
    engine = shutil.which("tectonic") or shutil.which("pdflatex")
    if engine is None:
        pytest.skip("no LaTeX engine is installed")
    for place, folder in enumerate((tmp_path / "runs").glob("*/seed*")):
        summary = {"device": "cpu", "world_size": 1, "threads": 1, "precision": "float32"}
        summary |= {"wall_seconds": 60.0 + place, "images_per_second": 1000.0 - place}
        (folder / "summary.json").write_text(json.dumps(summary))
    texts = [
        function(read_exhibit(demo.spec(function.__name__, notes=EVERYTHING)))["tex"]
        for function in (main_table, timing, significance)
    ]
    made = Made(tmp_path / "papers")
    for spec in SPECS.values():
        changes = {"temperature": 0.3} if spec.temperature else {}
        made.add(spec, **changes)
    texts += [made.table(number, notes=EVERYTHING)["tex"] for number in range(5, 12)]
    texts += outcomes(tmp_path)
    # The table of the second document is broken on purpose: a compilation that cannot fail tests nothing.
    assert compiled(engine, tmp_path, "\\clearpage\n".join(texts)) == ""
    assert compiled(engine, tmp_path, texts[0].replace(r"\bottomrule", r"\bottomruler")) != ""


def outcomes(root) -> list[str]:
    """Tables 2 and 3, with all the paper's data sets and rows that were not run."""
    transferred, detected = Runs(root / "transferred"), Runs(root / "detected")
    for seed in range(3):
        for spec in ({}, LDREG):
            add_transfer(transferred, seed, dict.fromkeys(SIX, 70.0 + seed), **spec)
            add_detection(detected, seed, 20.0 + seed, **spec)
    specs = {
        transfer_table: transferred.spec("transfer_table", datasets=list(SIX), notes=EVERYTHING),
        detection_table: detected.spec("detection_table", notes=EVERYTHING),
    }
    return [table(read_exhibit(spec))["tex"] for table, spec in specs.items()]


def compiled(engine: str, folder, body: str) -> str:
    """What is wrong with the document, '' for nothing."""
    (folder / "document.tex").write_text(DOCUMENT % body)
    flags = [] if engine.endswith("tectonic") else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([engine, *flags, "document.tex"], cwd=folder, capture_output=True, text=True)
    wrong = [line for line in done.stdout.splitlines() if "Overfull" in line or "too large" in line]
    return "\n".join(wrong) + (done.stdout[-2000:] if done.returncode else "")
