"""What the renderers of figures declare: their settings and the files that they read.

Free of pandas and matplotlib, like `ldreg.exhibits.renderer`: the workflow reads these blocks before anything
is trained. `sweep`, which has most to say, has a file of its own.
"""

from typing import Annotated, Literal

from pydantic import Field

from ldreg.catalogue.regularizers import LIKE_LDREG
from ldreg.exhibits.renderer import FIGURE, Renderer, Synthetic, always
from ldreg.exhibits.settings import RUN_SETTING, MetricName, Settings

# The live measurements of history.csv (`ldreg.training.monitors`).
MonitorName = Literal["mlid", "mlid_mle_32", "mlid_mle_512", "effective_rank", "probe_top1"]

FIGURE1 = Renderer(
    "figure1",
    "ldreg.exhibits.figures.plane",
    Settings,
    FIGURE,
    synthetic=Synthetic("1,000 points in the plane (a, b) and 2,000 (c, d)", "exhibits/figure1.json"),
    scale_files=always("exhibits/figure1.json"),
)
FIGURE3 = Renderer(
    "figure3",
    "ldreg.exhibits.figures.plane",
    Settings,
    FIGURE,
    synthetic=Synthetic("2,000 points in the plane", "exhibits/figure3.json"),
    scale_files=always("exhibits/figure3.json"),
)


class CurveSettings(Settings):
    """Settings of `curves`: a monitor over epochs, one panel for each method and encoder.

    over: a setting whose values share one panel instead, a colour each (Figure 2 b). in_legend: what was
    measured after training, named in that panel's legend.
    """

    monitor: MonitorName = "mlid_mle_32"
    over: Annotated[str, RUN_SETTING] = ""
    in_legend: MetricName | None = None


CURVES = Renderer(
    "curves", "ldreg.exhibits.figures.curves", CurveSettings, FIGURE, run_files=always("history.csv")
)


class BarSettings(Settings):
    """Settings of `bars`: one panel for each metric, bars with and without a regulariser by method."""

    metrics: tuple[MetricName, ...] = Field(default=("effective_rank", "mlid"), min_length=1)
    paper_exhibits: tuple[str, ...] = ("table1",)


BARS = Renderer("bars", "ldreg.exhibits.figures.bars", BarSettings, FIGURE)
SCATTER = Renderer("scatter", "ldreg.exhibits.figures.scatter", Settings, FIGURE)


class SummarySettings(Settings):
    """Settings of `summary`: one panel for each metric, three at most, since they stand side by side.

    not_run: whether to show the pairs of the exhibit named first in paper_exhibits that were not run.
    """

    metrics: tuple[MetricName, ...] = Field(
        default=("linear_top1", "effective_rank", "mlid"), min_length=1, max_length=3
    )
    paper_exhibits: tuple[str, ...] = ("table1", "table15")
    not_run: bool = False


SUMMARY = Renderer("summary", "ldreg.exhibits.figures.summary", SummarySettings, FIGURE, opens_page=True)


class TsneSettings(Settings):
    """Settings of `tsne`, which has none of its own."""


TSNE = Renderer("tsne", "ldreg.exhibits.figures.tsne", TsneSettings, FIGURE, run_files=always("tsne.csv"))


class SurfaceSettings(Settings):
    """Settings of `surface`: one heatmap over beta and k for each batch size (down) and metric (across)."""

    regularizer: Literal[LIKE_LDREG] = "ldreg_l1"
    metrics: tuple[MetricName, ...] = Field(
        default=("linear_top1", "effective_rank", "mlid"), min_length=1, max_length=3
    )


SURFACE = Renderer("surface", "ldreg.exhibits.figures.surface", SurfaceSettings, FIGURE)


class LidErrorSettings(Settings):
    """Settings of `lid_error`: errors of the mini-batch LID, two panels for each estimator and setting.

    ks: which of the measured neighbourhood sizes are drawn. rows_per_neighbour: N / k where k grows with the
    batch: 32 as in the paper's Table 14 (512, 1024, 2048 with k 16, 32, 64), which counts images.
    """

    estimators: tuple[Literal["mom", "mle"], ...] = Field(default=("mom", "mle"), min_length=1)
    ks: tuple[int, ...] = Field(default=(8, 16, 32, 64), min_length=1, max_length=6)
    rows_per_neighbour: int = Field(default=32, gt=1)


LID_ERROR = Renderer(
    "lid_error",
    "ldreg.exhibits.figures.lid_error",
    LidErrorSettings,
    FIGURE,
    run_files=always("lid_error.json"),
)


class CostSettings(Settings):
    """Settings of `equal_cost`: for each metric a panel over the cost of a run, and one of gains."""

    metrics: tuple[MetricName, ...] = Field(
        default=("linear_top1", "mlid", "effective_rank"), min_length=1, max_length=3
    )


EQUAL_COST = Renderer(
    "equal_cost",
    "ldreg.exhibits.figures.equal_cost",
    CostSettings,
    FIGURE,
    run_files=always("step_cost.json"),
)
