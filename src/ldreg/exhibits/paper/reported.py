"""The paper's own numbers for our settings: the only reader of config/paper/reported.csv."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.errors import LdregError, unknown
from ldreg.exhibits.output.labels import name, present, regularizer, same
from ldreg.exhibits.runs.arms import Setting
from ldreg.exhibits.runs.run_table import matches
from ldreg.exhibits.settings import Settings

# Settings that distinguish the paper's rows of one method, encoder and regulariser. Those in _OPEN may be
# empty.
_KEYS = ("beta", "k", "epochs", "batch_size")
_OPEN = ("epochs", "batch_size")
COLLAPSE = "collapse"  # the status of a cell without a number in the paper, because training collapsed
HOURS = "pretrain_hours"  # the metric of Table 4
SWEEPS = "figure5"  # the exhibit with the sweeps over beta and k
PLANE = "figure1c"  # the exhibit with points in the plane
_COLUMNS = ("exhibit", "model", "epochs", "batch_size", "method", "regularizer", "beta", "k", "dataset")
_COLUMNS += ("metric", "value", "status")


def read_reported(path: str | Path) -> pd.DataFrame:
    """All rows of the CSV, one per number; LdregError when it is missing or has other columns."""
    if not Path(path).is_file():
        raise LdregError(f"{path}: no such file (the paper's reported numbers)")
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise LdregError(f"{path}: cannot be read as CSV: {' '.join(str(error).split())}") from error
    for column in table:
        if column not in _COLUMNS:
            raise unknown(f"{path}: column", column, _COLUMNS)
    if lacking := [column for column in _COLUMNS if column not in table]:
        raise LdregError(f"{path}: no column {', '.join(lacking)}")
    for column in ("value", *_KEYS):
        wrong = table[column][table[column].notna() & pd.to_numeric(table[column], errors="coerce").isna()]
        for row, value in wrong.items():
            raise LdregError(
                f"{path}: row {row + 1}: {column}: {value!r} is not allowed; it should be a number"
            )
    return table


def plane_numbers(path: str | Path) -> dict[str, float]:
    """The numbers that the paper prints in Figure 1 (c), by metric, such as `gid_at_mlid_1.1`."""
    table = read_reported(path)
    printed = table[table["exhibit"] == PLANE]
    return dict(zip(printed["metric"], printed["value"].astype(float), strict=True))


@dataclass(frozen=True)
class PaperRow:
    """One setting of the paper, with its metrics.

    `approximate` holds the metrics read off a figure, `collapsed` those without a number because training
    collapsed.
    """

    exhibit: str
    method: str
    backbone: str
    regularizer: str
    beta: float
    k: float
    epochs: float
    batch_size: float
    values: dict[str, float]
    approximate: frozenset[str] = frozenset()
    collapsed: frozenset[str] = frozenset()

    @property
    def budget(self) -> tuple[str, ...]:
        """The settings without the regulariser's, which a row shares with its unregularised one."""
        return (self.method, self.backbone, name(self.epochs), name(self.batch_size))

    @property
    def setting(self) -> str:
        """'SimCLR, ResNet-50, LDReg β 0.01, k 64, 100 epochs, batch size 2048'."""
        budget = [f"{name(self.epochs)} epochs"] if present(self.epochs) else []
        budget += [f"batch size {name(self.batch_size)}"] if present(self.batch_size) else []
        arm = regularizer(self.regularizer, self.beta, self.k)
        return ", ".join([name(self.method), name(self.backbone), arm, *budget])


class Reported:
    """The paper's numbers for encoders on ImageNet itself, in the exhibits that the settings name."""

    def __init__(self, path: str | Path, settings: Settings) -> None:
        """Read the CSV; LdregError when it is missing."""
        table = read_reported(path)
        self._crossing = _crossing(table)
        rank = {exhibit: place for place, exhibit in enumerate(settings.paper_exhibits)}
        table = table[table["exhibit"].isin(rank)]
        table = table[table["value"].notna() | (table["status"] == COLLAPSE)]
        keys = [self._key(*cell) for cell in zip(table["dataset"], table["metric"], strict=True)]
        table = table.assign(metric=keys).dropna(subset=["metric"])
        self._table = table.sort_values("exhibit", key=lambda column: column.map(rank), kind="stable")
        self._settings = settings

    @staticmethod
    def _key(dataset: str, metric: str) -> str | None:
        """Our name of a metric on a data set; None if this reader leaves it out.

        Rows of transfer and detection repeat the pretraining's keys with another data set.
        """
        return metric if dataset == "imagenet" else None

    def base(self, axis: str) -> dict[str, Any]:
        """The paper's settings while it sweeps `axis`, including its base value of `axis`."""
        return self._settings.paper_base or (self._crossing if axis in self._crossing else {})

    def beside(self, axis: str) -> dict[str, Any]:
        """The values at which the paper's other settings stay while it sweeps `axis`."""
        return {key: value for key, value in self.base(axis).items() if key != axis}

    def backbone(self, ours: str) -> str:
        """The paper's encoder for which ours stands; at the paper's own scale it is the same one."""
        return ours if self._settings.scale_of_paper else self._settings.stands_for.get(ours, ours)

    def first(self) -> list[PaperRow]:
        """All rows of the exhibit that the settings name first."""
        return [row for row in self.rows() if row.exhibit == self._settings.paper_exhibits[0]]

    def rows(self, **where: Any) -> list[PaperRow]:
        """The paper's settings that agree with `where` (columns of the CSV; None matches only empty cells).

        `backbone` is our name for the encoder; an empty cell of `epochs` or `batch_size` agrees with all. A
        metric that two exhibits give is taken from the one named first in the settings: Table 1 prints what
        Figure 5 only draws.
        """
        if "backbone" in where:
            where["model"] = self.backbone(where.pop("backbone"))
        table = self._table
        for column, value in where.items():
            agree = matches(table[column], value)
            table = table[agree | table[column].isna() if column in _OPEN else agree]
        rows = []
        keys = ["method", "model", "regularizer", *_KEYS]
        for key, cells in table.groupby(keys, dropna=False, sort=False):
            first = cells.drop_duplicates("metric")
            drawn = first[first["status"].str.startswith("approximate")]["metric"]
            collapsed = first[first["status"] == COLLAPSE]["metric"]
            known = first.dropna(subset=["value"])
            values = dict(zip(known["metric"], known["value"].astype(float), strict=True))
            given = (values, frozenset(drawn), frozenset(collapsed))
            rows.append(PaperRow(cells["exhibit"].iloc[0], *key, *given))
        return rows

    def row(self, ours: Setting) -> PaperRow | None:
        """The paper's row for a setting of ours.

        At the paper's scale beta, k, epochs and batch size must be equal. At another scale they are chosen
        anew: the row is then one that agrees in beta and k or, without such a row, one of the exhibit named
        first. There, settings that the exhibit varies must agree, after `paper_values` where it has them.
        """
        where = {"method": ours.method, "backbone": ours.backbone, "regularizer": ours.regularizer}
        rows = self.rows(**where) if ours.acts_on == "representations" else []
        if self._settings.scale_of_paper:
            return next((row for row in rows if self._agrees(row, ours, *_KEYS)), None)
        alike = [row for row in rows if self._agrees(row, ours, "beta", "k")]
        rows = alike or [row for row in rows if row.exhibit == rows[0].exhibit]
        for key in _KEYS:
            found = [row for row in rows if self._agrees(row, ours, key)]
            varies = len({name(getattr(row, key)) for row in rows}) > 1
            if not found and (varies or key in self._settings.paper_values):
                return None
            rows = found or rows
        return next(iter(rows), None)

    def _agrees(self, row: PaperRow, ours: Setting, *keys: str) -> bool:
        for key in keys:
            theirs, wanted = getattr(row, key), getattr(ours, key)
            wanted = self._settings.paper_values.get(key, {}).get(wanted, wanted)
            if not (same(theirs, wanted) or (key in _OPEN and not present(theirs))):
                return False
        return True


class TransferReported(Reported):
    """The accuracies on other data sets (Table 2); a metric is named by its data set."""

    @staticmethod
    def _key(dataset: str, metric: str) -> str | None:
        return dataset if metric == "linear_top1" and dataset != "imagenet" else None


class DetectionReported(Reported):
    """The average precisions of boxes and masks in detection (Table 3)."""

    @staticmethod
    def _key(dataset: str, metric: str) -> str | None:
        return metric if dataset == "coco" else None


def _crossing(table: pd.DataFrame) -> dict[str, float]:
    """The beta and k at which the paper's sweeps cross: for each, the value with most values of the other."""
    swept = table[table["exhibit"] == SWEEPS]
    others = {"beta": "k", "k": "beta"} if len(swept) else {}
    return {key: float(swept.groupby(key)[other].nunique().idxmax()) for key, other in others.items()}


def difference(treated: PaperRow | None, control: PaperRow | None, metric: str) -> float | None:
    """The paper's effect: with minus without; None where it does not give both."""
    if treated is None or control is None:
        return None
    if metric not in treated.values or metric not in control.values:
        return None
    # Printed numbers have few decimals, so rounding removes the errors of binary fractions.
    return round(treated.values[metric] - control.values[metric], 4)
