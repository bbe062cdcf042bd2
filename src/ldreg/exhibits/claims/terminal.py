"""The claims and their verdicts on the screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table


def verdict_table(claims: Sequence[Mapping[str, Any]]) -> Table:
    """The claims of a ledger's JSON with their verdicts, as a table."""
    title = "Claims of the paper, tested here"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    several = len({claim.get("context") for claim in claims} - {None}) > 1
    for head in ("claim", *(["of"] if several else []), "verdict", "here [95 % interval]"):
        table.add_column(head)
    for claim in claims:
        where = [claim.get("context", "")] if several else []
        table.add_row(claim["claim"], *where, claim["verdict"], _interval(claim))
    return table


def _interval(claim: Mapping[str, Any]) -> str:
    if claim.get("estimate") is None:
        return ""
    text = f"{claim['estimate']:+.2f}"
    if claim["low"] is not None:
        # Escaped, since rich would take a plain bracket for a style.
        text += f" \\[{claim['low']:+.2f}, {claim['high']:+.2f}]"
    return f"{text} {claim['unit']}".rstrip()
