"""Runs put together: the arms (one regulariser setting, several seeds) of one context (everything else)."""

from dataclasses import dataclass

import pandas as pd

from ldreg.exhibits.data import REGULARIZER_KEYS, by_seed, setting_keys
from ldreg.exhibits.labels import name, present, regularizer
from ldreg.exhibits.statistics import LEVEL, Estimate, paired, t_interval


@dataclass(frozen=True)
class Arm:
    """Runs that differ by seed alone. `extra` says what sets them apart from another arm of that label."""

    regularizer: str
    beta: float
    k: float
    runs: pd.DataFrame
    extra: str = ""

    @property
    def label(self) -> str:
        return regularizer(self.regularizer, self.beta, self.k, self.extra)

    def level(self, metric: str) -> Estimate:
        """Mean over seeds with interval."""
        return t_interval(by_seed(self.runs, metric))

    def effect(self, control: "Arm", metric: str, level: float = LEVEL) -> Estimate | None:
        """This arm minus `control`, paired by seed; None when they share no seed."""
        return paired(by_seed(self.runs, metric), by_seed(control.runs, metric), level)


@dataclass(frozen=True)
class Context:
    """Everything but the regulariser: its arms are comparable seed by seed, the unregularised one first."""

    method: str
    backbone: str
    arms: tuple[Arm, ...]
    extra: str = ""

    @property
    def label(self) -> str:
        return ", ".join([name(self.method), name(self.backbone), *([self.extra] if self.extra else [])])

    @property
    def control(self) -> Arm | None:
        """The unregularised arm, if it was run."""
        return next((arm for arm in self.arms if arm.regularizer == "none"), None)

    @property
    def treated(self) -> tuple[Arm, ...]:
        """The regularised arms."""
        return tuple(arm for arm in self.arms if arm.regularizer != "none")


def contexts(frame: pd.DataFrame) -> list[Context]:
    """All runs of `load_runs` by context and arm, in the order in which the runs are listed."""
    keys = [key for key in setting_keys(frame) if key not in REGULARIZER_KEYS]
    found = [group for _, group in frame.groupby(keys, dropna=False, sort=False)]
    extras = _distinguish(found, ["method", "backbone"], keys)
    return [
        Context(group["method"].iloc[0], group["backbone"].iloc[0], _arms(group), extra)
        for group, extra in zip(found, extras, strict=True)
    ]


def _arms(group: pd.DataFrame) -> tuple[Arm, ...]:
    keys = [key for key in REGULARIZER_KEYS if key in group.columns]
    found = [rows for _, rows in group.groupby(keys, dropna=False, sort=False)]
    extras = _distinguish(found, ["regularizer", "beta", "k"], keys)
    arms = [
        Arm(rows["regularizer"].iloc[0], rows["beta"].iloc[0], rows["k"].iloc[0], rows, extra)
        for rows, extra in zip(found, extras, strict=True)
    ]
    return tuple(sorted(arms, key=lambda arm: arm.regularizer != "none"))


def _distinguish(groups: list[pd.DataFrame], shown: list[str], keys: list[str]) -> list[str]:
    """For groups whose `shown` keys agree: the other keys in which they differ, as words; else ''."""
    heads = pd.DataFrame([group.iloc[0] for group in groups]).reset_index(drop=True)
    extras = [""] * len(groups)
    for _, alike in heads.groupby(shown, dropna=False):
        differing = [key for key in keys if key not in shown and alike[key].nunique(dropna=False) > 1]
        for position, row in alike.iterrows():
            words = [f"{name(key)} {name(row[key])}" for key in differing if present(row[key])]
            extras[position] = ", ".join(words)
    return extras
