"""The paper's own numbers (config/paper/reported.csv) for one of our settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.errors import LdregError
from ldreg.exhibits.data import matches
from ldreg.exhibits.labels import name, present, regularizer, same
from ldreg.exhibits.settings import Settings


@dataclass(frozen=True)
class PaperRow:
    """One setting of the paper, with its metrics; `approximate` holds those read off a figure."""

    method: str
    backbone: str
    regularizer: str
    beta: float
    k: float
    epochs: float
    batch_size: float
    values: dict[str, float]
    approximate: frozenset[str] = frozenset()

    @property
    def setting(self) -> str:
        """'SimCLR, ResNet-50, LDReg β 0.01, k 64, 100 epochs, batch size 2048'."""
        budget = [f"{name(self.epochs)} epochs"] if present(self.epochs) else []
        budget += [f"batch size {name(self.batch_size)}"] if present(self.batch_size) else []
        arm = regularizer(self.regularizer, self.beta, self.k)
        return ", ".join([name(self.method), name(self.backbone), arm, *budget])


class Reported:
    """The numbers of the exhibits that the settings name, looked up by our settings."""

    def __init__(self, path: str | Path, settings: Settings) -> None:
        """Read the CSV; LdregError when it is missing."""
        if not Path(path).is_file():
            raise LdregError(f"{path}: no such file (the paper's reported numbers)")
        table = pd.read_csv(path)
        rank = {exhibit: place for place, exhibit in enumerate(settings.paper_exhibits)}
        # Transfer and detection rows repeat the pretraining's keys with another data set.
        table = table[table["exhibit"].isin(rank) & (table["dataset"] == "imagenet")].dropna(subset=["value"])
        self._table = table.sort_values("exhibit", key=lambda column: column.map(rank), kind="stable")
        self._settings = settings

    def backbone(self, ours: str) -> str:
        """The paper's encoder for which ours stands; at the paper's own scale none stands for another."""
        return ours if self._settings.scale_of_paper else self._settings.stands_for.get(ours, ours)

    def rows(self, **where: Any) -> list[PaperRow]:
        """The paper's settings that agree with `where` (columns of the CSV; None matches only empty cells).

        `backbone` is our name for the encoder. A metric that two exhibits give is taken from the one named
        first in the settings: Table 1 prints what Figure 5 only draws.
        """
        if "backbone" in where:
            where["model"] = self.backbone(where.pop("backbone"))
        table = self._table
        for column, value in where.items():
            table = table[matches(table[column], value)]
        rows = []
        keys = ["method", "model", "regularizer", "beta", "k"]
        for (method, model, kind, beta, k), cells in table.groupby(keys, dropna=False, sort=False):
            first = cells.drop_duplicates("metric")
            drawn = first[first["status"].str.startswith("approximate")]["metric"]
            values = dict(zip(first["metric"], first["value"].astype(float), strict=True))
            budget = cells[["epochs", "batch_size"]].iloc[0]
            rows.append(PaperRow(method, model, kind, beta, k, *budget, values, frozenset(drawn)))
        return rows

    def control(self, method: str, backbone: str) -> PaperRow | None:
        """The paper's unregularised row for a method and an encoder of ours."""
        return next(iter(self.rows(method=method, backbone=backbone, regularizer="none")), None)

    def treated(self, method: str, backbone: str, kind: str, beta: float, k: float) -> PaperRow | None:
        """The paper's row for a regulariser.

        At the paper's scale only the same beta and k will do. At another scale, where they are chosen anew,
        the row of the exhibit named first stands for the regulariser.
        """
        rows = self.rows(method=method, backbone=backbone, regularizer=kind)
        exact = [row for row in rows if same(row.beta, beta) and same(row.k, k)]
        if self._settings.scale_of_paper or exact:
            return next(iter(exact), None)
        return next(iter(rows), None)


def difference(treated: PaperRow | None, control: PaperRow | None, metric: str) -> float | None:
    """The paper's effect: with minus without; None where it does not give both."""
    if treated is None or control is None:
        return None
    if metric not in treated.values or metric not in control.values:
        return None
    return round(treated.values[metric] - control.values[metric], 4)  # of printed numbers: no float dust
