"""What the exhibits of the paper's Tables 2 and 3 may be told; of pydantic alone, as `settings`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.errors import check_once
from ldreg.exhibits.settings import Settings


class OutcomeSettings(Settings):
    """What both tables share.

    not_run: whether to name the paper's data sets, and its pairs with and without LDReg, that were not run.
    notes: sentences to stand below the table.
    """

    not_run: bool = True
    notes: tuple[str, ...] = ()


class TransferTableSettings(OutcomeSettings):
    """Settings of `transfer_table`; datasets: of those that the scale's `transfer` names, the columns."""

    datasets: Annotated[tuple[Literal[tuple(DATA_SETS)], ...], Field(min_length=1)]
    paper_exhibits: tuple[str, ...] = ("table2",)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        check_once("datasets", self.datasets)
        return self

    @property
    def run_files(self) -> tuple[str, ...]:
        """One file for each data set."""
        return tuple(f"transfer/{dataset}.json" for dataset in self.datasets)


class DetectionTableSettings(OutcomeSettings):
    """Settings of `detection_table`."""

    paper_exhibits: tuple[str, ...] = ("table3",)

    @property
    def run_files(self) -> tuple[str, ...]:
        """Both kinds of average precision stand in one file."""
        return ("detection.json",)
