"""Claims about effective rank as a sign of representation quality, within a method and across methods.

Each function tests one kind of claim. It yields a label and the result, where the runs are there.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from ldreg.exhibits.claims.evidence import Evidence, seeds, usual_contexts
from ldreg.exhibits.claims.method_claims import ACROSS
from ldreg.exhibits.claims.verdicts import NO_QUOTE, Quote, Results, one_above
from ldreg.exhibits.output.labels import name
from ldreg.exhibits.paper.reported import PaperRow
from ldreg.exhibits.runs.arms import Arm, Context
from ldreg.exhibits.stats.intervals import differences, t_interval

RANK, QUALITY = "effective_rank", "linear_top1"
AGREEMENT = (
    "pairs of settings in which the one of higher effective rank is the more accurate, minus those in which "
    "it is less, as a share of all pairs (Kendall's tau)"
)
Pairs = Iterable[tuple[tuple[float, float], tuple[float, float]]]  # of (rank, accuracy)


def rank_informs_within(evidence: Evidence) -> Results:
    """Over the settings of one method and encoder, accuracy rises with effective rank."""
    for context in usual_contexts(evidence.contexts):
        table = _table(_complete(context))
        if table.shape[1] > 2:
            found = t_interval(table.apply(lambda row: _agreement(combinations(row, 2)), axis=1))
            quantity = f"{AGREEMENT}, over {table.shape[1]} settings"
            result = one_above(found).result(
                quantity, "of all pairs", "for each seed, then the t-interval over seeds"
            )
            yield context.label, result


def rank_informs_less_across(evidence: Evidence) -> Results:
    """On one encoder, rank and accuracy agree more often within methods than across them."""
    by_encoder: dict[str, list[tuple[Context, Arm]]] = {}
    for context, arm in evidence.pairs:
        if not context.extra:
            by_encoder.setdefault(context.backbone, []).append((context, arm))
    for encoder, pairs in by_encoder.items():
        tables = [_table([context.control, arm]) for context, arm in pairs]
        known = sorted(set.intersection(*(set(table.index) for table in tables)))
        if len(tables) < 2 or not known:
            continue
        groups = {seed: [list(table.loc[seed]) for table in tables] for seed in known}
        within, across = (
            pd.Series({seed: share(each) for seed, each in groups.items()}) for share in (_within, _across)
        )
        methods = ", ".join(name(context.method) for context, _ in pairs)
        result = one_above(t_interval(differences(within, across))).result(
            quantity=f"{AGREEMENT}, within methods ({within.mean():+.2f}) minus across methods "
            f"({across.mean():+.2f}), each with and without LDReg",
            unit="of all pairs",
            test=f"for each seed over {methods}, then the t-interval over seeds",
            paper=_quote(evidence, pairs),
        )
        yield f"{ACROSS}, {name(encoder)}", result


def _complete(context: Context) -> list[Arm]:
    """The arms of a context that have every one of its seeds, so that each seed has the same pairs."""
    known = {seed for arm in context.arms for seed in arm.runs["seed"]}
    return [arm for arm in context.arms if known <= set(arm.runs["seed"])]


def _table(arms: Sequence[Arm]) -> pd.DataFrame:
    """(rank, accuracy) of each arm by seed; seeds that lack an arm are left out."""
    columns = {
        place: pd.Series(dict(zip(ranks.index, zip(ranks, seeds(arm, QUALITY), strict=True), strict=True)))
        for place, arm in enumerate(arms)
        for ranks in [seeds(arm, RANK)]
    }
    return pd.DataFrame(columns).dropna()


def _agreement(pairs: Pairs) -> float:
    """The mean over pairs of 1 where rank and accuracy differ in the same sense, else -1; 0 for ties."""
    return float(np.mean([np.sign((one[0] - other[0]) * (one[1] - other[1])) for one, other in pairs]))


def _within(methods: Sequence[Sequence[tuple[float, float]]]) -> float:
    return _agreement([pair for settings in methods for pair in combinations(settings, 2)])


def _across(methods: Sequence[Sequence[tuple[float, float]]]) -> float:
    return _agreement([pair for one, other in combinations(methods, 2) for pair in product(one, other)])


def _quote(evidence: Evidence, pairs: Sequence[tuple[Context, Arm]]) -> Quote:
    """The same of the paper's rows for these methods, where it has two of them or more."""
    paper = evidence.reported_pairs
    rows = [(paper.row(context.setting()), paper.row(context.setting(arm))) for context, arm in pairs]
    groups = [[_place(row) for row in both] for both in rows if all(both)]
    if len(groups) < 2:
        return NO_QUOTE
    within, across = _within(groups), _across(groups)
    words = f"{within:+.2f} within, {across:+.2f} across"
    return Quote(round(within - across, 2), words)


def _place(row: PaperRow) -> tuple[float, float]:
    return row.values[RANK], row.values[QUALITY]
