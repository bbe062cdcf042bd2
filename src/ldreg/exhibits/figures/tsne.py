"""Figure 4: t-SNE of test representations under several regularisers, from the runs' tsne.csv."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ldreg.exhibits.figures.declared import TsneSettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.labels import listed, number
from ldreg.exhibits.output.legends import legend_below, lid_words
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.csv_columns import read_columns
from ldreg.exhibits.runs.run_table import ExhibitSpec, by_seed, load_runs, settings_of

PANEL_HEIGHT = 2.3  # inches
# Tol's muted scheme and black: ten colours that colour-blind readers tell apart, with shapes for the rest.
COLOURS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000"),
)
MARKERS = ("o", "^", "s")
ORDER = {
    "none": 1,
    "min_lid": 2,
}  # the paper's order: those that raise LID come first


@dataclass(frozen=True)
class Map:
    """One panel: a run's points (x, y, label, perplexity) and its mLID on the whole test split."""

    context: Context
    arm: Arm
    seed: int
    mlid: float
    points: pd.DataFrame


def tsne(exhibit: ExhibitSpec) -> Drawing:
    """The figure; its table has a line for each point."""
    settings = settings_of(exhibit, TsneSettings)
    maps = _read_maps(exhibit, settings)
    return Drawing(_draw_panels(maps, settings), _table(maps), decimals=6)


def _read_maps(exhibit: ExhibitSpec, settings: TsneSettings) -> list[Map]:
    """One map for each setting, of its lowest seed; LdregError when a run has no tsne.csv."""
    maps = []
    for context in contexts(load_runs(exhibit, ("mlid",), settings)):
        for arm in sorted(context.arms, key=lambda arm: ORDER.get(arm.regularizer, 0)):
            mlid, folder = by_seed(arm.runs, "mlid"), by_seed(arm.runs, "folder")
            path = Path(folder.iloc[0]) / "tsne.csv"
            points = read_columns(path, ("x", "y", "label", "perplexity"))
            maps.append(Map(context, arm, int(mlid.index[0]), float(mlid.iloc[0]), points))
    return maps


def _table(maps: list[Map]) -> pd.DataFrame:
    """One line per point."""
    parts = []
    for shown in maps:
        keys = {**shown.context.columns(shown.arm), "seed": shown.seed, "mlid": shown.mlid}
        parts.append(shown.points[["x", "y", "label", "perplexity"]].assign(**keys)[[*keys, *shown.points]])
    return pd.concat(parts, ignore_index=True)


def _draw_panels(maps: list[Map], settings: TsneSettings) -> Figure:
    """Panels in two columns, each with its setting and mLID; a colour and a shape for each class."""
    columns = min(len(maps), 2)
    rows = -(-len(maps) // columns)
    classes = sorted({int(label) for shown in maps for label in shown.points["label"]})
    several = len({shown.context.label for shown in maps}) > 1
    with style.styled():
        size = (style.WIDTH * max(columns, 1.2) / 2, PANEL_HEIGHT * rows + 0.55)
        figure = Figure(figsize=size, layout="constrained")
        for axes, shown in zip(
            figure.subplots(rows, columns, squeeze=False).flat, [*maps, None], strict=False
        ):
            if shown is None:
                axes.set_axis_off()
                continue
            _draw(axes, shown, classes)
            label = shown.arm.series
            axes.set_title(f"{shown.context.label}\n{label}" if several else label)
            axes.set_title(f"mLID {number(shown.mlid)}", loc="right", fontsize=8, color=style.QUIET)
        _legend(figure, maps, classes, settings)
    return figure


def _draw(axes: Axes, shown: Map, classes: list[int]) -> None:
    """Draw the points, without ticks: in t-SNE only it matters which points are near each other."""
    size = 2.6 if len(shown.points) <= 1000 else 1.8
    for label, points in shown.points.groupby("label"):
        mark = _class_mark(classes.index(int(label)))
        axes.plot(points["x"], points["y"], **mark, markersize=size, markeredgewidth=0, alpha=0.85)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#B0B0B0")


def _class_mark(place: int) -> dict[str, str]:
    marker = MARKERS[place % len(MARKERS)]
    return {"color": COLOURS[place % len(COLOURS)], "marker": marker, "linestyle": "none"}


def _legend(figure: Figure, maps: list[Map], classes: list[int], settings: TsneSettings) -> None:
    handles = [Line2D([], [], **_class_mark(place), label=str(label)) for place, label in enumerate(classes)]
    perplexities = listed(value for shown in maps for value in shown.points["perplexity"].unique())
    seeds = listed(shown.seed for shown in maps)
    points = listed(len(shown.points) for shown in maps)
    title = (
        f"classes; {points} test images a panel, perplexity {perplexities}, runs of seed {seeds};\n"
        f"mLID of the whole test split ({lid_words(settings.mlid)})"
    )
    legend_below(figure, handles, title, len(handles), columnspacing=1.0, handletextpad=0.1)
