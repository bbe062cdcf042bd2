"""Fabricated evidence for the claims ledger: pairs of runs with the differences of a test's choice."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ldreg.exhibits import render

BASE = {"beta": 0.1, "k": 16}
LDREG = {"regularizer": "ldreg_l1", **BASE}
HALF = 4.302653 / 3**0.5  # half width of the interval of three differences of spread 1
# Differences by seed, and what a claim that they are above 0 comes to.
OUTCOMES = [
    ((4.0, 5.0, 6.0), "supported"),  # 5 +- 2.48
    ((1.0, 2.0, 3.0), "inconclusive"),  # 2 +- 2.48
    ((-4.0, -5.0, -6.0), "contradicted"),
    ((4.0,), "inconclusive (1 seed)"),
    ((5.0, 5.0, 5.0), "inconclusive (equal in all seeds)"),
]


def entries(made: Any, **settings: Any) -> tuple[list[dict[str, Any]], str]:
    """All entries of the ledger on all runs made so far, and its Markdown."""
    markdown, content, _ = (
        path.read_text() for path in render(made.spec("ledger", **{"base": BASE, **settings}))
    )
    return json.loads(content)["claims"], markdown


def ledger(made: Any, **settings: Any) -> tuple[dict[str, dict[str, Any]], str]:
    """By claim, for runs of one context."""
    found, markdown = entries(made, **settings)
    assert len({claim["id"] for claim in found}) == len(found)
    return {claim["id"]: claim for claim in found}, markdown


def add(runs: Any, values: Sequence[float], metric: str = "mlid", **spec: Any) -> list[Path]:
    """A run for each seed 0, 1, ... with these values of a metric, on a level of their own by seed."""
    return [runs.add(seed, **{metric: 50.0 + 5 * seed + value}, **spec) for seed, value in enumerate(values)]


def pair(runs: Any, effects: Sequence[float], metric: str = "mlid", **spec: Any) -> None:
    """Unregularised and LDReg runs whose metric differs by `effects`."""
    add(runs, [0.0] * len(effects), metric, **spec)
    add(runs, effects, metric, **{**LDREG, **spec})


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    """One more file of a run's folder."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
