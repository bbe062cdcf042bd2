import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from ldreg.errors import LdregError
from ldreg.site.show import show

NOT_TESTED = {"claim": "k", "verdict": "not tested"}


@pytest.fixture
def folder(tmp_path) -> Path:
    exhibits = tmp_path / "results/demo/exhibits"
    exhibits.mkdir(parents=True)
    declare(exhibits.parent, "claims", "ledger")
    declare(exhibits.parent, "mine", "sweep")
    return exhibits.parent


def declare(folder: Path, name: str, renderer: str) -> None:
    content = {"exhibit": name, "renderer": renderer, "title": f"About {name}"}
    (folder / f"exhibits/{name}.spec.yaml").write_text(yaml.safe_dump(content))


def claim(text: str, verdict: str, low: float | None = 0.02, context: str = "SimCLR") -> dict:
    bounds = {"low": low, "high": None if low is None else 0.3}
    return {
        "claim": text,
        "verdict": verdict,
        "context": context,
        "estimate": 0.16,
        "unit": "points",
        **bounds,
    }


def write(folder: Path, name: str, claims: list[dict]) -> None:
    (folder / f"exhibits/{name}.json").write_text(json.dumps({"claims": claims}))


def shown(folder: Path) -> list[str]:
    console = Console(width=160, record=True)
    show(folder, console)
    return console.export_text().splitlines()


def test_decided_claims_stand_one_by_one_and_the_others_are_counted(folder, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write(
        folder,
        "claims",
        [
            claim("LDReg raises mLID", "supported"),
            claim("open", "inconclusive"),
            claim("alone", "inconclusive (1 seed)", low=None),
            claim("larger k", "contradicted"),
            *[NOT_TESTED] * 3,
        ],
    )
    (folder / "index.html").touch()
    assert [line.strip() for line in shown(folder)] == [
        "Claims of the paper, tested at the demo scale: 4",
        "contradicted  larger k: +0.16 [+0.02, +0.30] points",
        "supported     LDReg raises mLID: +0.16 [+0.02, +0.30] points",
        "inconclusive  2, 1 of them with one seed, which has no interval",
        f"not tested    3; what each needs: {folder}/exhibits/claims.md",
        f"All exhibits:     {folder}/index.html",
        f"Runs:             mlflow ui --backend-store-uri sqlite:///{folder.parent}/mlflow.db",
    ]


def test_there_are_a_dozen_lines_at_most(folder):
    claims = [claim(f"number {place}", "supported", context=f"method {place}") for place in range(9)]
    write(folder, "claims", [*claims, claim("x", "contradicted"), claim("y", "inconclusive"), NOT_TESTED])
    for name in ("index.html", "report.html"):
        (folder / name).touch()
    lines = shown(folder)
    assert len(lines) == 12
    assert "contradicted" in lines[1] and "number 0 (method 0): +0.16" in lines[2]
    assert lines[6].split() == ["and", "5", "more", "supported"]


def test_of_several_ledgers_the_one_that_tests_most_is_printed(folder):
    declare(folder, "more", "ledger")
    write(folder, "claims", [claim("few", "supported"), NOT_TESTED])
    write(folder, "more", [claim("many", "supported"), claim("many", "supported")])
    text = "\n".join(shown(folder))
    assert "many" in text and "few" not in text and "not tested" not in text


def test_what_is_no_longer_declared_is_left_out(folder):
    declare(folder, "more", "ledger")
    write(folder, "claims", [claim("few", "supported")])
    write(folder, "more", [claim("many", "supported")] * 2)
    (folder / "exhibits.yaml").write_text("exhibits: [mine, claims]\n")
    text = "\n".join(shown(folder))
    assert "few" in text and "many" not in text


def test_nothing_made_yet(folder):
    with pytest.raises(LdregError, match=r"exhibits: no exhibit has been made; .*snakemake core"):
        show(folder)


def test_without_claims_table_1_is_printed(folder, monkeypatch):
    printed = []
    monkeypatch.setattr(
        "ldreg.exhibits.tables.terminal.print_table1", lambda specs, console: printed.append(specs)
    )
    declare(folder, "table1", "main_table")
    (folder / "exhibits/table1.md").write_text("")
    shown(folder)
    assert [[path.name for path in specs] for specs in printed] == [["table1.spec.yaml"]]
    write(folder, "claims", [claim("few", "supported")])
    assert "few" in "\n".join(shown(folder)) and len(printed) == 1


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
    shown(folder)
    assert found == ([printed] if printed else [])
