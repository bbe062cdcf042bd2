"""Estimates and their differences from the paper, as tables and figures write them."""

import math

from ldreg.exhibits.output.labels import name, number
from ldreg.exhibits.output.markup import Cell
from ldreg.exhibits.settings import Settings
from ldreg.exhibits.stats.intervals import Estimate

NOT_RUN = "not run"
NOT_REPORTED = "not given"
ONE_SEED_NOTE = "One seed gives no interval and says nothing about noise."
AGREES, DIFFERS, UNDECIDED = "agrees", "differs", "undecided"
SIGN_NOTE = (
    "The sign of an effect here is compared with that of the paper's effect. It agrees or differs where the "
    "interval excludes zero; it is undecided where the interval includes zero, and where one seed gives no "
    "interval. The two sizes belong to different tasks and are not compared."
)
DIFFERENCE_NOTE = "The difference is the effect here minus that of the paper."


def lid_note(settings: Settings) -> str:
    """How mLID was estimated, for notes."""
    return f"mLID is estimated by {settings.mlid.prose}."


def rank_note(settings: Settings) -> str:
    """Which spectrum effective rank was computed from, for notes."""
    return f"Effective rank is computed from the eigenvalues of the {name(settings.effective_rank)}."


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


def sign(ours: Estimate | None, theirs: float | None) -> str:
    """Whether our effect has the sign of the paper's; '' where one of them is missing.

    An interval without width, as when the differences of a few seeds are equal, decides nothing.

    >>> ends = ((0.1, 0.9, 3), (-0.1, 1.1, 3), (None, None, 1))
    >>> clear, wide, one_seed = (Estimate(0.5, *each) for each in ends)
    >>> sign(clear, 1.2), sign(clear, -1.2), sign(wide, 1.2), sign(one_seed, 1.2)
    ('agrees', 'differs', 'undecided', 'undecided')
    """
    if ours is None or theirs is None:
        return ""
    if ours.low is None or ours.low <= 0 <= ours.high or math.isclose(ours.low, ours.high):
        return UNDECIDED
    # Two printed numbers that are equal may differ in the last bit of their difference.
    return AGREES if ours.mean * round(theirs, 6) > 0 else DIFFERS


def beside_paper(scale_of_paper: bool) -> str:
    """Heading of the column that compares an effect with the paper's; sizes only at the paper's scale."""
    return "difference" if scale_of_paper else "sign"


def compared(ours: Estimate | None, theirs: float | None, scale_of_paper: bool) -> str:
    """A cell of the column `beside_paper`."""
    return gap(ours, theirs) if scale_of_paper else sign(ours, theirs)


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
