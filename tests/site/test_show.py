import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from ldreg.errors import LdregError
from ldreg.site.show import show


@pytest.fixture
def folder(tmp_path) -> Path:
    exhibits = tmp_path / "results/demo/exhibits"
    exhibits.mkdir(parents=True)
    for name, renderer in (("claims", "ledger"), ("mine", "sweep"), ("later", "sweep")):
        content = {"exhibit": name, "renderer": renderer, "title": f"About {name}"}
        (exhibits / f"{name}.spec.yaml").write_text(yaml.safe_dump(content))
    return exhibits.parent


def test_verdicts_and_every_exhibit_that_has_been_made(folder, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    claim = {
        "claim": "LDReg raises mLID",
        "verdict": "supported",
        "estimate": 0.16,
        "low": 0.02,
        "high": 0.3,
        "unit": "",
    }
    alone = {**claim, "claim": "one seed", "low": None, "high": None}
    untested = {"claim": "k", "verdict": "not tested"}
    (folder / "exhibits/claims.json").write_text(json.dumps({"claims": [claim, alone, untested]}))
    (folder / "exhibits/mine.png").write_bytes(b"")
    (folder / "exhibits/mine.pdf").write_bytes(b"")
    console = Console(width=160, record=True)
    show(folder, console)
    text = console.export_text()
    assert "+0.16 [+0.02, +0.30]" in text and "not tested" in text
    assert "exhibits/mine.{pdf,png}" in text and "About mine" in text
    assert "later" not in text and "report.html" not in text
    assert "mlflow ui --backend-store-uri sqlite:///" in text


def test_what_is_no_longer_declared_is_left_out(folder):
    for name in ("claims", "mine", "later"):
        (folder / f"exhibits/{name}.png").write_bytes(b"")
    (folder / "exhibits/claims.json").write_text(json.dumps({"claims": []}))
    (folder / "exhibits.yaml").write_text("exhibits: [later, claims]\n")
    console = Console(width=160, record=True)
    show(folder, console)
    text = console.export_text()
    assert "About mine" not in text and text.index("About later") < text.index("About claims")


def test_nothing_made_yet(folder):
    with pytest.raises(LdregError, match=r"exhibits: no exhibit has been made; .*snakemake core"):
        show(folder)


@pytest.mark.parametrize(
    ("made", "printed"),
    [
        (("table1", "table1_simclr", "table13"), "table1_simclr"),
        (("table1", "table13"), "table1"),
        (("table13",), None),
    ],
)
def test_of_the_tables_beside_table_1_the_smallest_alone_is_printed(folder, monkeypatch, made, printed):
    runs = {"table1": ["one", "two", "three"], "table1_simclr": ["one", "two"], "table13": ["one"]}
    beside = {"table13": {"paper_exhibits": ["table13"]}}
    for name in made:
        content = {"exhibit": name, "scale": "demo", "renderer": "main_table", "title": f"About {name}"}
        content |= {"runs": runs[name], "paper": "reported.csv", "settings": beside.get(name, {})}
        (folder / f"exhibits/{name}.spec.yaml").write_text(yaml.safe_dump(content))
        (folder / f"exhibits/{name}.md").write_text("")
    found = []
    monkeypatch.setattr(
        "ldreg.exhibits.tables.terminal.print_table", lambda exhibit, console: found.append(exhibit.exhibit)
    )
    console = Console(width=160, record=True)
    show(folder, console)
    assert found == ([printed] if printed else [])
    text = console.export_text()
    assert all(f"About {name}" in text for name in made)


def test_of_several_ledgers_the_one_that_tests_most_is_printed(folder):
    tested = {
        "claim": "tested",
        "verdict": "supported",
        "estimate": 1.0,
        "low": None,
        "high": None,
        "unit": "",
    }
    for name, claims in (("claims", []), ("more", [{**tested, "context": "BYOL"}])):
        content = {"exhibit": name, "renderer": "ledger", "title": f"About {name}"}
        (folder / f"exhibits/{name}.spec.yaml").write_text(yaml.safe_dump(content))
        claims = [*claims, {"claim": f"not by {name}", "verdict": "not tested"}]
        (folder / f"exhibits/{name}.json").write_text(json.dumps({"claims": claims}))
    console = Console(width=160, record=True)
    show(folder, console)
    text = console.export_text()
    assert "not by more" in text and "tested" in text and "not by claims" not in text
