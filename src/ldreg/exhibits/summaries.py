"""How a run went: what its summary.json says beside the results."""

import json
from pathlib import Path
from typing import Any

from ldreg.errors import LdregError


def read_summary(folder: Path) -> dict[str, Any]:
    """The contents of a run's summary.json; LdregError when it is missing or broken."""
    path = folder / "summary.json"
    if not path.is_file():
        raise LdregError(f"{path}: no such file; the run has not been trained yet")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise LdregError(f"{path}: line {error.lineno}: not valid JSON: {error.msg}") from error


def imported(summary: dict[str, Any]) -> bool:
    """Whether the run's weights were trained elsewhere: then how is not known."""
    return "imported" in summary
