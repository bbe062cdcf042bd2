"""The regularisers that a run's `regularizer` may name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldreg.catalogue.implementation import Implementation


@dataclass(frozen=True)
class Regularizer:
    """One regulariser.

    Attributes:
        key: its name in YAML files, folder names and tables.
        label: its name for readers.
        implementation: its class, a module with the call signature that `ldreg.regularizers` describes; None
            if there is no regulariser.
        settings: the settings of a run that it needs. Training passes them to the class by name. The run's
            folder name lists them in this order.
        arguments: further keyword arguments of the class, the same for all runs.
    """

    key: str
    label: str
    implementation: Implementation | None = None
    settings: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _library(name: str) -> Implementation:
    """Refer to a class of `ldreg.regularizers`."""
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
# Every setting that belongs to single regularisers.
REGULARIZER_SETTINGS = tuple(dict.fromkeys(key for each in _ALL for key in each.settings))
# Regularisers whose settings are beta and k, as LDReg's: sweeps and claims can use any of them for LDReg.
LIKE_LDREG = tuple(each.key for each in _ALL if each.settings == ("beta", "k"))
