"""One number of Table 4, as its blocks and its CSV give it, and the machines on which it was measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ldreg.exhibits.paper.comparison import Row
from ldreg.exhibits.stats.intervals import Estimate, estimate_columns

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Quantity:
    """One quantity of one row: ours (or why there is none) and the paper's."""

    row: Row
    key: str
    unit: str
    ours: Estimate | None
    absent: str
    paper: float | None = None

    def line(self, kind: str, comparable: bool = True) -> dict[str, Any]:
        """A line of the CSV; `comparable`: whether the paper's number may stand beside ours."""
        about = {"metric": self.key, "unit": self.unit, "status": "run" if self.ours else self.absent}
        beside = {"paper": self.paper, "comparable": comparable and self.paper is not None}
        return {"kind": kind, **self.row.keys, **about, **estimate_columns(self.ours), **beside}


def machines(summaries: Iterable[dict[str, Any]]) -> str:
    """How the runs were executed, each way once: 'cpu, 1 process, 1 thread each, float32'."""
    ways = dict.fromkeys(
        f"{summary['device']}, {_count(summary['world_size'], 'process')}, "
        f"{_count(summary['threads'], 'thread')}, {summary['precision']}"
        for summary in summaries
        if summary.get("device") is not None
    )
    return "; ".join(ways) or "unknown machines"


def _count(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
