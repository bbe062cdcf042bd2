"""Our arms beside the paper's rows: levels and effects, also of rows that were not run at this scale."""

from dataclasses import dataclass

import pandas as pd

from ldreg.exhibits.output.estimates import sign
from ldreg.exhibits.output.labels import METRICS, name, regularizer
from ldreg.exhibits.paper.reported import PaperRow, Reported, difference
from ldreg.exhibits.runs.arms import Context
from ldreg.exhibits.stats.intervals import Estimate, estimate_columns


@dataclass(frozen=True)
class Row:
    """One setting: its labels, our numbers and the paper's by metric (None: not run or not reported)."""

    method: str
    regularizer: str
    ours: dict[str, Estimate | None]
    paper: dict[str, float | None]
    keys: dict[str, str | float | None]  # the setting as in spec.yaml, for the CSV
    theirs: PaperRow | None  # the paper's setting

    @property
    def run(self) -> bool:
        """Whether the row has a number of ours."""
        return any(estimate is not None for estimate in self.ours.values())

    @property
    def seeds(self) -> int:
        """The number of seeds behind our numbers (of pairs of seeds behind an effect)."""
        return max((estimate.n for estimate in self.ours.values() if estimate), default=0)


Groups = list[list[Row]]


def levels(found: list[Context], paper: Reported, metrics: tuple[str, ...], not_run: bool) -> Groups:
    """One group per context, one row per arm, the unregularised one first.

    With `not_run`, the paper's rows that were not run here follow.
    """
    groups = []
    for context in found:
        rows = []
        for arm in context.arms:
            theirs = paper.row(context.setting(arm))
            values = {metric: theirs.values.get(metric) if theirs else None for metric in metrics}
            ours = {metric: arm.level(metric) for metric in metrics}
            rows.append(Row(context.label, arm.label, ours, values, context.columns(arm), theirs))
        groups.append(rows)
    for pair in _not_run(found, paper) if not_run else ():
        groups.append([_absent(row, {m: row.values.get(m) for m in metrics}) for row in pair])
    return groups


def effects(found: list[Context], paper: Reported, metrics: tuple[str, ...], not_run: bool) -> Groups:
    """One group per context, one row per regularised arm: with minus without, paired by seed."""
    groups = []
    for context in found:
        reference = paper.row(context.setting())
        rows = []
        for arm in context.treated:
            theirs = paper.row(context.setting(arm))
            values = {metric: difference(theirs, reference, metric) for metric in metrics}
            control = context.control
            ours = {metric: arm.effect(control, metric) if control else None for metric in metrics}
            rows.append(Row(context.label, arm.label, ours, values, context.columns(arm), theirs))
        groups.append(rows)
    for control, treated in _not_run(found, paper) if not_run else ():
        groups.append([_absent(treated, {m: difference(treated, control, m) for m in metrics})])
    return [group for group in groups if group]


def table(kind: str, groups: Groups, scale_of_paper: bool) -> pd.DataFrame:
    """One line per number, for the CSV; `kind` is "level" or "effect".

    At another scale than the paper's, levels are not comparable with ours, and of effects only the signs are.
    """
    comparable = scale_of_paper or kind == "effect"
    lines = []
    for row in (row for group in groups for row in group):
        for metric, ours in row.ours.items():
            lines.append(
                {
                    "kind": kind,
                    **row.keys,
                    "metric": metric,
                    "unit": METRICS[metric].unit if kind == "level" else METRICS[metric].difference_unit,
                    "status": "run" if ours else "not run",
                    **estimate_columns(ours),
                    "paper": row.paper[metric],
                    "difference": _difference(ours, row.paper[metric], scale_of_paper),
                    "sign": sign(ours, row.paper[metric]) if kind == "effect" else "",
                    "paper_setting": row.theirs.setting if row.theirs else None,
                    "comparable": comparable and row.paper[metric] is not None,
                }
            )
    return pd.DataFrame(lines)


def _difference(ours: Estimate | None, theirs: float | None, comparable: bool) -> float | None:
    """Ours minus the paper's, where they may be compared."""
    return ours.mean - theirs if comparable and ours is not None and theirs is not None else None


def _absent(row: PaperRow, values: dict[str, float | None]) -> Row:
    keys = {"method": row.method, "backbone": row.backbone, "regularizer": row.regularizer}
    keys |= {"beta": row.beta, "k": row.k, "setting": ""}
    label = f"{name(row.method)}, {name(row.backbone)}"
    ours = dict.fromkeys(values)
    return Row(label, regularizer(row.regularizer, row.beta, row.k), ours, values, keys, row)


def _not_run(found: list[Context], paper: Reported) -> list[tuple[PaperRow, PaperRow]]:
    """The pairs (without, with) of the paper's first exhibit whose method and encoder were not run here.

    Where the exhibit has several budgets of epochs and batches for these (Tables 2 and 3), a budget that was
    not run counts too.
    """
    done = {(context.method, paper.backbone(context.backbone)) for context in found}
    ours = [paper.row(context.setting(arm)) for context in found for arm in context.arms]
    budgets = {row.budget for row in ours if row}
    several: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for row in paper.first():
        several.setdefault((row.method, row.backbone), set()).add(row.budget)
    rows = [
        row
        for row in paper.first()
        if (row.method, row.backbone) not in done
        or (len(several[row.method, row.backbone]) > 1 and row.budget not in budgets)
    ]
    controls = {row.budget: row for row in rows if row.regularizer == "none"}
    treated = [row for row in rows if row.regularizer != "none" and row.budget in controls]
    return [(controls[row.budget], row) for row in treated]
