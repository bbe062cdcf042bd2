"""The numbers of a sweep: for each value of a swept setting, levels and paired effects over seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.errors import LdregError
from ldreg.exhibits.data import (
    REGULARIZER_KEYS,
    Exhibit,
    by_seed,
    check_keys,
    matches,
    setting_keys,
)
from ldreg.exhibits.labels import name, present
from ldreg.exhibits.reported import Reported, difference
from ldreg.exhibits.settings import REPORTED_AXES, SweepSettings
from ldreg.exhibits.statistics import Estimate, paired, t_interval


@dataclass(frozen=True)
class Point:
    """One value of the swept setting for one series. `value` is None for runs that have none of it: the
    unregularised runs of a sweep over the regulariser's settings, which are a line instead of a point."""

    series: str
    value: Any
    seeds: pd.Series  # the metric by seed
    level: Estimate
    effect: Estimate | None  # minus the unregularised runs, paired by seed
    paper: float | None
    paper_effect: float | None
    read_off: bool | None  # whether the paper's number is read off a figure instead of printed


@dataclass(frozen=True)
class Panel:
    """One metric over one swept setting, for the runs whose other settings are at their base."""

    path: Path
    axis: str
    metric: str
    rows: pd.DataFrame
    settings: SweepSettings
    paper: Reported

    def points(self) -> list[Point]:
        """All points: the unregularised runs first, then by series and value.

        Raises LdregError when runs of one point differ in a setting that `base` does not fix.
        """
        points = [self._point(*found) for found in self._groups()]
        return sorted(points, key=lambda point: (point.series != "none", point.series))

    def _groups(self) -> Iterator[tuple[str, Any, pd.DataFrame]]:
        for series, members in self.rows.groupby("regularizer", sort=False):
            if series == "none" and self.axis in REGULARIZER_KEYS:
                yield series, None, members
                continue
            numeric = pd.api.types.is_numeric_dtype(members[self.axis])
            for value, group in members.groupby(self.axis, sort=numeric, dropna=False):
                yield series, value, group

    def _point(self, series: str, value: Any, group: pd.DataFrame) -> Point:
        for key in setting_keys(group):
            if key != self.axis and group[key].nunique(dropna=False) > 1:
                values = ", ".join(sorted(name(value) for value in group[key].unique()))
                where = f"{self.path}: base: runs of one point of the sweep over {self.axis}"
                raise LdregError(f"{where} differ in {key} ({values}); name the wanted {key} in base")
        control = self.rows[self.rows["regularizer"] == "none"]
        if self.axis not in REGULARIZER_KEYS:
            control = control[matches(control[self.axis], value)]
        seeds = by_seed(group, self.metric)
        effect = None if series == "none" else paired(seeds, by_seed(control, self.metric))
        return Point(series, value, seeds, t_interval(seeds), effect, *self._reported(series, value, group))

    def _reported(
        self, series: str, value: Any, group: pd.DataFrame
    ) -> tuple[float | None, float | None, bool | None]:
        """The paper's level and effect at this value, its other settings at `paper_base`."""
        if present(value) and self.axis not in REPORTED_AXES:
            return None, None, None
        run = group.iloc[0]
        where = self.settings.paper_at(self.axis)
        where |= {"method": run["method"], "backbone": run["backbone"]}
        if self.settings.scale_of_paper:
            where |= {key: run[key] for key in ("epochs", "batch_size")}
        if present(value):
            where[self.axis] = value
        of_all = {key: there for key, there in where.items() if key not in REGULARIZER_KEYS}
        control = next(iter(self.paper.rows(**of_all, regularizer="none")), None)
        row = control
        if series != "none":
            row = next(iter(self.paper.rows(**where, regularizer=series)), None)
        if row is None or self.metric not in row.values:
            return None, None, None
        effect = None if row is control else difference(row, control, self.metric)
        return row.values[self.metric], effect, self.metric in row.approximate


def panel(exhibit: Exhibit, frame: pd.DataFrame, axis: str, metric: str, settings: SweepSettings) -> Panel:
    """The panel of `metric` over `axis`, for the runs at `base` in every other axis.

    A regulariser's setting in `base` does not restrict the unregularised runs, which have none. Raises
    LdregError when an axis is no setting of the runs or when no run is left.
    """
    check_keys(exhibit, frame, (axis, *settings.base))
    rows = frame
    for key, value in settings.base.items():
        if key != axis:
            free = (rows["regularizer"] == "none") & (key in REGULARIZER_KEYS)
            rows = rows[free | matches(rows[key], value)]
    if rows.empty:
        raise LdregError(f"{exhibit.path}: base: no run is at {settings.base}")
    return Panel(exhibit.path, axis, metric, rows, settings, Reported(exhibit.paper, settings))
