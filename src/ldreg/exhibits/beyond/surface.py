"""LDReg over beta, k and batch size at once: heatmaps of its effect on each metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ldreg.errors import LdregError
from ldreg.exhibits.beyond.declared import SurfaceSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.csv_text import values_by_seed
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.labels import METRICS, name, number
from ldreg.exhibits.output.legends import lid_words
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.run_table import ExhibitSpec, by_seed, load_runs, settings_of
from ldreg.exhibits.stats.intervals import Estimate, estimate_columns

CELL_HEIGHT = 0.36  # inches
# A diverging map that colour-blind readers can read: orange for a decrease, purple for an increase.
MAP = "PuOr"
NOT_RUN = {"facecolor": "white", "edgecolor": "#B8B8B8", "hatch": "////", "linewidth": 0}
UNEVEN = 1.5  # the largest ratio of two gaps at which cells of true width still have room for numbers


@dataclass(frozen=True)
class SurfacePanel:
    """One metric at one batch size: the unregularised level and the effects by (beta, k)."""

    context: Context
    metric: str
    control: Estimate
    effects: dict[tuple[float, float], Estimate]
    arms: dict[tuple[float, float], Arm]


@dataclass(frozen=True)
class Grid:
    """All panels, batch sizes down and metrics across, and the axes that they share."""

    panels: list[list[SurfacePanel]]
    betas: list[float]
    ks: list[float]

    def column(self, metric: str) -> list[SurfacePanel]:
        """The panels of one metric."""
        return [panel for row in self.panels for panel in row if panel.metric == metric]

    @property
    def seeds(self) -> list[int]:
        """Pairs of seeds behind each effect."""
        return [estimate.n for row in self.panels for panel in row for estimate in panel.effects.values()]


def surface(exhibit: ExhibitSpec) -> Drawing:
    """The figure; its table has a line for each cell, also for those that were not run."""
    settings = settings_of(exhibit, SurfaceSettings)
    grid = _read_grid(exhibit, settings)
    return Drawing(_draw_panels(grid, settings), _table(grid, settings))


def _read_grid(exhibit: ExhibitSpec, settings: SurfaceSettings) -> Grid:
    """The effects, paired by seed within each batch size.

    Raises LdregError when the runs differ in more than batch size, beta and k, when a batch size has no
    unregularised run (or none of a cell's seeds), and when nothing is regularised.
    """
    found = sorted(
        contexts(load_runs(exhibit, settings.metrics, settings)), key=lambda context: context.batch_size
    )
    rows = []
    for context in found:
        same = [other.extra for other in found if other.batch_size == context.batch_size]
        if len(same) > 1 or len({(other.method, other.backbone) for other in found}) > 1:
            labels = "; ".join(dict.fromkeys(other.label for other in found))
            raise LdregError(
                f"{exhibit.path}: runs: a surface shows one method, with one setting at each batch size; "
                f"there are {labels}"
            )
        rows.append(_arms(exhibit, context, settings))
    places = [place for arms in rows for place in arms]
    if not places:
        raise LdregError(f"{exhibit.path}: runs: none has the regulariser {settings.regularizer}")
    panels = [
        [_panel(exhibit, context, arms, metric) for metric in settings.metrics]
        for context, arms in zip(found, rows, strict=True)
    ]
    return Grid(panels, *(sorted(set(values)) for values in zip(*places, strict=True)))


def _arms(
    exhibit: ExhibitSpec, context: Context, settings: SurfaceSettings
) -> dict[tuple[float, float], Arm]:
    if context.control is None:
        raise LdregError(
            f"{exhibit.path}: runs: batch size {context.batch_size} has no unregularised run to compare with"
        )
    arms = [arm for arm in context.treated if arm.regularizer == settings.regularizer]
    by_place = {(arm.beta, arm.k): arm for arm in arms}
    if len(by_place) < len(arms):
        labels = "; ".join(arm.label for arm in arms)
        raise LdregError(f"{exhibit.path}: runs: several settings share one beta and k: {labels}")
    return by_place


def _panel(
    exhibit: ExhibitSpec, context: Context, arms: dict[tuple[float, float], Arm], metric: str
) -> SurfacePanel:
    effects = {}
    for place, arm in arms.items():
        effect = arm.effect(context.control, metric)
        if effect is None:
            raise LdregError(
                f"{exhibit.path}: runs: {arm.label} at batch size {context.batch_size} shares no seed with "
                "the unregularised runs"
            )
        effects[place] = effect
    return SurfacePanel(context, metric, context.control.level(metric), effects, arms)


def _table(grid: Grid, settings: SurfaceSettings) -> pd.DataFrame:
    """One line per cell: the effect with its interval, both levels, and each seed's value."""
    lines = []
    for panel in (panel for row in grid.panels for panel in row):
        for place in ((beta, k) for beta in grid.betas for k in grid.ks):
            effect, arm = panel.effects.get(place), panel.arms.get(place)
            lines.append(
                {
                    "method": panel.context.method,
                    "backbone": panel.context.backbone,
                    "regularizer": settings.regularizer,
                    "batch_size": panel.context.batch_size,
                    "beta": place[0],
                    "k": place[1],
                    "metric": panel.metric,
                    "unit": METRICS[panel.metric].difference_unit,
                    "status": "run" if effect else "not run",
                    **estimate_columns(effect),
                    "level": arm.level(panel.metric).mean if arm else None,
                    "unregularised": panel.control.mean,
                    "seeds": values_by_seed(by_seed(arm.runs, panel.metric)) if arm else "",
                }
            )
    return pd.DataFrame(lines).rename(columns={"mean": "effect"})


def _draw_panels(grid: Grid, settings: SurfaceSettings) -> Figure:
    """Batch sizes down, metrics across; each metric has one colour scale, white at no effect."""
    rows, columns = len(grid.panels), len(settings.metrics)
    with style.styled():
        height = (CELL_HEIGHT * len(grid.ks) + 0.32) * rows + 1.5
        figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for column, metric in enumerate(settings.metrics):
            norm, digits = _norm(grid.column(metric)), _decimals(grid.column(metric), len(grid.betas))
            for row, panels in enumerate(grid.panels):
                _draw(axes[row][column], panels[column], grid, norm, digits)
                if column == 0:
                    axes[row][column].set_ylabel(f"batch size {panels[0].context.batch_size}\nk")
            axes[-1][column].set_xlabel("weight β")
            axes[0][column].set_title(METRICS[metric].effect)
            _scale(figure, axes[:, column].tolist(), norm, digits)
        figure.supxlabel(_note(grid, settings), fontsize=8, x=0.01, ha="left")
    return figure


def _norm(panels: list[SurfacePanel]) -> TwoSlopeNorm:
    """A scale with white at zero and its two ends equally far from zero."""
    most = max(abs(effect.mean) for panel in panels for effect in panel.effects.values())
    return TwoSlopeNorm(0.0, -(most or 1.0), most or 1.0)


def _decimals(panels: list[SurfacePanel], cells: int) -> int:
    """The number of decimals for which a cell has room."""
    most = max(abs(effect.mean) for panel in panels for effect in panel.effects.values())
    return max(0, (2 if cells <= 4 else 1) - (most >= 10) - (most >= 100))


def edges(values: Sequence[float]) -> list[float]:
    """The bounds of the cells of ascending values: half way between their logarithms.

    Where the distances of the logarithms are too uneven for numbers in the cells, all cells have one width.

    >>> edges([0.01, 0.1, 1.0])
    [-2.5, -1.5, -0.5, 0.5]
    >>> edges([0.01, 0.02, 1.0])
    [-0.5, 0.5, 1.5, 2.5]
    """
    places = [math.log10(value) for value in values] if min(values) > 0 else [math.nan]
    gaps = [b - a for a, b in pairwise(places)]
    if len(places) < 2 or max(gaps) > UNEVEN * min(gaps):
        places, gaps = [float(place) for place in range(len(values))], [1.0] * (len(values) - 1)
    first, last = (gaps[0], gaps[-1]) if gaps else (1.0, 1.0)
    inner = [(a + b) / 2 for a, b in pairwise(places)]
    return [places[0] - first / 2, *inner, places[-1] + last / 2]


def _draw(axes: Axes, panel: SurfacePanel, grid: Grid, norm: TwoSlopeNorm, digits: int) -> None:
    across, down = edges(grid.betas), edges(grid.ks)
    colours = mpl.colormaps[MAP]
    for (left, right), beta in zip(pairwise(across), grid.betas, strict=True):
        for (low, high), k in zip(pairwise(down), grid.ks, strict=True):
            effect = panel.effects.get((beta, k))
            drawn = (
                NOT_RUN if effect is None else {"facecolor": colours(norm(effect.mean)), "edgecolor": "white"}
            )
            axes.add_patch(Rectangle((left, low), right - left, high - low, **drawn))
            text = "not\nrun" if effect is None else _words(effect, digits)
            dark = effect is not None and abs(2 * norm(effect.mean) - 1) > 0.6
            axes.text(
                (left + right) / 2,
                (low + high) / 2,
                text,
                ha="center",
                va="center",
                fontsize=8,
                linespacing=0.95,
                color="white" if dark else style.QUIET if effect is None else "black",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6} if effect is None else None,
            )
    axes.set(xlim=(across[0], across[-1]), ylim=(down[0], down[-1]))
    axes.set_xticks(_middles(across), [name(beta) for beta in grid.betas])
    axes.set_yticks(_middles(down), [name(k) for k in grid.ks])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _middles(bounds: list[float]) -> list[float]:
    return [(a + b) / 2 for a, b in pairwise(bounds)]


def _words(effect: Estimate, digits: int) -> str:
    """The effect and, below it, half the width of its interval."""
    mean = number(effect.mean, signed=True, decimals=digits)
    return mean if effect.half_width is None else f"{mean}\n±{number(effect.half_width, decimals=digits)}"


def _scale(figure: Figure, column: list[Axes], norm: TwoSlopeNorm, digits: int) -> None:
    colours = mpl.cm.ScalarMappable(norm, MAP)
    bar = figure.colorbar(colours, ax=column, orientation="horizontal", aspect=16, pad=0.02)
    bar.outline.set_visible(False)
    ends = [number(end, signed=True, decimals=digits) for end in (norm.vmin, norm.vmax)]
    bar.set_ticks(np.array([norm.vmin, 0.0, norm.vmax]), labels=[ends[0], "0", ends[1]])
    # The numbers stand inwards, since there is no room for two of them between neighbouring scales.
    first, *_, last = bar.ax.get_xticklabels()
    first.set_ha("left")
    last.set_ha("right")


def _note(grid: Grid, settings: SurfaceSettings) -> str:
    counts = sorted(set(grid.seeds))
    seeds = "1 seed, no interval"
    if counts[-1] > 1:
        span = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        seeds = f"means over {span} seeds, ± half of the 95 % t-interval"
        seeds += " (none for 1 seed)" if counts[0] == 1 else ""
    where = grid.panels[0][0].context
    lid = f"; mLID: {lid_words(settings.mlid)}" if "mlid" in settings.metrics else ""
    difference = f"{name(settings.regularizer)} minus unregularised at the same batch size"
    return f"{name(where.method)}, {name(where.backbone)}{lid}\n{difference}, paired by seed;\n{seeds}"
