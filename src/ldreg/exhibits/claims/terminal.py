"""The claims that were tested, in some eight lines of the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ldreg.exhibits.claims.declared import NOT_TESTED, read_claims

DECIDED, INCONCLUSIVE = ("contradicted", "supported"), "inconclusive"
MOST = 6  # lines for decided claims, so that `ldreg show` prints a dozen lines in all
Claim = Mapping[str, Any]


def print_claims(specs: Sequence[Path], console: Console) -> None:
    """Print the claims of the ledger that tests most of them; all ledgers have the same claims."""
    made = {spec: read_claims(spec) for spec in specs}
    spec = max(made, key=lambda path: sum("context" in claim for claim in made[path]))
    for line in claim_lines(made[spec], spec):
        console.print(line, highlight=False, markup=False)


def claim_lines(claims: Sequence[Claim], spec: Path) -> list[str]:
    """The decided claims one by one, contradicted ones first, and how many others there are.

    `claims` are those of the ledger that `spec` describes; the ledger's pages lie beside `spec`.
    """
    tested = [claim for claim in claims if "context" in claim]
    scale = spec.resolve().parents[1].name
    lines = [f"Claims of the paper, tested at the {scale} scale: {len(tested)}"]
    decided = [claim for verdict in DECIDED for claim in tested if claim["verdict"].startswith(verdict)]
    several = len({claim["context"] for claim in tested}) > 1
    shown = decided if len(decided) <= MOST else decided[: MOST - 1]
    lines += [_line(claim["verdict"], _words(claim, several)) for claim in shown]
    if rest := Counter(claim["verdict"] for claim in decided[len(shown) :]):
        lines.append(
            _line("and", f"{', '.join(f'{count} more {verdict}' for verdict, count in rest.items())}")
        )
    if undecided := [claim for claim in tested if claim not in decided]:
        single = sum(claim["low"] is None for claim in undecided)
        of_one = f", {single} of them with one seed, which has no interval" if single else ""
        lines.append(_line(INCONCLUSIVE, f"{len(undecided)}{of_one}"))
    if absent := len(claims) - len(tested):
        lines.append(
            _line(
                NOT_TESTED,
                f"{absent}; what each needs: {spec.with_name(spec.name.replace('.spec.yaml', '.md'))}",
            )
        )
    return lines


def _line(head: str, text: str) -> str:
    return f"  {head:<13} {text}"


def _words(claim: Claim, several: bool) -> str:
    """'LDReg raises mLID: +0.16 [+0.02, +0.30]', with the method and encoder where there are several."""
    interval = "" if claim["low"] is None else f" [{claim['low']:+.2f}, {claim['high']:+.2f}]"
    of = f" ({claim['context']})" if several else ""
    return f"{claim['claim']}{of}: {claim['estimate']:+.2f}{interval} {claim['unit']}".rstrip()
