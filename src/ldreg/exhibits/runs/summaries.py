"""The course of a run, from its summary.json."""

from pathlib import Path
from typing import Any

from ldreg.files import read_json


def read_summary(folder: Path) -> dict[str, Any]:
    """The contents of a run's summary.json; LdregError when it is missing or broken."""
    return read_json(folder / "summary.json", "no such file; the run has not been trained yet")


def imported(summary: dict[str, Any]) -> bool:
    """Whether the run's weights were trained elsewhere, with settings that are unknown."""
    return "imported" in summary
