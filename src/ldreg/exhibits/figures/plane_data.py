"""The rows behind figures 1 and 3, which are their CSV. Nothing is drawn that is not in these rows.

The columns are panel, series and seed; x and y, for points and lines; value, for numbers; and the paper's
numbers. A number without a seed is taken over all seeds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ldreg.exhibits.stats.intervals import estimate_columns, t_interval

COLUMNS = ["panel", "series", "x", "y", "seed", "value", "paper"]
LOSSES = {"mlid": "offset", "mlid_per_sample": "offset_per_sample"}  # figure 3: number, series


def figure1_table(content: Mapping[str, Any], paper: Mapping[str, float]) -> pd.DataFrame:
    """All rows of figure 1; `paper` holds its metrics in reported.csv, such as gid_at_mlid_1.1."""
    panels, rows = content["panels"], []
    for letter, name in (("a", "collapsed"), ("b", "spread")):
        by_distance = sorted(panels[name]["points"], key=lambda point: math.hypot(*point))
        distances = [math.hypot(*point) for point in by_distance]
        shares = [(place + 1) / len(distances) for place in range(len(distances))]
        rows += _curve(letter, "points", panels[name]["points"])
        rows += _curve(letter, "neighbours", by_distance[: content["anchor_k"]])
        rows += _curve(letter, "distances", zip(distances, shares, strict=True))
        rows += _numbers(letter, panels[name], content["seeds"])
    for place, name in enumerate(filter(lambda name: name.startswith("cloud_"), panels), start=1):
        target = name.removeprefix("cloud_")
        beside = {"mlid": float(target)} | {
            key: paper[f"{key}_at_mlid_{target}"]
            for key in ("fr_distance", "gid")
            if f"{key}_at_mlid_{target}" in paper
        }
        rows += _curve(f"c{place}", "points", panels[name]["points"])
        rows += _numbers(f"c{place}", panels[name], content["seeds"], beside)
        rows += _over_k(f"c{place}", panels[name], content)
    restored = panels["restored"]
    rows += _curve("d", "points", restored["points"]) + _numbers("d", restored, content["seeds"])
    rows += _over_k("d", restored, content) + _over_k("uniform", panels["uniform"], content)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})


def figure3_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """All rows of figure 3. Panels are named by their target, or "uniform".

    In `offset` and `offset_per_sample`, value is mLID minus target, of the layer that is drawn and of the
    one trained with the bars around each sample; `..._mean`, `..._low`, `..._high` are their mean over seeds
    and its 95 % t-interval. The `anchor` is the point nearest to the origin.
    """
    rows = []
    for target in targets(content):
        panel = content["panels"][target]
        center = min(panel["points"], key=lambda point: math.hypot(*point))
        near = sorted(panel["points"], key=lambda point: math.dist(point, center))
        rows += _curve(target, "points", panel["points"]) + _curve(target, "anchor", [center])
        rows += _curve(target, "neighbours", near[1 : content["k"] + 1])
        rows += _numbers(target, panel, content["seeds"]) + _over_k(target, panel, content)
        for number, series in LOSSES.items():
            offsets = [mlid - float(target) for mlid in panel[number]]
            rows += _numbers(target, {series: offsets}, content["seeds"]) + _interval(target, series, offsets)
    rows += _over_k("uniform", content["panels"]["uniform"], content)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})


def targets(content: Mapping[str, Any]) -> list[str]:
    """The targets of figure 3, which name its panels."""
    return [name for name in content["panels"] if name != "uniform"]


def xy(rows: pd.DataFrame, panel: str, series: str) -> tuple[Any, Any]:
    found = rows[(rows["panel"] == panel) & (rows["series"] == series)]
    return found["x"].to_numpy(), found["y"].to_numpy()


def values(rows: pd.DataFrame, panel: str, series: str) -> list[float]:
    return rows[(rows["panel"] == panel) & (rows["series"] == series)]["value"].tolist()


def _curve(panel: str, series: str, points: Any) -> list[dict[str, Any]]:
    return [{"panel": panel, "series": series, "x": x, "y": y} for x, y in points]


def _numbers(
    panel: str, numbers: Mapping[str, Any], seeds: list[int], paper: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """A row for each number and seed. Entries that are not lists of numbers have rows of another kind."""
    return [
        {"panel": panel, "series": key, "seed": seed, "value": value, "paper": (paper or {}).get(key)}
        for key, values in numbers.items()
        if key not in ("points", "mlid_over_k")
        for seed, value in zip(seeds, values, strict=True)
    ]


def _over_k(panel: str, numbers: Mapping[str, Any], content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """mLID (y) at each k (x), for each seed."""
    return [
        row | {"seed": seed}
        for seed, mlids in zip(content["seeds"], numbers["mlid_over_k"], strict=True)
        for row in _curve(panel, "mlid over k", zip(content["ks"], mlids, strict=True))
    ]


def _interval(panel: str, series: str, offsets: Sequence[float]) -> list[dict[str, Any]]:
    """Rows of the mean and, from two seeds on, of the ends of its interval."""
    columns = estimate_columns(t_interval(offsets), f"{series}_")
    return [
        {"panel": panel, "series": name, "value": value}
        for name, value in columns.items()
        if name != f"{series}_n" and not math.isnan(value)
    ]
