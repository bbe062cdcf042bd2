"""How runs were executed, and changes in per cent between runs that were executed alike."""

from typing import Any

from ldreg.exhibits.runs.arms import Arm
from ldreg.exhibits.runs.run_table import by_seed
from ldreg.exhibits.stats.intervals import Estimate, t_interval

# Two runs that differ in one of these are not compared, because their times differ for other reasons than
# LDReg.
EXECUTION = ("device", "world_size", "threads", "precision", "micro_batch", "accumulation")


def execution(summary: dict[str, Any]) -> tuple[Any, ...]:
    """How the run of this summary.json was executed, for comparison with other runs."""
    return tuple(summary.get(key) for key in EXECUTION)


def change(arm: Arm, control: Arm, key: str) -> Estimate | None:
    """The mean change in per cent over seeds whose two runs were executed alike; None if there are none."""
    alike = executed_alike(arm, control)
    changes = percent(by_seed(arm.runs, key), by_seed(control.runs, key)).dropna()
    return t_interval(changes[[bool(alike[seed]) for seed in changes.index]])


def percent(treated: Any, control: Any) -> Any:
    """How much more `treated` is than `control`, in per cent; Series are matched by their index.

    >>> round(percent(27.1, 27.8), 1)
    -2.5
    """
    return 100 * (treated / control - 1)


def executed_alike(arm: Arm, control: Arm) -> dict[int, bool]:
    """For each seed that both have: whether its two runs were executed in the same way."""
    ours, theirs = by_seed(arm.runs, "execution"), by_seed(control.runs, "execution")
    return {seed: ours[seed] == theirs[seed] for seed in ours.index if seed in theirs.index}
