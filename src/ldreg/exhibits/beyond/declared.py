"""What the renderers of figures beyond the paper declare: their settings and the files that they read."""

from typing import Annotated, Literal

from pydantic import Field

from ldreg.catalogue.regularizers import LIKE_LDREG
from ldreg.exhibits.renderer import FIGURE, Renderer, always
from ldreg.exhibits.settings import MetricName, Settings

SCATTER = Renderer("scatter", "ldreg.exhibits.beyond.scatter", Settings, FIGURE)


class SurfaceSettings(Settings):
    """Settings of `surface`: one heatmap over beta and k for each batch size (down) and metric (across)."""

    regularizer: Literal[LIKE_LDREG] = "ldreg_l1"
    metrics: tuple[MetricName, ...] = Field(
        default=("linear_top1", "effective_rank", "mlid"), min_length=1, max_length=3
    )


SURFACE = Renderer("surface", "ldreg.exhibits.beyond.surface", SurfaceSettings, FIGURE)


class LidErrorSettings(Settings):
    """Settings of `lid_error`: errors of the mini-batch LID, two panels for each estimator and setting.

    ks: which of the measured neighbourhood sizes are drawn. rows_per_neighbour: N / k where k grows with the
    batch: 32 as in the paper's Table 14 (512, 1024, 2048 with k 16, 32, 64), which counts images.
    """

    estimators: tuple[Literal["mom", "mle"], ...] = Field(default=("mom", "mle"), min_length=1)
    ks: tuple[Annotated[int, Field(ge=2)], ...] = Field(default=(8, 16, 32, 64), min_length=1, max_length=6)
    rows_per_neighbour: int = Field(default=32, gt=1)


LID_ERROR = Renderer(
    "lid_error",
    "ldreg.exhibits.beyond.lid_error",
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
    "ldreg.exhibits.beyond.equal_cost",
    CostSettings,
    FIGURE,
    run_files=always("step_cost.json"),
)
