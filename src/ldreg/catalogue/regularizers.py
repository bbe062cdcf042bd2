"""The regularisers that a run's `regularizer` may name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldreg.catalogue.implementation import Implementation


@dataclass(frozen=True)
class Regularizer:
    """One regulariser.

    Attributes:
        key: what YAML files, folder names and tables call it.
        label: what people call it.
        implementation: its class, a module that is called as `ldreg.regularizers` describes; None for none.
        settings: the settings of a run that it needs. Training passes each to the class under its own name.
            They stand in the run's folder name in this order.
        arguments: what else the class is told, the same for all runs.
    """

    key: str
    label: str
    implementation: Implementation | None = None
    settings: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _library(name: str) -> Implementation:
    """A class of `ldreg.regularizers`."""
    return Implementation("ldreg.regularizers", name)


_ALL = (
    Regularizer("none", "none"),
    Regularizer("ldreg_l1", "LDReg", _library("LDReg"), ("beta", "k"), {"form": "l1"}),
    Regularizer("ldreg_l2", "LDReg L2", _library("LDReg"), ("beta", "k"), {"form": "l2"}),
    Regularizer(
        "ldreg_per_sample", "LDReg per sample", _library("LDReg"), ("beta", "k"), {"form": "per_sample"}
    ),
    Regularizer("min_lid", "Min LID", _library("MinLID"), ("beta", "k")),
    Regularizer("target_lid", "Target LID", _library("TargetLID"), ("beta", "k", "target")),
    Regularizer("cov", "Cov", _library("Covariance"), ("beta",)),
    Regularizer("cov_var", "Cov + Var", _library("CovarianceVariance"), ("beta",)),
)
REGULARIZERS = {each.key: each for each in _ALL}
# Every setting that some regulariser needs.
REGULARIZER_SETTINGS = tuple(dict.fromkeys(key for each in _ALL for key in each.settings))
# Those that are set by beta and k alone: any of them can be swept and tested in LDReg's place.
LIKE_LDREG = tuple(each.key for each in _ALL if each.settings == ("beta", "k"))
