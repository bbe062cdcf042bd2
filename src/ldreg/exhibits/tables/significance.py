"""Whether gains are significant: each paired difference with its interval, its test and a verdict in words.

Holm's correction is for all tests of the table: all metrics of all pairs that it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ldreg.exhibits.output.estimates import NOT_REPORTED, NOT_RUN, effect
from ldreg.exhibits.output.labels import METRICS, number, printed
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.paper import comparison
from ldreg.exhibits.paper.comparison import Row
from ldreg.exhibits.paper.reported import Reported
from ldreg.exhibits.runs.arms import contexts
from ldreg.exhibits.runs.run_table import ExhibitSpec, by_seed, describe, load_runs, settings_of
from ldreg.exhibits.stats.intervals import LEVEL, differences, estimate_columns
from ldreg.exhibits.tables.declared import TableSettings
from ldreg.exhibits.tables.main_table import measured_by
from ldreg.exhibits.tables.table_files import table_files

ALPHA = 1 - LEVEL
RESAMPLES = 9999
BOOTSTRAP_SEEDS = 5  # with fewer, resampled seeds give intervals that are far too narrow


@dataclass(frozen=True)
class Outcome:
    """One metric of one pair: its differences by seed (with minus without) and the t-test on them.

    p is None where there is no test: without two seeds, or where all differences are equal.
    """

    row: Row
    metric: str
    by_seed: np.ndarray
    p: float | None
    corrected: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the difference is significant after the correction."""
        return self.corrected is not None and self.corrected < ALPHA

    @property
    def verdict(self) -> str:
        """What the test allows to say, in words."""
        if self.by_seed.size == 0:
            return NOT_RUN
        if self.by_seed.size == 1:
            return "cannot be told from one seed"
        if self.p is None:
            return "all differences are equal: no test"
        direction = "higher" if self.by_seed.mean() > 0 else "lower"
        if self.significant:
            return f"significantly {direction}"
        return f"{direction}, not after correction" if self.p < ALPHA else "no difference shown"

    @property
    def bootstrap(self) -> tuple[float, float] | None:
        """Bounds of the bootstrap interval of the mean over seeds; None for too few or equal differences."""
        if self.by_seed.size < BOOTSTRAP_SEEDS or self.p is None:
            return None
        found = stats.bootstrap(
            (self.by_seed,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(0),
        )
        return float(found.confidence_interval.low), float(found.confidence_interval.high)


def significance(exhibit: ExhibitSpec) -> dict[str, str]:
    """The table as CSV (one line per test), Markdown and LaTeX."""
    settings = settings_of(exhibit, TableSettings)
    frame = load_runs(exhibit, settings.metrics, settings)
    found = contexts(frame)
    groups = comparison.effects(found, Reported(exhibit.paper, settings), settings.metrics, settings.not_run)
    pairs = {
        (context.label, arm.label): (arm.runs, context.control.runs)
        for context in found
        if context.control
        for arm in context.treated
    }
    tests = [
        [
            _test(row, metric, pairs.get((row.method, row.regularizer)))
            for row in group
            for metric in settings.metrics
        ]
        for group in groups
    ]
    tests = _corrected(tests)
    notes = [*_notes(exhibit, frame, tests, settings), *settings.notes]
    lines = pd.DataFrame([_line(test) for group in tests for test in group])
    return table_files(exhibit, [_block(exhibit.scale, tests)], notes, lines)


def _test(row: Row, metric: str, pair: tuple[pd.DataFrame, pd.DataFrame] | None) -> Outcome:
    values = np.array([])
    if pair is not None:
        values = differences(*(by_seed(runs, metric) for runs in pair)).to_numpy(dtype=float)
    return Outcome(row, metric, values, p_value(values))


def p_value(values: Sequence[float] | np.ndarray) -> float | None:
    """Two-sided p of the paired t-test on differences; None where it has no meaning.

    Equal differences would give p = 0. They come from accuracies that are counts of a few test images.

    >>> round(p_value([1.0, 2.0, 3.0]), 3)  # t = 2 / (1 / sqrt(3)), 2 degrees of freedom
    0.074
    >>> p_value([0.5, 0.5, 0.5]), p_value([1.0])
    (None, None)
    """
    values = np.asarray(values, dtype=float)
    if values.size < 2 or np.allclose(values, values[0], rtol=1e-9, atol=1e-12):
        return None
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values, in the order given: the i-th smallest times (m - i), never falling.

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    rising = np.maximum.accumulate(np.asarray(values, dtype=float)[order] * factors)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(rising, 1.0)
    return corrected.tolist()


def _corrected(tests: list[list[Outcome]]) -> list[list[Outcome]]:
    family = iter(holm([test.p for group in tests for test in group if test.p is not None]))
    return [
        [test if test.p is None else replace(test, corrected=next(family)) for test in group]
        for group in tests
    ]


def _block(scale: str, tests: list[list[Outcome]]) -> Block:
    header = ("method, regulariser", "change in", "verdict", "paper", "here [95 % t-interval]")
    resampled = any(test.bootstrap for group in tests for test in group)
    header += (*(["bootstrap interval"] if resampled else []), "seeds", "p", "p, Holm")
    groups = []
    for group in tests:
        labels, rows = _labels(group), []
        for label, test in zip(labels, group, strict=True):
            texts = [label, *_texts(test, resampled)]
            rows.append([Cell(text, place == 2 and test.significant) for place, text in enumerate(texts)])
        groups.append(rows)
    return Block(f"With the regulariser minus without, at the {scale} scale", header, groups, 3)


def _labels(group: list[Outcome]) -> list[str]:
    """The first column: the method, and below it each regulariser beside the first of its rows.

    Where a regulariser has a single row, both stand side by side in one cell. A wider table would be hard to
    read on paper.
    """
    labels = []
    for place, test in enumerate(group):
        if place and test.row is group[place - 1].row:
            continue
        words = [test.row.regularizer] if labels else [test.row.method, test.row.regularizer]
        rows = sum(other.row is test.row for other in group)
        words = words if len(words) <= rows else [", ".join(words)]
        labels += [*words, *[""] * (rows - len(words))]
    return labels


def _texts(test: Outcome, resampled: bool) -> list[str]:
    theirs = test.row.paper[test.metric]
    bounds = test.bootstrap
    interval = f"[{number(bounds[0], True)}, {number(bounds[1], True)}]" if bounds else "none"
    return [
        METRICS[test.metric].effect,
        test.verdict,
        NOT_REPORTED if theirs is None else printed(theirs, signed=True),
        effect(test.row.ours[test.metric]),
        *([interval] if resampled else []),
        str(test.by_seed.size),
        *(probability(p) for p in (test.p, test.corrected)),
    ]


def probability(p: float | None) -> str:
    """A p-value as it is printed.

    >>> probability(0.0123), probability(0.00004), probability(1.0), probability(None)
    ('0.012', '< 0.001', '1.000', 'none')
    """
    if p is None:
        return "none"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _line(test: Outcome) -> dict[str, Any]:
    low, high = test.bootstrap or (None, None)
    return {
        **test.row.keys,
        "metric": test.metric,
        "unit": METRICS[test.metric].difference_unit,
        "verdict": test.verdict,
        **estimate_columns(test.row.ours[test.metric]),
        "bootstrap_low": low,
        "bootstrap_high": high,
        "p": test.p,
        "p_holm": test.corrected,
        "paper": test.row.paper[test.metric],
    }


def _notes(
    exhibit: ExhibitSpec, frame: pd.DataFrame, tests: list[list[Outcome]], settings: TableSettings
) -> list[str]:
    """What a reader must know: the runs, the tests, and what the tests cannot say."""
    family = sum(test.p is not None for group in tests for test in group)
    most = max(test.by_seed.size for group in tests for test in group)
    what = f"The runs here are those of the {exhibit.scale} scale: {describe(frame)}"
    notes = [f"{what}. The paper has one number for each cell, and no test."]
    if most > 1:
        notes += [
            "Brackets are 95 % t-intervals over seeds of the differences paired by seed. p is that of the "
            f"two-sided paired t-test; the column 'p, Holm' corrects it for all {family} tests of this "
            f"table. A difference is significant if p is below {ALPHA:.2f} after the correction.",
            "'No difference shown' does not mean that there is none: the interval says how large it may be.",
            f"The t-test assumes that differences over seeds are normally distributed, which {most} seeds "
            f"cannot show. A test of their signs alone could not give a p below {2.0 ** (1 - most):.2g}.",
        ]
        notes.append(_bootstrap_note(most))
    else:
        notes.append("One seed gives no interval and no test, and says nothing about noise.")
    notes.append(
        "Seeds vary the initial weights, the views and the batches; the test images are the same for all "
        "seeds."
    )
    return [*notes, *measured_by(frame, settings)]


def _bootstrap_note(most: int) -> str:
    if most < BOOTSTRAP_SEEDS:
        return f"There is no bootstrap over seeds: its intervals need {BOOTSTRAP_SEEDS} seeds or more."
    return (
        f"The bootstrap interval is a 95 % BCa interval from {RESAMPLES} resamples of the differences "
        f"over seeds. It is given from {BOOTSTRAP_SEEDS} seeds on; with few it is narrower than it should be."
    )
