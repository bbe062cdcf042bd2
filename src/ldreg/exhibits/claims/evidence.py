"""The evidence on which claims are tested: the runs by context and arm, and facts from their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.errors import LdregError
from ldreg.exhibits.claims.declared import LedgerSettings, plane_files
from ldreg.exhibits.claims.run_facts import run_facts
from ldreg.exhibits.output.labels import name, plain, same
from ldreg.exhibits.paper.reported import Reported, plane_numbers
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.run_table import add_columns, by_seed, setting_keys
from ldreg.exhibits.settings import REGULARIZER_KEYS
from ldreg.exhibits.stats.intervals import differences
from ldreg.files import read_json

# Where the paper compares a method with and without LDReg on ImageNet, best first.
PAIRS = ("table1", "figure5", "table15")
SERIES = ("batch_size", "jitter")  # settings whose values make a series of contexts


@dataclass(frozen=True)
class Evidence:
    """The contexts of all runs. The first context of each method and encoder is the usual one."""

    contexts: tuple[Context, ...]
    settings: LedgerSettings
    paper: Path
    plane: Mapping[str, Any] = field(default_factory=dict)  # the numbers of Figures 1 and 3, by figure

    def reported(self, *exhibits: str, kind: type[Reported] = Reported) -> Reported:
        """The paper's numbers in these exhibits, of which the first is looked up first.

        kind: the measurement that the numbers are of.
        """
        return kind(self.paper, self.settings.model_copy(update={"paper_exhibits": exhibits}))

    @cached_property
    def reported_pairs(self) -> Reported:
        """The paper's pairs; those of 1000 epochs (Table 2) are used only at the paper's own scale."""
        return self.reported(*PAIRS, *(["table2"] if self.settings.scale_of_paper else []))

    @cached_property
    def plane_numbers(self) -> dict[str, float]:
        """The paper's numbers of points in the plane, by metric."""
        return plane_numbers(self.paper)

    @cached_property
    def pairs(self) -> tuple[tuple[Context, Arm], ...]:
        """Contexts with an unregularised and an LDReg arm; of a series, the usual context alone."""
        members = {id(context) for key in SERIES for group in self.series(key) for context in group[1:]}
        found = [(each, self.ldreg(each)) for each in self.contexts if id(each) not in members]
        return tuple((context, arm) for context, arm in found if arm is not None and context.control)

    def series(self, key: str) -> list[tuple[Context, ...]]:
        """Groups of contexts that differ in `key` alone, each beginning with the usual context."""
        groups = []
        for usual in usual_contexts(self.contexts):
            others = [each for each in self.contexts if differing(usual, each) == [key]]
            groups += [(usual, *others)] if others else []
        return groups

    def arms(self, context: Context, regularizer: str) -> list[Arm]:
        """The arms of one regulariser."""
        return [arm for arm in context.treated if arm.regularizer == regularizer]

    def ldreg(self, context: Context) -> Arm | None:
        """The LDReg arm at `base`; without one, the only arm, or the only arm that the paper has too."""
        arms, base = self.arms(context, self.settings.regularizer), self.settings.base
        at_base = [arm for arm in arms if all(self._at(arm, key) for key in base)]
        if len(at_base) > 1:
            raise LdregError(f"claims: base: {base} does not single out one of {_labels(at_base)}")
        found = at_base or arms
        if len(found) > 1:
            found = [arm for arm in found if self.reported_pairs.row(context.setting(arm))]
        return found[0] if len(found) == 1 else None

    def swept(self, context: Context, regularizer: str, axis: str) -> dict[float, Arm]:
        """The arms of one regulariser, at `base` except for the axis, by ascending value of the axis."""
        base = self.settings.base
        found = [
            arm
            for arm in self.arms(context, regularizer)
            if all(self._at(arm, key) for key in base if key != axis)
        ]
        swept = {value_of(arm, axis): arm for arm in sorted(found, key=lambda arm: value_of(arm, axis))}
        if len(swept) < len(found):
            raise LdregError(f"claims: base: {base} leaves several runs at one {axis}: {_labels(found)}")
        return swept

    def _at(self, arm: Arm, key: str) -> bool:
        return same(value_of(arm, key), self.settings.base[key])


def read_evidence(frame: pd.DataFrame, settings: LedgerSettings, paper: Path, exhibits: Path) -> Evidence:
    """All runs of `load_runs` by context and arm, with the columns of `run_facts`.

    exhibits: the folder of the exhibits, where the numbers of Figures 1 and 3 lie.
    """
    found = contexts(add_columns(frame, lambda folder: run_facts(folder, settings)))
    labelled = [replace(each, extra=_extra(each, found)) for each in found]
    plane = {Path(file).stem: read_json(exhibits / Path(file).name) for file in plane_files(settings)}
    return Evidence(tuple(labelled), settings, paper, plane)


def usual_contexts(found: Sequence[Context]) -> list[Context]:
    """The first context of each method and encoder, from which the others differ."""
    first: dict[tuple[str, str], Context] = {}
    for context in found:
        first.setdefault((context.method, context.backbone), context)
    return list(first.values())


def differing(one: Context, other: Context) -> list[str]:
    """The settings in which two contexts of one method and encoder differ; [] for other pairs of contexts."""
    if (one.method, one.backbone) != (other.method, other.backbone):
        return []
    rows = one.arms[0].runs, other.arms[0].runs
    keys = [key for key in setting_keys(rows[0]) if key not in REGULARIZER_KEYS]
    return [key for key in keys if not same(*(row[key].iloc[0] for row in rows))]


def value_of(arm: Arm, key: str) -> Any:
    """The value of a setting, which all runs of the arm share."""
    return arm.runs[key].iloc[0]


def seeds(arm: Arm, metric: str) -> pd.Series:
    """A quantity of the arm's runs by seed; runs that lack it are left out."""
    return by_seed(arm.runs, metric).dropna()


def gains(arm: Arm, control: Arm, metric: str) -> pd.Series:
    """The arm's metric minus the control's, by seed, for the seeds that both have."""
    return differences(seeds(arm, metric), seeds(control, metric))


def _extra(context: Context, found: Sequence[Context]) -> str:
    """The settings in which a context differs from the usual one, in words."""
    varied = [key for usual in usual_contexts(found) for key in differing(usual, context)]
    return ", ".join(f"{plain(key)} {name(value_of(context.arms[0], key))}" for key in varied)


def _labels(arms: Sequence[Arm]) -> str:
    return "; ".join(arm.label for arm in arms)
