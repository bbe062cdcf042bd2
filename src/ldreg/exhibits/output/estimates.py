"""Estimates and their differences from the paper, as tables and figures write them."""

from ldreg.exhibits.output.labels import number
from ldreg.exhibits.output.markup import Cell
from ldreg.exhibits.stats.intervals import Estimate

NOT_RUN = "not run"
NOT_REPORTED = "not given"


def best_in_bold(texts: list[str], values: list[float | None]) -> list[Cell]:
    """Cells with the highest value in bold, as in the paper; nothing is bold where nothing is compared."""
    known = [value for value in values if value is not None]
    best = max(known) if len(known) > 1 else None
    return [
        Cell(text, value is not None and value == best) for text, value in zip(texts, values, strict=True)
    ]


def gap(ours: Estimate | None, theirs: float | None) -> str:
    """Ours minus the paper's; '' where one of them is missing."""
    return "" if ours is None or theirs is None else number(ours.mean - theirs, True, _decimals(ours))


def level(estimate: Estimate | None) -> str:
    """'97.31 ± 0.45'; '97.31' for one seed; 'not run'."""
    if estimate is None:
        return NOT_RUN
    decimals, half = _decimals(estimate), estimate.half_width
    width = "" if half is None else f" ± {number(half, decimals=decimals)}"
    return number(estimate.mean, decimals=decimals) + width


def effect(estimate: Estimate | None, unit: str = "") -> str:
    """'+0.50 points [-0.10, +1.10]'; one seed has no interval, and says so; 'not run'."""
    if estimate is None:
        return NOT_RUN
    decimals = _decimals(estimate)
    mean = f"{number(estimate.mean, True, decimals)} {unit}".strip()
    if estimate.low is None:
        return f"{mean} (1 seed, no interval)"
    return f"{mean} [{number(estimate.low, True, decimals)}, {number(estimate.high, True, decimals)}]"


def _decimals(estimate: Estimate) -> int:
    return 1 if abs(estimate.mean) >= 100 else 2
