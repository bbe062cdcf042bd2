"""What the renderers of figures declare: their settings and the files that they read.

This module imports neither pandas nor matplotlib, like `ldreg.exhibits.renderer`, because the workflow reads
these blocks before anything is trained. The block of `sweep` is the longest and has a file of its own.
"""

from typing import Annotated, Literal

from pydantic import Field

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

    over: a setting whose values share one panel instead, each with a colour (Figure 2 b). in_legend: a metric
    measured after training, which that panel's legend gives.
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
