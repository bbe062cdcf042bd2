"""The `settings` that every exhibit may have; a renderer adds its own beside its block (`declared.py`).

This module imports pydantic alone: the workflow checks settings before anything is trained, and must not wait
for pandas.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ldreg.catalogue.backbones import STAND_INS
from ldreg.config.grids import SETTINGS
from ldreg.errors import unknown

MetricName = Literal["linear_top1", "linear_top5", "knn_top1", "effective_rank", "rankme", "mlid"]

REPORTED_AXES = ("method", "backbone", "batch_size", "epochs", "beta", "k")  # columns of reported.csv

# The settings of the term that is added to the loss. Two runs that differ in these alone are a pair.
REGULARIZER_KEYS = ("regularizer", "beta", "k", "target", "acts_on", "regularizer_start")


@dataclass(frozen=True)
class Among:
    """Marks a field whose word, list of words or mapping's keys must be among `names`."""

    names: tuple[str, ...]


RUN_SETTING = Among(SETTINGS)
REPORTED_SETTING = Among(REPORTED_AXES)
METRIC = Among(get_args(MetricName))


class LidChoice(BaseModel):
    """Which of a run's mLID measurements is meant. `batch_rows` None: neighbours come from the full split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The authors' monitor is MLE at k = 32 in batches of 2,048 rows.
    estimator: Literal["mom", "mle"] = "mle"
    k: int = 32
    batch_rows: int | None = 2048

    def __str__(self) -> str:
        kind = {"mom": "method of moments", "mle": "maximum likelihood"}[self.estimator]
        return f"{kind}, k = {self.k}, neighbours from {self._neighbours}"

    @property
    def prose(self) -> str:
        """The same inside a sentence.

        >>> LidChoice(estimator="mom", k=16, batch_rows=None).prose
        'the method of moments, with k = 16 and neighbours from the full split'
        """
        kind = {"mom": "the method of moments", "mle": "maximum likelihood"}[self.estimator]
        return f"{kind}, with k = {self.k} and neighbours from {self._neighbours}"

    @property
    def _neighbours(self) -> str:
        return "the full split" if self.batch_rows is None else f"batches of {self.batch_rows:,} rows"


class Settings(BaseModel):
    """Settings that all renderers share: what is measured, and how the paper's rows are found.

    base: LDReg's beta and k at this scale, at which one stays while the other is swept. paper_base: the same
    in the paper. stands_for: the paper's encoder for each of ours. paper_values: the paper's value for each
    of ours, by setting, such as {"k": {16: 64}}. paper_exhibits: the paper's exhibits in which its numbers
    are looked up, the first one first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mlid: LidChoice = LidChoice()
    effective_rank: Literal["correlation", "covariance", "second_moment"] = "correlation"
    linear: Literal["cached", "paper"] = "cached"  # protocol of the linear accuracy
    scale_of_paper: bool = False  # only at the paper's scale are levels compared with the paper's
    base: Annotated[dict[str, Any], RUN_SETTING] = Field(default_factory=dict)
    paper_base: Annotated[dict[str, Any], REPORTED_SETTING] = Field(default_factory=dict)
    stands_for: dict[str, str] = Field(default_factory=lambda: dict(STAND_INS))
    paper_values: Annotated[dict[str, dict[float, float]], REPORTED_SETTING] = Field(default_factory=dict)
    paper_exhibits: tuple[str, ...] = ("table1", "figure5")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for key, field in type(self).model_fields.items():
            for mark in (each for each in field.metadata if isinstance(each, Among)):
                for name in _words(getattr(self, key)):
                    if name not in mark.names:
                        raise ValueError(str(unknown(key, name, mark.names)))
        return self


def _words(value: str | Iterable[str]) -> Iterable[str]:
    """The names that a field holds; an empty word is not a name."""
    if isinstance(value, str):
        return (value,) if value else ()
    return value
