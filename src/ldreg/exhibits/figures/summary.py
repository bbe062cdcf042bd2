"""The reproduction in one picture: what LDReg changes, method by method, here and in the paper.

The figure is a forest plot with one row for each method and encoder, one panel for each metric, and a line at
no change. A point with its interval is our effect, and a diamond below it the paper's. A word says whether
their signs agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ldreg.exhibits.figures.declared import SummarySettings
from ldreg.exhibits.output import style
from ldreg.exhibits.output.drawing import Drawing
from ldreg.exhibits.output.estimates import AGREES, DIFFERS, NOT_REPORTED, NOT_RUN, UNDECIDED, sign
from ldreg.exhibits.output.labels import METRICS, listed, name, seeds
from ldreg.exhibits.output.legends import lid_words
from ldreg.exhibits.paper import comparison
from ldreg.exhibits.paper.comparison import Groups, Row
from ldreg.exhibits.paper.reported import Reported
from ldreg.exhibits.runs.arms import contexts
from ldreg.exhibits.runs.run_table import ExhibitSpec, load_runs, settings_of
from ldreg.exhibits.stats.intervals import Estimate

# In inches. Everything is placed by hand, so that rows are level across the panels and files are
# reproducible.
ROW, ABOVE, BELOW = 0.36, 0.46, 0.82
LABELS, WORDS, GAP, EDGE = 1.29, 0.63, 0.08, 0.05
OURS, PAPER = -0.13, 0.21  # heights in a row, in rows from its middle
ROOM = 0.06  # at both ends of an axis, so that no mark is cut off
COLOURS = {AGREES: "#0072B2", DIFFERS: "#D55E00", UNDECIDED: style.REFERENCE}
TICKS = 8
MARKERS = {AGREES: "o", DIFFERS: "s", UNDECIDED: "o"}
PAPER_MARK = {
    "marker": "D",
    "linestyle": "none",
    "markersize": 3.6,
    "markerfacecolor": "white",
    "markeredgecolor": style.QUIET,
}


@dataclass(frozen=True)
class EffectLine:
    """One row of the plot: its label, its number of seeds, and the effects by metric."""

    method: str
    about: str
    row: Row


def summary(exhibit: ExhibitSpec) -> Drawing:
    """The forest plot, and the effects that it shows as in the CSV of a main table."""
    settings = settings_of(exhibit, SummarySettings)
    frame = load_runs(exhibit, settings.metrics, settings)
    found, paper = contexts(frame), Reported(exhibit.paper, settings)
    groups = comparison.effects(found, paper, settings.metrics, settings.not_run)
    return Drawing(_draw(groups, settings), comparison.table("effect", groups, settings.scale_of_paper))


def _draw(groups: Groups, settings: SummarySettings) -> Figure:
    """The forest plot of the effects of `comparison.effects`."""
    lines = _lines(groups)
    height = ABOVE + ROW * len(lines) + BELOW
    with style.styled():
        figure = Figure(figsize=(style.WIDTH, height))
        _rows(figure, lines, height)
        cell = (style.WIDTH - LABELS - EDGE) / len(settings.metrics)
        for place, metric in enumerate(settings.metrics):
            left = LABELS + place * cell
            box = (left, BELOW, cell - WORDS - GAP, ROW * len(lines))
            axes = figure.add_axes(_share(box, height), facecolor="none")
            _panel(axes, lines, metric, settings)
        _legend(figure, lines, settings, height)
    return figure


def _lines(groups: Groups) -> list[EffectLine]:
    """The rows from top to bottom; a regulariser is named where a method has several."""
    lines = []
    for group in groups:
        for row in group:
            method, _, encoder = row.method.partition(", ")
            several = [f"β {name(row.keys['beta'])}"] if len(group) > 1 else []
            about = [encoder, *several, seeds(row.seeds) if row.run else NOT_RUN]
            lines.append(EffectLine(method, ", ".join(about), row))
    return lines


def _share(box: Sequence[float], height: float) -> tuple[float, ...]:
    """A box in inches (left, bottom, width, height) as shares of the figure."""
    return tuple(
        round(inches / side, 6)
        for inches, side in zip(box, (style.WIDTH, height, style.WIDTH, height), strict=True)
    )


def _rows(figure: Figure, lines: list[EffectLine], height: float) -> None:
    """Bands behind every other row, over the whole width, and the names of the rows."""
    axes = figure.add_axes(_share((0, BELOW, style.WIDTH, ROW * len(lines)), height), zorder=-1)
    axes.set(xlim=(0, style.WIDTH), ylim=(len(lines) - 0.5, -0.5))
    axes.axis("off")
    for place, line in enumerate(lines):
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color="#F4F5F6", linewidth=0)
        axes.text(EDGE, place + OURS, line.method, va="center", fontsize=8.5)
        axes.text(EDGE, place + PAPER, line.about, va="center", fontsize=8, color=style.QUIET)


def _panel(axes: Axes, lines: list[EffectLine], metric: str, settings: SummarySettings) -> None:
    """One metric: ours on the lower axis, the paper's on the upper one, with zero at the same place."""
    rows = [line.row for line in lines]
    ours = [
        end
        for row in rows
        if (effect := row.ours[metric])
        for end in (effect.mean, effect.low, effect.high)
        if end is not None
    ]
    theirs = [value for row in rows if (value := row.paper[metric]) is not None]
    above = axes.twiny()
    if settings.scale_of_paper:
        limits = [_limits(ours + theirs, _negative(ours + theirs))] * 2
    else:
        share = max(_negative(ours), _negative(theirs))
        limits = [_limits(ours, share), _limits(theirs, share)]
    axes.set(xlim=limits[0], ylim=(len(lines) - 0.5, -0.5))
    above.set_xlim(limits[1])
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    for place, row in enumerate(rows):
        word = sign(row.ours[metric], row.paper[metric])
        _effect(axes, place, row.ours[metric], word)
        if row.paper[metric] is not None:
            above.plot([row.paper[metric]], [place + PAPER], **PAPER_MARK, zorder=3)
        _say(axes, place, word or (NOT_RUN if row.ours[metric] is None else NOT_REPORTED))
    _dress(axes, above, metric, settings)


def _say(axes: Axes, place: int, word: str) -> None:
    """Write a row's verdict to the right of the panel."""
    axes.annotate(
        word,
        xy=(1, place),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=COLOURS.get(word, style.QUIET),
        fontweight="bold" if word in (AGREES, DIFFERS) else "normal",
    )


def _effect(axes: Axes, place: int, effect: Estimate | None, word: str) -> None:
    """Draw our mean with its interval, or a hollow point for one seed."""
    if effect is None:
        return
    colour, height = COLOURS.get(word, style.REFERENCE), place + OURS
    if effect.low is not None:
        axes.plot([effect.low, effect.high], [height] * 2, color=colour, linewidth=1.3, zorder=2)
    look = _mark(word, one_seed=effect.low is None)
    axes.plot([effect.mean], [height], **look, zorder=3)


def _mark(word: str, one_seed: bool = False) -> dict[str, Any]:
    """How our point looks for a verdict; its shape differs too, so that it can be told in grey."""
    colour = COLOURS.get(word, style.REFERENCE)
    look = {"marker": MARKERS.get(word, "o"), "markersize": 4.5, "linestyle": "none", "color": colour}
    return look | {"markerfacecolor": "white" if one_seed else colour}


def _dress(axes: Axes, above: Axes, metric: str, settings: SummarySettings) -> None:
    """Title, ticks and grid of a panel; the upper axis is left out where both are one."""
    for each, colour in ((axes, "black"), (above, style.QUIET)):
        each.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        each.xaxis.set_major_formatter(_signed)
        each.tick_params(axis="x", labelsize=TICKS, length=2, pad=2, colors=colour)
        each.tick_params(axis="y", left=False, labelleft=False)
        each.grid(visible=False)
        each.spines[:].set_visible(False)
    axes.grid(axis="x", visible=True)
    axes.spines["bottom"].set_visible(True)
    above.spines["top"].set(visible=not settings.scale_of_paper, color=style.QUIET)
    above.tick_params(axis="x", top=not settings.scale_of_paper, labeltop=not settings.scale_of_paper)
    lid = f" ({lid_words(settings.mlid)})" if metric == "mlid" else ""
    axes.set_title(METRICS[metric].effect + lid, fontsize=8, pad=6 if settings.scale_of_paper else 16)


def _signed(value: float, _: int) -> str:
    return "0" if value == 0 else f"{value:+g}"


def _negative(values: Sequence[float]) -> float:
    """The share of an axis that lies below zero, between 1/8 and 7/8."""
    low, high = min([0.0, *values]), max([0.0, *values])
    share = -low / (high - low) if high > low else 0.5
    return min(max(share, 1 / 8), 7 / 8)


def _limits(values: Sequence[float], share: float) -> tuple[float, float]:
    """Ends of an axis that shows all values, with `share` of it below zero."""
    low, high = min([0.0, *values]), max([0.0, *values])
    length = max(-low / (share - ROOM), high / (1 - share - ROOM)) or 1.0
    return -share * length, (1 - share) * length


def _legend(figure: Figure, lines: list[EffectLine], settings: SummarySettings, height: float) -> None:
    """Draw the legend: the owner of each axis, the marks, and how often the signs agree."""
    effects = [
        (line.row.ours[metric], line.row.paper[metric]) for line in lines for metric in settings.metrics
    ]
    words = [word for pair in effects if (word := sign(*pair))]
    labels = {
        "the sign agrees": _mark(AGREES),
        "differs": _mark(DIFFERS),
        "undecided": _mark(UNDECIDED),
        "one seed": _mark(UNDECIDED, one_seed=True),
        "the paper's" if settings.scale_of_paper else "the paper's (upper axis)": PAPER_MARK,
    }
    handles = [Line2D([], [], **look, label=label) for label, look in labels.items()]
    counts = ", ".join(f"{word} {words.count(word)}" for word in (AGREES, DIFFERS, UNDECIDED))
    kinds = listed(line.row.keys["regularizer"] for line in lines)
    notes = [
        f"{kinds} minus none, paired by seed; bars: 95 % t-intervals over seeds; one seed has none",
        f"signs of {len(words)} effects beside the paper's: {counts}",
    ]
    place = {"loc": "center", "bbox_to_anchor": (0.5, round(0.47 / height, 6)), "ncols": len(handles)}
    figure.legend(
        handles=handles, **place, fontsize=8, handlelength=1.2, handletextpad=0.3, columnspacing=1.3
    )
    for line, note in enumerate(notes):
        y = round((0.27 - 0.15 * line) / height, 6)
        figure.text(0.5, y, note, ha="center", va="center", fontsize=8, color=style.QUIET)
    if not settings.scale_of_paper:
        for text, inches, colour in (
            ("here", BELOW - 0.1, "black"),
            ("paper", BELOW + ROW * len(lines) + 0.1, style.QUIET),
        ):
            at = {"x": round((LABELS - 0.14) / style.WIDTH, 6), "y": round(inches / height, 6)}
            figure.text(**at, s=text, ha="right", va="center", fontsize=TICKS, color=colour)
