"""What a scale has found, on the screen: Table 1, the verdicts, and where everything lies."""

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ldreg.errors import LdregError
from ldreg.exhibits.terminal import terminal_table

# What a reader opens, with what it is; only those that exist are named.
_PLACES = {
    "report.html": "everything in a browser, with captions",
    "exhibits/table1.md": "Table 1 (also .csv, .tex)",
    "exhibits/figure5.png": "Figure 5 (also .pdf, .csv)",
    "exhibits/claims.md": "each claim, its test, interval and verdict",
    "runs": "one folder a run",
    "logs": "one log a job",
}


def show(folder: Path, console: Console | None = None) -> None:
    """Print the exhibits of `results/<scale>` that a terminal can show.

    Raises:
        LdregError: `folder` holds no exhibit that has been made.
    """
    console = console or Console()
    exhibits = folder / "exhibits"
    made = [name for name in ("table1", "claims") if list(exhibits.glob(f"{name}.md"))]
    if not made:
        raise LdregError(f"{exhibits}: no table1.md or claims.md; make them first: snakemake core")
    if "table1" in made:
        terminal_table(exhibits / "table1.spec.yaml", console)
    if "claims" in made:
        console.print(_verdicts(json.loads((exhibits / "claims.json").read_text(encoding="utf-8"))))
    console.print("[bold]Where to look[/bold]")
    for name, what in _PLACES.items():
        if (folder / name).exists():
            console.print(f"  {folder / name!s:<40} {what}", highlight=False)
    console.print(
        "  mlflow ui --backend-store-uri sqlite:///results/mlflow.db   every run in MLflow", highlight=False
    )


def _verdicts(ledger: dict[str, Any]) -> Table:
    """The claims with their verdicts, as a table."""
    title = "Claims of the paper, tested here"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for head in ("claim", "verdict", "here [95 % interval]"):
        table.add_column(head)
    for claim in ledger["claims"]:
        table.add_row(claim["claim"], claim["verdict"], _interval(claim))
    return table


def _interval(claim: dict[str, Any]) -> str:
    if claim.get("estimate") is None:
        return ""
    text = f"{claim['estimate']:+.2f}"
    if claim["low"] is not None:
        # Escaped, since rich would take a plain bracket for a style.
        text += f" \\[{claim['low']:+.2f}, {claim['high']:+.2f}]"
    return f"{text} {claim['unit']}".rstrip()
