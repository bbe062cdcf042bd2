"""Runs grouped for comparison.

An arm holds the runs of one regulariser setting, which differ by seed alone. A context holds the arms that
agree in every other setting.
"""

import math
from dataclasses import dataclass

import pandas as pd

from ldreg.exhibits.output.labels import name, plain, present, regularizer
from ldreg.exhibits.runs.run_table import by_seed, setting_keys
from ldreg.exhibits.settings import REGULARIZER_KEYS
from ldreg.exhibits.stats.intervals import LEVEL, Estimate, paired, t_interval


@dataclass(frozen=True)
class Setting:
    """The settings of an arm by which its row of the paper is found."""

    method: str
    backbone: str
    epochs: int
    batch_size: int
    regularizer: str = "none"
    beta: float = math.nan
    k: float = math.nan
    acts_on: str = "representations"


@dataclass(frozen=True)
class Arm:
    """Runs that differ by seed alone; `extra`: further settings of their regulariser, in words."""

    regularizer: str
    beta: float
    k: float
    runs: pd.DataFrame
    extra: str = ""

    @property
    def acts_on(self) -> str:
        """The features that the regulariser acts on."""
        return self.runs["acts_on"].iloc[0]

    @property
    def regularized(self) -> bool:
        """Whether anything is added to the method's own loss."""
        return self.regularizer != "none"

    @property
    def label(self) -> str:
        """The regulariser with its settings, as tables name it: 'LDReg β 0.1, k 16', 'none'."""
        return regularizer(self.regularizer, self.beta, self.k, self.extra)

    @property
    def series(self) -> str:
        """The same as figures name it: 'LDReg β 0.1, k 16', 'unregularised'."""
        return self.label if self.regularized else "unregularised"

    def level(self, metric: str) -> Estimate:
        """Mean over seeds with interval."""
        return t_interval(by_seed(self.runs, metric))

    def effect(self, control: "Arm", metric: str, level: float = LEVEL) -> Estimate | None:
        """This arm minus `control`, paired by seed; None when they share no seed."""
        return paired(by_seed(self.runs, metric), by_seed(control.runs, metric), level)


@dataclass(frozen=True)
class Context:
    """Arms that agree in every setting but the regulariser's, the unregularised one first.

    They are compared seed by seed. `extra`: the settings in which the context differs from others, in words.
    """

    method: str
    backbone: str
    epochs: int
    batch_size: int
    arms: tuple[Arm, ...]
    extra: str = ""

    def setting(self, arm: Arm | None = None) -> Setting:
        """The setting of an arm of this context, or of its unregularised runs."""
        where = (self.method, self.backbone, self.epochs, self.batch_size)
        if arm is None:
            return Setting(*where)
        return Setting(*where, arm.regularizer, arm.beta, arm.k, arm.acts_on)

    def columns(self, arm: Arm) -> dict[str, str | float | None]:
        """An arm of this context as columns of a CSV."""
        return {
            "method": self.method,
            "backbone": self.backbone,
            "regularizer": arm.regularizer,
            "beta": arm.beta,
            "k": arm.k,
            "setting": ", ".join(extra for extra in (self.extra, arm.extra) if extra),
        }

    @property
    def label(self) -> str:
        return ", ".join([name(self.method), name(self.backbone), *([self.extra] if self.extra else [])])

    @property
    def control(self) -> Arm | None:
        """The unregularised arm, if it was run."""
        return next((arm for arm in self.arms if not arm.regularized), None)

    @property
    def treated(self) -> tuple[Arm, ...]:
        """The regularised arms."""
        return tuple(arm for arm in self.arms if arm.regularized)


_CONTEXT = ("method", "backbone", "epochs", "batch_size")
_ARM = ("regularizer", "beta", "k")


def contexts(frame: pd.DataFrame) -> list[Context]:
    """All runs of `load_runs` by context and arm, in the order in which the runs are listed."""
    keys = [key for key in setting_keys(frame) if key not in REGULARIZER_KEYS]
    found = [group for _, group in frame.groupby(keys, dropna=False, sort=False)]
    extras = _distinguish(found, ["method", "backbone"], keys)
    return [
        Context(*(group[key].iloc[0] for key in _CONTEXT), _arms(group), extra)
        for group, extra in zip(found, extras, strict=True)
    ]


def _arms(group: pd.DataFrame) -> tuple[Arm, ...]:
    found = [rows for _, rows in group.groupby(list(REGULARIZER_KEYS), dropna=False, sort=False)]
    extras = _distinguish(found, [*_ARM, "target", "acts_on"], list(REGULARIZER_KEYS))
    arms = [
        Arm(*(rows[key].iloc[0] for key in _ARM), rows, _words(rows.iloc[0], extra))
        for rows, extra in zip(found, extras, strict=True)
    ]
    return tuple(sorted(arms, key=lambda arm: arm.regularized))


def _words(run: pd.Series, extra: str) -> str:
    """A regulariser's further settings: its target, the features that it acts on, and `extra`."""
    words = [f"{name('target')} {name(run['target'])}"] if present(run["target"]) else []
    words += [f"on {run['acts_on']}"] if run["acts_on"] != "representations" else []
    return ", ".join([*words, *([extra] if extra else [])])


def _distinguish(groups: list[pd.DataFrame], shown: list[str], keys: list[str]) -> list[str]:
    """For groups that agree in the `shown` keys, their other differences in words; '' for others."""
    heads = pd.DataFrame([group.iloc[0] for group in groups]).reset_index(drop=True)
    extras = [""] * len(groups)
    for _, alike in heads.groupby(shown, dropna=False):
        differing = [key for key in keys if key not in shown and alike[key].nunique(dropna=False) > 1]
        for position, row in alike.iterrows():
            words = [f"{plain(key)} {name(row[key])}" for key in differing if present(row[key])]
            extras[position] = ", ".join(words)
    return extras
