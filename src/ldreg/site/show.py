"""What a scale has found, on the screen: Table 1, the verdicts, and where everything lies."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ldreg.errors import LdregError
from ldreg.exhibits.tables.terminal import terminal_table
from ldreg.files import read_json, read_yaml
from ldreg.tracking import tracking_uri
from ldreg.workflow.inputs import declared_exhibits

TABLES = ("table1_simclr", "table1")  # the first of them that has been made is printed


def show(folder: Path, console: Console | None = None) -> None:
    """Print the exhibits of `results/<scale>` that a terminal can show, and where the others lie.

    Those that the scale file no longer declares are left out.

    Raises:
        LdregError: `folder` holds no exhibit that has been made.
    """
    console = console or Console(soft_wrap=True)
    specs = sorted((folder / "exhibits").glob("*.spec.yaml"))
    if (declared := declared_exhibits(folder)) is not None:
        specs = [path for name in declared if (path := folder / f"exhibits/{name}.spec.yaml") in specs]
    made = {path: _made(path) for path in specs if _made(path)}
    if not made:
        raise LdregError(f"{folder / 'exhibits'}: no exhibit has been made; make some first: snakemake core")
    contents = {read_yaml(path)["exhibit"]: path for path in made}
    if table := next((contents[name] for name in TABLES if name in contents), None):
        terminal_table(table, console)
    named = [(read_yaml(path), path) for path in made]
    ledgers = [
        read_json(path.with_name(f"{content['exhibit']}.json"))
        for content, path in named
        if content["renderer"] == "ledger"
    ]
    if ledgers:  # of several that one which tests most, or claims would stand there tested and not tested
        console.print(_verdicts(max(ledgers, key=_tested)))
    console.print("[bold]Where to look[/bold]")
    pages = [
        ("index.html", "all exhibits on one page"),
        ("report.html", "the workflow's report, with captions"),
    ]
    lines = [(str(folder / name), what) for name, what in pages if (folder / name).exists()]
    for path, suffixes in made.items():
        stem = str(path).removesuffix(".spec.yaml")
        lines.append((f"{stem}.{{{','.join(suffixes)}}}", read_yaml(path)["title"]))
    lines += [(str(folder / "runs"), "one folder a run"), (str(folder / "logs"), "one log a job")]
    for place, what in lines:
        console.print(f"  {place:<50} {what}", highlight=False, markup=False)
    uri = tracking_uri(folder.parent)
    if uri.startswith("sqlite"):
        console.print(f"  mlflow ui --backend-store-uri {uri}", highlight=False)


def _made(spec: Path) -> list[str]:
    """The suffixes of the files that lie beside an exhibit's spec."""
    stem = spec.name.removesuffix(".spec.yaml")
    return sorted(path.suffix[1:] for path in spec.parent.glob(f"{stem}.*") if path != spec)


def _tested(ledger: dict[str, Any]) -> int:
    return sum("context" in claim for claim in ledger["claims"])


def _verdicts(ledger: dict[str, Any]) -> Table:
    """The claims with their verdicts, as a table."""
    title = "Claims of the paper, tested here"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    several = len({claim.get("context") for claim in ledger["claims"]} - {None}) > 1
    for head in ("claim", *(["of"] if several else []), "verdict", "here [95 % interval]"):
        table.add_column(head)
    for claim in ledger["claims"]:
        where = [claim.get("context", "")] if several else []
        table.add_row(claim["claim"], *where, claim["verdict"], _interval(claim))
    return table


def _interval(claim: dict[str, Any]) -> str:
    if claim.get("estimate") is None:
        return ""
    text = f"{claim['estimate']:+.2f}"
    if claim["low"] is not None:
        # Escaped, since rich would take a plain bracket for a style.
        text += f" \\[{claim['low']:+.2f}, {claim['high']:+.2f}]"
    return f"{text} {claim['unit']}".rstrip()
