"""Legends of figures: short names of regulariser settings, and words for the intervals."""

from collections.abc import Collection, Iterable, Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from ldreg.exhibits.output.labels import name
from ldreg.exhibits.settings import LidChoice

Setting = tuple[str, str]  # a regulariser and its label with beta, k and so on


def series_names(groups: Iterable[Sequence[Setting]]) -> dict[Setting, str]:
    """One name for each setting, the unregularised one first.

    The name is the regulariser's alone where no group (the runs of one method and encoder) has two settings
    of it. Each method may then have its own beta. Otherwise the name includes the settings.

    >>> a, b, none = ("ldreg_l1", "LDReg β 0.1"), ("ldreg_l1", "LDReg β 1"), ("none", "none")
    >>> list(series_names([[a, none], [b]]).values()), list(series_names([[a, b]]).values())
    (['unregularised', 'LDReg', 'LDReg'], ['LDReg β 0.1', 'LDReg β 1'])
    """
    groups = [list(group) for group in groups]
    single = all(len({kind for kind, _ in group}) == len(group) for group in groups)
    different = dict.fromkeys(setting for group in groups for setting in group)
    return {
        (kind, label): "unregularised" if kind == "none" else name(kind) if single else label
        for kind, label in sorted(different, key=lambda setting: setting[0] != "none")
    }


def lid_words(choice: LidChoice) -> str:
    """The LID measurement in words that are short enough for an axis: 'MoM, k 16'."""
    estimator = {"mom": "MoM", "mle": "MLE"}[choice.estimator]
    return f"{estimator}, k {choice.k}"


def legend_columns(labels: Collection[str]) -> int:
    """Columns of a legend as wide as the text, of 8 points: some 80 characters, each mark as wide as 7.

    >>> legend_columns(["unregularised", "LDReg"]), legend_columns(["Min LID β 0.01, k 16"] * 4)
    (2, 2)
    """
    return max(1, min(len(labels), 80 // (max(map(len, labels)) + 7)))


def legend_below(
    figure: Figure, handles: Sequence[Artist], title: str, columns: int = 0, **layout: float
) -> None:
    """A legend below the panels, whose title says what is drawn.

    columns: of the legend, by default as many as fit. layout: further settings of matplotlib's legends.
    """
    columns = columns or legend_columns([str(handle.get_label()) for handle in handles])
    place = {"loc": "outside lower center", "ncols": columns}
    figure.legend(handles=handles, title=title, title_fontsize=8, **place, **layout)


def interval_note(counts: Iterable[int], marks: str) -> str:
    """What the marks of intervals mean, given the numbers of seeds.

    >>> interval_note([3, 3], "bands"), interval_note([1], "bands")
    ('means with 95 % t-intervals (bands) over 3 seeds', '1 seed, no interval')
    """
    ends = sorted(counts)
    if ends[-1] == 1:
        return "1 seed, no interval"
    number = " to ".join(str(count) for count in dict.fromkeys((ends[0], ends[-1])))
    return f"means with 95 % t-intervals ({marks}) over {number} seeds"
