"""The curves of Figure 2 (a, b): each setting's live measurements, epoch by epoch over its seeds."""

from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from ldreg.errors import LdregError
from ldreg.exhibits.figures.declared import CurveSettings, MonitorName
from ldreg.exhibits.output.csv_text import values_by_seed
from ldreg.exhibits.output.labels import listed, name, present
from ldreg.exhibits.output.legends import series_names
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.csv_columns import read_columns
from ldreg.exhibits.runs.run_table import ExhibitSpec, by_seed, check_keys, load_runs
from ldreg.exhibits.stats.intervals import Estimate, estimate_columns, t_interval


@dataclass(frozen=True)
class TrainingCurve:
    """One setting's curve: a row of `points` for each measured epoch (epoch, n, mean, low, high, seeds)."""

    context: Context
    arm: Arm
    value: Any  # the value of the setting that `over` names
    points: pd.DataFrame
    after: Estimate | None  # the metric that `in_legend` names

    @property
    def setting(self) -> tuple[str, str]:
        """The regulariser and its label."""
        return self.arm.regularizer, self.arm.label


def read_curves(exhibit: ExhibitSpec, settings: CurveSettings) -> list[TrainingCurve]:
    """One curve for each method, encoder and regulariser setting, over the seeds of its runs.

    Raises LdregError when a run's history.csv is missing or lacks the monitor (the message names the columns
    that it has), and when `over` does not tell the curves apart.
    """
    frame = load_runs(exhibit, (settings.in_legend,) if settings.in_legend else (), settings)
    check_keys(exhibit, frame, (settings.over,) if settings.over else ())
    found = [
        TrainingCurve(
            context,
            arm,
            arm.runs[settings.over].iloc[0] if settings.over else None,
            _points(arm, settings.monitor),
            arm.level(settings.in_legend) if settings.in_legend else None,
        )
        for context in contexts(frame)
        for arm in context.arms
    ]
    _check(found, settings, exhibit)
    return sorted(found, key=_place) if settings.over else found


def _place(curve: TrainingCurve) -> tuple[bool, float]:
    """Curves without a value come first, then numbers by size; words stay in the order of the runs."""
    value = curve.value if present(curve.value) else -float("inf")
    return curve.arm.regularized, float(value) if isinstance(value, Real) else 0.0


def _check(found: list[TrainingCurve], settings: CurveSettings, exhibit: ExhibitSpec) -> None:
    for panel in dict.fromkeys(_panel(curve, settings) for curve in found):
        ks = listed(monitor_k(curve) for curve in found if _panel(curve, settings) == panel)
        if settings.monitor == "mlid" and "," in ks:
            raise LdregError(
                f"{exhibit.path}: settings.monitor: mlid is at each run's own k, here {ks}, which one panel "
                "cannot compare; mlid_mle_32 has one k"
            )
    seen: dict[tuple[str, str], TrainingCurve] = {}
    for curve in found if settings.over else ():
        other = seen.setdefault((curve.arm.regularizer, name(curve.value)), curve)
        if other is not curve:
            both = f"{_label(other)} and {_label(curve)}"
            raise LdregError(
                f"{exhibit.path}: settings.over: {settings.over} does not tell the curves at "
                f"{name(curve.value)} apart: {both}"
            )


def _panel(curve: TrainingCurve, settings: CurveSettings) -> str:
    return "" if settings.over else curve.context.label


def _label(curve: TrainingCurve) -> str:
    return f"{curve.context.label}, {curve.arm.label}"


def _points(arm: Arm, monitor: str) -> pd.DataFrame:
    histories = {
        seed: _history(Path(folder), monitor) for seed, folder in by_seed(arm.runs, "folder").items()
    }
    rows = []
    for epoch, values in pd.DataFrame(histories).sort_index().iterrows():
        values = values.dropna()
        rows.append(
            {
                "epoch": int(epoch),
                **estimate_columns(t_interval(values)),
                "seeds": values_by_seed(values),
            }
        )
    return pd.DataFrame(rows)


def _history(folder: Path, monitor: str) -> pd.Series:
    """The monitor by epoch, without the epochs in which it was not measured."""
    path = folder / "history.csv"
    frame = read_columns(path, ("epoch",))
    measured = [key for key in get_args(MonitorName) if key in frame and frame[key].notna().any()]
    if monitor not in measured:
        there = ", ".join(measured) or "nothing"
        raise LdregError(f"{path}: {monitor}: not measured in any epoch; there is {there}")
    return read_columns(path, ("epoch", monitor)).set_index("epoch")[monitor].dropna()


def table(found: list[TrainingCurve], settings: CurveSettings) -> pd.DataFrame:
    """One line per curve and measured epoch, with each seed's value."""
    parts = []
    for curve in found:
        keys = {**curve.context.columns(curve.arm), "monitor": settings.monitor}
        if curve.after:
            keys |= estimate_columns(curve.after, f"{settings.in_legend}_")
        parts.append(pd.DataFrame([{**keys, **row} for row in curve.points.to_dict("records")]))
    # The metric after training has the seeds of the curve, which the lines of the curve give.
    return pd.concat(parts, ignore_index=True).drop(columns=f"{settings.in_legend}_n", errors="ignore")


def line_names(found: list[TrainingCurve], settings: CurveSettings) -> dict[tuple[str, str], str]:
    """The name of each setting's line style; in a panel of `over`, colours tell the values apart."""
    if settings.over:
        return {curve.setting: _kind(curve) for curve in found}
    groups: dict[str, list[tuple[str, str]]] = {}
    for curve in found:
        groups.setdefault(curve.context.label, []).append(curve.setting)
    return series_names(groups.values())


def _kind(curve: TrainingCurve) -> str:
    return name(curve.arm.regularizer) if curve.arm.regularized else "unregularised"


def monitor_k(curve: TrainingCurve) -> float:
    """The k of the monitor `mlid` in these runs."""
    return curve.arm.k if present(curve.arm.k) else float(curve.arm.runs["monitor_k"].iloc[0])
