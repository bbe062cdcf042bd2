"""What an exhibit's `settings` may say, renderer by renderer.

Of pydantic alone: the workflow checks settings before anything is trained, and must not wait for pandas.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ldreg.catalogue.backbones import STAND_INS
from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.regularizers import LIKE_LDREG

MetricName = Literal["linear_top1", "linear_top5", "knn_top1", "effective_rank", "rankme", "mlid"]

REPORTED_AXES = ("method", "backbone", "batch_size", "epochs", "beta", "k")  # columns of reported.csv


class LidChoice(BaseModel):
    """Which of a run's mLID measurements is meant; `batch_rows` null: neighbours from the full split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The authors' monitor is MLE at k = 32 in batches of 2,048 rows.
    estimator: Literal["mom", "mle"] = "mle"
    k: int = 32
    batch_rows: int | None = 2048

    def __str__(self) -> str:
        neighbours = "the full split" if self.batch_rows is None else f"batches of {self.batch_rows:,} rows"
        kind = {"mom": "method of moments", "mle": "maximum likelihood"}[self.estimator]
        return f"{kind}, k = {self.k}, neighbours from {neighbours}"


class Settings(BaseModel):
    """Settings that all renderers share: what is measured, and how the paper's rows are found.

    base: LDReg's setting at this scale, where one axis stays while another is swept. paper_base: the same in
    the paper. stands_for: our encoder to the paper's. paper_values: likewise of settings, such as
    {"k": {16: 64}}. paper_exhibits: where its numbers stand, best first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mlid: LidChoice = LidChoice()
    effective_rank: Literal["correlation", "covariance", "second_moment"] = "correlation"
    scale_of_paper: bool = False  # only then are levels set beside the paper's
    base: dict[str, Any] = Field(default_factory=dict)
    paper_base: dict[str, Any] = Field(default_factory=dict)
    stands_for: dict[str, str] = Field(default_factory=lambda: dict(STAND_INS))
    paper_values: dict[str, dict[float, float]] = Field(default_factory=dict)
    paper_exhibits: tuple[str, ...] = ("table1", "figure5")

    @property
    def run_files(self) -> tuple[str, ...]:
        """What is read of each run's folder beside its summary and what every run is measured by."""
        return ()

    @property
    def scale_files(self) -> tuple[str, ...]:
        """What is read of the scale's folder, `results/<scale>`."""
        return ()

    @property
    def points(self) -> str:
        """What is shown instead of runs, in a word or two: the points of what needs no data set."""
        return ""


class TableSettings(Settings):
    """Settings of `main_table`. `notes` stand below the table with those that it writes itself.

    not_run: whether to name the pairs of the exhibit named first in paper_exhibits that were not run.
    """

    metrics: tuple[MetricName, ...] = ("linear_top1", "effective_rank", "mlid")
    paper_exhibits: tuple[str, ...] = ("table1",)
    notes: tuple[str, ...] = ()
    not_run: bool = True


class SweepSettings(Settings):
    """Settings of `sweep`: a grid of panels, swept settings as columns and metrics as rows.

    paper_says: what the paper's figure shows, by metric and axis, in a word or two. base_of: `base` by method
    and encoder ("vicreg small_cnn"), where not all have the same; the workflow writes it.
    """

    axes: tuple[str, ...] = Field(min_length=1)
    metrics: tuple[MetricName, ...] = Field(min_length=1)
    paper_says: dict[str, dict[str, str]] = Field(default_factory=dict)
    base_of: dict[str, dict[str, Any]] = Field(default_factory=dict)


class LedgerSettings(Settings):
    """Settings of `ledger`: which regulariser is meant by LDReg, and the margins of its tests.

    Margins say what is too small to matter, so that a claim of no effect can be tested at all. transfer: data
    sets and detection: whether to test what encoders are worth elsewhere, of the runs that have been. plane:
    whether to test claims about points in the plane, on the numbers of Figures 1 and 3. timed: folders of
    runs whose step_cost.json is read; told by the workflow, of the exhibits of `runs_of`.
    """

    regularizer: Literal[LIKE_LDREG] = "ldreg_l1"
    # Points by which accuracy may fall and still be kept: within the range of the gains in Table 1.
    accuracy_margin: float = Field(default=0.5, gt=0)
    # Points by which it may move and still be stable or alike: the paper's curves in Figure 5, which it calls
    # stable, move by less.
    stability_margin: float = Field(default=1.0, gt=0)
    # Per cent by which a pretraining may take longer: twice the difference in Table 4, which the paper calls
    # none.
    time_margin: float = Field(default=5.0, gt=0)
    # Per cent of mLID over half a training that are no decline: too little to be seen in Figure 2 (a).
    decline_margin: float = Field(default=1.0, gt=0)
    transfer: tuple[Literal[tuple(DATA_SETS)], ...] = ()
    detection: bool = False
    plane: bool = False
    timed: tuple[str, ...] = ()

    @property
    def run_files(self) -> tuple[str, ...]:
        """The course of a training. Files of transfer and detection come from the exhibits of `runs_of`."""
        return ("history.csv",)

    @property
    def scale_files(self) -> tuple[str, ...]:
        """The numbers of Figures 1 and 3."""
        return ("exhibits/figure1.json", "exhibits/figure3.json") if self.plane else ()


class Figure1Settings(Settings):
    """Settings of `figure1`, which has no runs: `ldreg synthetic` computes what it shows."""

    @property
    def scale_files(self) -> tuple[str, ...]:
        return ("exhibits/figure1.json",)

    @property
    def points(self) -> str:
        return "1,000 points in the plane (a, b) and 2,000 (c, d)"


class Figure3Settings(Settings):
    """Likewise of `figure3`."""

    @property
    def scale_files(self) -> tuple[str, ...]:
        return ("exhibits/figure3.json",)

    @property
    def points(self) -> str:
        return "2,000 points in the plane"
