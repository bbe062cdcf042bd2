"""Names of things and formats of numbers, the same in every table, figure and claim."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.methods import METHODS
from ldreg.catalogue.regularizers import REGULARIZERS


@dataclass(frozen=True)
class Metric:
    """A measured quantity: its name in prose, the unit of a level, the unit of a difference."""

    label: str
    unit: str = ""
    difference_unit: str = ""

    @property
    def axis(self) -> str:
        """Label of an axis that shows it."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def effect(self) -> str:
        """Label of a difference of two of its values."""
        return f"{self.label} ({self.difference_unit})" if self.difference_unit else self.label


METRICS = {
    "linear_top1": Metric("linear accuracy", "%", "points"),
    "linear_top5": Metric("linear top-5 accuracy", "%", "points"),
    "knn_top1": Metric("kNN accuracy", "%", "points"),
    "effective_rank": Metric("effective rank"),
    "rankme": Metric("RankMe"),
    "mlid": Metric("mLID"),
}

NAMES = {
    **{each.key: each.label for each in METHODS.values()},
    **{each.key: each.label for each in BACKBONES.values()},
    **{each.key: each.label for each in DATA_SETS.values()},
    **{each.key: each.label for each in REGULARIZERS.values()},
    # swept settings
    "beta": "weight β of the regulariser",
    "k": "neighbourhood size k",
    "batch_size": "batch size (images)",
    "backbone": "encoder",
    "jitter": "colour jitter strength s",
    "target": "target",
    "acts_on": "on",
    # effective-rank matrices
    "correlation": "Pearson correlation matrix",
    "covariance": "centred covariance matrix",
    "second_moment": "uncentred second-moment matrix",
}


def name(key: Any) -> str:
    """The usual name of a key or value of a spec; words without an entry lose their underscores.

    >>> name("simclr_tuned"), name("base_lr"), name(0.1), name(16.0), name(5e-6)
    ('SimCLR-Tuned', 'base lr', '0.1', '16', '5e-6')
    """
    if isinstance(key, (int, float)) and not isinstance(key, bool):
        if float(key).is_integer():
            return str(int(key))
        return f"{key:g}".replace("e-0", "e-")
    return NAMES.get(str(key), str(key).replace("_", " "))


def plain(key: str) -> str:
    """A setting's name without what an axis adds in brackets.

    >>> plain("batch_size"), plain("temperature")
    ('batch size', 'temperature')
    """
    return name(key).partition(" (")[0]


def regularizer(key: str, beta: float | None, k: float | None, extra: str = "") -> str:
    """One regulariser with its settings.

    >>> regularizer("ldreg_l1", 0.01, 64.0), regularizer("none", None, float("nan"))
    ('LDReg β 0.01, k 64', 'none')
    """
    settings = [f"{symbol} {name(value)}" for symbol, value in (("β", beta), ("k", k)) if present(value)]
    return f"{name(key)} {', '.join([*settings, *([extra] if extra else [])])}".strip()


def number(value: float, signed: bool = False, decimals: int = 2) -> str:
    """A measured number; a rounded zero has no minus sign.

    >>> number(12.346), number(0.3, signed=True), number(-0.001, signed=True)
    ('12.35', '+0.30', '+0.00')
    """
    rounded = round(value, decimals) + 0.0
    return f"{rounded:+.{decimals}f}" if signed else f"{rounded:.{decimals}f}"


def printed(value: float, signed: bool = False) -> str:
    """A number of the paper, with the one decimal that its tables have (two where it gives two).

    >>> printed(64.3), printed(20.0), printed(64.75), printed(64.8 - 64.3, signed=True)
    ('64.3', '20.0', '64.75', '+0.5')
    """
    rounded = round(value, 2) + 0.0
    decimals = 1 if math.isclose(rounded, round(rounded, 1)) else 2
    return f"{rounded:+.{decimals}f}" if signed else f"{rounded:.{decimals}f}"


def seeds(count: int) -> str:
    """'1 seed', '3 seeds'."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def listed(values: Iterable[Any]) -> str:
    """The different values by name, in order of appearance: 'digits', '0.01, 0.1'."""
    return ", ".join(dict.fromkeys(name(value) for value in values))


def both(values: Iterable[Any]) -> str:
    """The different values by name, in prose.

    >>> both(["small_cnn", "vit_mini", "small_cnn"]), both([64, 128, 256]), both([24])
    ('small CNN and small ViT', '64, 128 and 256', '24')
    """
    *others, last = dict.fromkeys(name(value) for value in values)
    return f"{', '.join(others)} and {last}" if others else last


def present(value: Any) -> bool:
    """Whether a cell of a spec holds a value: neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def same(a: Any, b: Any) -> bool:
    """Whether two settings are equal as numbers where both are numbers, else as words.

    YAML reads 1e-2 as a word, 0.01 as a number: both mean the same.

    >>> same("1e-2", 0.01), same(16, 16.0), same("none", "none"), same(None, float("nan")), same(None, 0.1)
    (True, True, True, True, False)
    """
    if not (present(a) and present(b)):
        return present(a) == present(b)
    try:
        return math.isclose(float(a), float(b), rel_tol=1e-9)
    except (TypeError, ValueError):
        return str(a) == str(b)
