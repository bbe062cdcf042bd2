"""Whether accuracy tracks mLID at a given effective rank: all runs, with and without the rank's effect."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

from ldreg.exhibits.output import style
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.labels import METRICS, name, number, seeds
from ldreg.exhibits.output.legends import legend_below, legend_columns, lid_words
from ldreg.exhibits.runs.arms import contexts
from ldreg.exhibits.runs.run_table import ExhibitSpec, load_runs, settings_of
from ldreg.exhibits.settings import Settings
from ldreg.exhibits.stats.correlation import FEWEST_SETTINGS, Correlation, correlate, residuals

HEIGHT = 2.5  # inches, of the panels
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "p")
MAP = "cividis"  # of effective rank, the same in grey and to colour-blind readers
# LIDs are compared on a log scale (the paper's section 4), so it is their logarithm that is correlated.
X, Y, RANK, LOG_RANK = "ln_mlid", "linear_top1", "effective_rank", "ln_effective_rank"


@dataclass(frozen=True)
class Statistic:
    """A correlation of accuracy with ln mLID. `about`: of which runs; `removed`: the metric removed."""

    about: str
    removed: str
    runs: int
    groups: int
    found: Correlation

    @property
    def words(self) -> str:
        """'r = 0.42 [0.10, 0.71]'."""
        if not np.isfinite(self.found.r):
            return "r not defined"
        interval = "" if self.found.low is None else f" [{number(self.found.low)}, {number(self.found.high)}]"
        return f"r = {number(self.found.r)}{interval}"


def scatter(exhibit: ExhibitSpec) -> Drawing:
    """The figure; its table has a line for each run, then one for each correlation."""
    settings = settings_of(exhibit, Settings)
    frame = read_points(exhibit, settings)
    found = statistics(frame)
    return Drawing(_draw_panels(frame, found, settings), _table(frame, found))


def read_points(exhibit: ExhibitSpec, settings: Settings) -> pd.DataFrame:
    """One row per run: its setting, its measurements, and two of them without the effect of its rank.

    "group" is method and encoder, "setting" all but the seed.
    """
    rows = []
    found = contexts(load_runs(exhibit, ("linear_top1", "effective_rank", "mlid"), settings))
    encoders = {(context.method, context.backbone) for context in found}
    several = Counter(method for method, _ in encoders)
    for context in found:
        for arm in context.arms:
            columns = context.columns(arm)
            about = {
                **columns,
                "extra": columns["setting"],
                "group": name(context.method)
                + (f", {name(context.backbone)}" if several[context.method] > 1 else ""),
                "setting": f"{context.label}: {arm.label}",
            }
            measured = arm.runs[["seed", "linear_top1", "effective_rank", "mlid"]]
            rows += [about | run for run in measured.to_dict("records")]
    frame = pd.DataFrame(rows)
    frame[X], frame[LOG_RANK] = np.log(frame["mlid"]), np.log(frame["effective_rank"])
    for column in (X, Y):
        frame[f"{column}_without_rank"] = residuals(frame, column, RANK)
    return frame


def statistics(frame: pd.DataFrame) -> list[Statistic]:
    """Correlations within methods and over all runs, with and without the effect of the rank removed."""

    def statistic(about: str, rows: pd.DataFrame, covariate: str | None) -> Statistic:
        found = correlate(rows, X, Y, covariate)
        return Statistic(about, covariate or "nothing", len(rows), rows["group"].nunique(), found)

    found = [statistic("methods", frame, covariate) for covariate in (None, RANK, LOG_RANK)]
    found += [statistic("all runs", frame.assign(group=""), covariate) for covariate in (None, RANK)]
    for group, rows in frame.groupby("group", sort=False):
        if rows["setting"].nunique() >= FEWEST_SETTINGS:
            found += [statistic(group, rows, covariate) for covariate in (None, RANK)]
    return found


def _table(frame: pd.DataFrame, found: list[Statistic]) -> pd.DataFrame:
    """One line per run, then one per correlation."""
    columns = ["method", "backbone", "regularizer", "beta", "k", "extra", "seed"]
    columns += ["linear_top1", "mlid", "effective_rank", f"{X}_without_rank", f"{Y}_without_rank"]
    runs = frame[columns].rename(columns={"extra": "setting"})
    runs.insert(0, "kind", "run")
    lines = pd.DataFrame(
        {
            "kind": "correlation",
            "within": statistic.about,
            "removed": statistic.removed,
            "runs": statistic.runs,
            "r": statistic.found.r,
            "low": statistic.found.low,
            "high": statistic.found.high,
            # Of ln mLID, by what was removed.
            "variance_left": left_of_variance(frame)
            if (statistic.about, statistic.removed) == ("methods", RANK)
            else math.nan,
        }
        for statistic in found
    ).astype({"low": float, "high": float})
    return pd.concat([runs, lines], ignore_index=True)


def _draw_panels(frame: pd.DataFrame, found: list[Statistic], settings: Settings) -> Figure:
    """(a) Accuracy over mLID. (b) Both without their method's mean and the rank's effect, with a line."""
    raw, without_rank, by_logarithm, *_ = found
    norm = Normalize(frame[RANK].min(), frame[RANK].max())
    markers = dict(zip(dict.fromkeys(frame["group"]), MARKERS * len(frame), strict=False))
    columns = legend_columns(list(markers))
    with style.styled():
        height = HEIGHT + 1.15 + 0.16 * -(-len(markers) // columns)
        figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw(left, frame, ("mlid", Y), markers, norm)
        _draw(right, frame, (f"{X}_without_rank", f"{Y}_without_rank"), markers, norm)
        _logarithmic(left)
        left.set(xlabel=f"mLID ({lid_words(settings.mlid)})", ylabel=METRICS[Y].axis)
        right.set(xlabel="ln mLID, residual", ylabel="accuracy, residual (points)")
        _line(right, frame)
        for axes, letter, statistic in ((left, "(a)", raw), (right, "(b)", without_rank)):
            axes.set_title(letter, fontweight="bold")
            axes.set_title(statistic.words, loc="right", fontsize=8)
        bar = figure.colorbar(ScalarMappable(norm, MAP), ax=[left, right], label="effective rank", aspect=25)
        bar.outline.set_visible(False)
        handles = [
            Line2D([], [], marker=marker, linestyle="none", color=style.REFERENCE, label=group)
            for group, marker in markers.items()
        ]
        legend_below(figure, handles, _note(frame, raw, by_logarithm), columns, handletextpad=0.2)
    return figure


def left_of_variance(frame: pd.DataFrame) -> float:
    """Share of the variance of ln mLID within methods that is left without the rank; 0 if it has none."""
    within = float(frame.groupby("group")[X].transform(lambda values: values - values.mean()).pow(2).sum())
    return float(frame[f"{X}_without_rank"].pow(2).sum()) / within if within else 0.0


def _draw(
    axes: Axes, frame: pd.DataFrame, columns: tuple[str, str], markers: dict[str, str], norm: Normalize
) -> None:
    """Draw the points; those without a regulariser have a black edge."""
    for group, marker in markers.items():
        for plain, rows in frame[frame["group"] == group].groupby(frame["regularizer"] == "none"):
            axes.scatter(
                rows[columns[0]],
                rows[columns[1]],
                c=rows[RANK],
                norm=norm,
                cmap=MAP,
                marker=marker,
                s=24,
                linewidths=0.9 if plain else 0.4,
                edgecolors="black" if plain else "white",
                zorder=3,
            )
    axes.grid(axis="x", visible=True)


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()


def _line(axes: Axes, frame: pd.DataFrame) -> None:
    x, y = frame[f"{X}_without_rank"], frame[f"{Y}_without_rank"]
    if x.abs().max() > 0:
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, ends * float(x @ y) / float(x @ x), color=style.QUIET, linewidth=1.1, zorder=2)


def _note(frame: pd.DataFrame, raw: Statistic, by_logarithm: Statistic) -> str:
    count = frame["seed"].nunique()
    drawn = f"settings and {seeds(count)}" if count > 1 else "settings alone (1 seed)"
    how = "no interval: too few settings"
    if raw.found.low is not None:
        how = f"95 % bootstrap intervals over {drawn}"
    lines = (
        f"{len(frame)} runs of {frame['setting'].nunique()} settings; black edge: unregularised",
        "r: accuracy with ln mLID within methods; in (b) with the linear effect of effective rank",
        f"removed from both (of its logarithm instead: {by_logarithm.words}), which leaves",
        f"{100 * left_of_variance(frame):.0f} % of the variance of ln mLID; {how}",
    )
    return "\n".join(lines)
