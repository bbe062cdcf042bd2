"""The numbers of a sweep: for each value of a swept setting, levels and paired effects over seeds.

Runs of one curve differ in the swept setting and in settings that follow from it. Runs that also differ in
another setting, such as the method, belong to other curves, so that no run is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ldreg.errors import LdregError
from ldreg.exhibits.figures.sweep_declared import SweepSettings, at_base
from ldreg.exhibits.output.labels import name, plain, present, regularizer
from ldreg.exhibits.paper.reported import Reported, difference
from ldreg.exhibits.runs.run_table import (
    ExhibitSpec,
    by_seed,
    check_keys,
    matches,
    setting_keys,
)
from ldreg.exhibits.settings import REGULARIZER_KEYS, REPORTED_AXES
from ldreg.exhibits.stats.intervals import Estimate, paired, t_interval

_NETWORKS = ("method", "backbone")


@dataclass(frozen=True)
class SweepCurve:
    """One curve: its regulariser, and the settings that distinguish it from others with that regulariser."""

    series: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """The curve's name in a legend.

        >>> SweepCurve("none").label, SweepCurve("ldreg_l1", (("method", "byol"), ("beta", 0.1))).label
        ('unregularised', 'BYOL, LDReg β 0.1')
        """
        own = dict(self.settings)
        beta, k = own.pop("beta", None), own.pop("k", None)
        parts = [
            name(value) if key in _NETWORKS else f"{plain(key)} {name(value)}" for key, value in own.items()
        ]
        kind = "unregularised" if self.series == "none" else regularizer(self.series, beta, k)
        return ", ".join([*parts, kind])

    @property
    def networks(self) -> tuple[tuple[str, Any], ...]:
        """Its settings without the regulariser's: equal for curves with the same unregularised runs."""
        return tuple(each for each in self.settings if each[0] not in REGULARIZER_KEYS)


@dataclass(frozen=True)
class Point:
    """One value of the swept setting on one curve.

    `value` is None for runs without that setting. They are the unregularised runs of a sweep over the
    regulariser's settings, and are drawn as a line instead of a point.
    """

    curve: SweepCurve
    value: Any
    seeds: pd.Series  # the metric by seed
    level: Estimate
    effect: Estimate | None  # difference to the unregularised runs, paired by seed
    paper: float | None
    paper_effect: float | None
    read_off: bool | None  # whether the paper's number is read off a figure instead of printed

    @property
    def series(self) -> str:
        """The regulariser."""
        return self.curve.series


@dataclass(frozen=True)
class SweepPanel:
    """One metric over one swept setting, for the runs whose other settings are at their base."""

    axis: str
    metric: str
    rows: pd.DataFrame
    settings: SweepSettings
    paper: Reported

    def points(self) -> list[Point]:
        """All points: the unregularised runs first, then by series, curve and value."""
        points = [self._point(*found) for found in self._groups()]
        return sorted(points, key=lambda point: (point.series != "none", point.series))

    def _groups(self) -> Iterator[tuple[SweepCurve, Any, pd.DataFrame]]:
        keys = curve_keys(self.rows, self.axis)
        for (series, *values), members in self.rows.groupby(["regularizer", *keys], sort=False, dropna=False):
            own = [
                (key, value)
                for key, value in zip(keys, values, strict=True)
                if present(value) and not (series == "none" and key in REGULARIZER_KEYS)
            ]
            curve = SweepCurve(series, tuple(own))
            if series == "none" and self.axis in REGULARIZER_KEYS:
                yield curve, None, members
                continue
            numeric = pd.api.types.is_numeric_dtype(members[self.axis])
            for value, group in members.groupby(self.axis, sort=numeric, dropna=False):
                yield curve, value if present(value) else None, group

    def _point(self, curve: SweepCurve, value: Any, group: pd.DataFrame) -> Point:
        control = self.rows[self.rows["regularizer"] == "none"]
        networks = [(key, there) for key, there in curve.networks if key != self.axis]
        if self.axis not in REGULARIZER_KEYS:
            networks.append((self.axis, value))
        for key, there in networks:
            control = control[matches(control[key], there)]
        seeds = by_seed(group, self.metric)
        effect = None if curve.series == "none" else paired(seeds, by_seed(control, self.metric))
        return Point(curve, value, seeds, t_interval(seeds), effect, *self._reported(curve, value, group))

    def _reported(
        self, curve: SweepCurve, value: Any, group: pd.DataFrame
    ) -> tuple[float | None, float | None, bool | None]:
        """The paper's level and effect at this value, its other settings the curve's or at `paper_base`."""
        own = dict(curve.settings)
        if not {*own, *([self.axis] if present(value) else [])} <= {*REPORTED_AXES}:
            return None, None, None
        run = group.iloc[0]
        where = self.paper.beside(self.axis)
        where |= {"method": run["method"], "backbone": run["backbone"]}
        if self.settings.scale_of_paper:
            where |= {key: run[key] for key in ("epochs", "batch_size")}
        where |= own
        if present(value):
            where[self.axis] = value
        of_all = {key: there for key, there in where.items() if key not in REGULARIZER_KEYS}
        control = next(iter(self.paper.rows(**of_all, regularizer="none")), None)
        row = control
        if curve.series != "none":
            row = next(iter(self.paper.rows(**where, regularizer=curve.series)), None)
        if row is None or self.metric not in row.values:
            return None, None, None
        effect = None if row is control else difference(row, control, self.metric)
        return row.values[self.metric], effect, self.metric in row.approximate


def curve_keys(rows: pd.DataFrame, axis: str) -> list[str]:
    """The settings, beside the regulariser, that tell the curves over `axis` apart.

    They are all settings in which runs of one point would differ, without those that follow from others.
    Methods and encoders are never joined.
    """
    keys: list[str] = []
    for key in dict.fromkeys((*_NETWORKS, *setting_keys(rows))):
        if key in (axis, "regularizer"):
            continue
        network = key in _NETWORKS and axis not in _NETWORKS
        within = ["regularizer", *([] if network else [axis]), *keys]
        if rows.groupby(within, dropna=False)[key].nunique(dropna=False).max() > 1:
            keys.append(key)
    return keys


def panel(
    exhibit: ExhibitSpec, frame: pd.DataFrame, axis: str, metric: str, settings: SweepSettings
) -> SweepPanel:
    """The panel of `metric` over `axis`, for the runs at `base` in every other axis.

    A setting in `base` does not restrict runs that have none of it, such as the unregularised ones. Raises
    LdregError when an axis is no setting of the runs or when no run is left.
    """
    check_keys(exhibit, frame, (axis, *settings.base))
    rows = frame[[at_base(row, _base(row, settings), axis) for _, row in frame.iterrows()]]
    if rows.empty:
        raise LdregError(f"{exhibit.path}: base: no run is at {settings.base}")
    return SweepPanel(axis, metric, rows, settings, Reported(exhibit.paper, settings))


def _base(row: Mapping[str, Any], settings: SweepSettings) -> Mapping[str, Any]:
    """Where the axes cross for a run's method and encoder."""
    return settings.base_of.get(f"{row['method']} {row['backbone']}", settings.base)
