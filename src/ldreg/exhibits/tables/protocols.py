"""What the protocol of linear evaluation changes: levels and effects by both, on the same encoders."""

from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.exhibits.output.estimates import ONE_SEED_NOTE, effect, level
from ldreg.exhibits.output.labels import present, seeds
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.linear import PROTOCOLS, linear_protocol, read_linear
from ldreg.exhibits.runs.run_table import ExhibitSpec, add_columns, describe, load_runs, settings_of
from ldreg.exhibits.stats.intervals import Estimate, estimate_columns
from ldreg.exhibits.tables.declared import ProtocolsSettings
from ldreg.exhibits.tables.table_files import table_files

TOPS = ("top1", "top5")
BEST, SHIFT = "best_test_epoch", "paper_minus_cached"
# The columns of numbers, and what stands at their head.
COLUMNS = {**{kind: kind for kind in PROTOCOLS}, SHIFT: "paper minus cached"}
FIRST = ("method", "regulariser", "accuracy (%)")


def protocols(exhibit: ExhibitSpec) -> dict[str, str]:
    """The table as CSV (one line per number), Markdown and LaTeX."""
    settings = settings_of(exhibit, ProtocolsSettings)
    frame = add_columns(load_runs(exhibit, (), settings), _accuracies)
    tops = [top for top in TOPS if frame[f"{SHIFT}_{top}"].notna().all()]  # no top-5 of few classes
    found = contexts(frame)
    levels = Block("Levels", (*FIRST, *COLUMNS.values(), "best test epoch", "seeds"), [], 3)
    effects = Block(
        "Effect of the regulariser (with minus without)", (*FIRST, *COLUMNS.values(), "seeds"), [], 3
    )
    for context in found:
        levels.groups.append([_levels(context, arm, top) for arm in context.arms for top in tops])
        if context.control and context.treated:
            effects.groups.append([_effects(context, arm, top) for arm in context.treated for top in tops])
    lines = pd.DataFrame(
        [
            line
            for context in found
            for arm in context.arms
            for top in tops
            for line in _lines(context, arm, top)
        ]
    )
    blocks = [block for block in (effects, levels) if block.groups]
    return table_files(exhibit, blocks, [*_notes(exhibit, frame), *settings.notes], lines)


def _accuracies(folder: Path) -> dict[str, float]:
    """A run's accuracies by protocol, at the best test epoch, and how far the protocols lie apart."""
    cached, paper = (read_linear(folder, kind) for kind in ("cached", "paper"))
    found = {}
    for top in TOPS:
        if present(cached[top]) and present(paper[top]):
            found |= {f"cached_{top}": cached[top], f"paper_{top}": paper[top]}
            found |= {
                f"{BEST}_{top}": paper["best_test_epoch"][top],
                f"{SHIFT}_{top}": paper[top] - cached[top],
            }
    return {
        key: found.get(key, float("nan"))
        for key in (f"{each}_{top}" for each in (*COLUMNS, BEST) for top in TOPS)
    }


def _levels(context: Context, arm: Arm, top: str) -> list[Cell]:
    texts = [level(arm.level(f"{kind}_{top}")) for kind in PROTOCOLS]
    texts += [effect(arm.level(f"{SHIFT}_{top}")), level(arm.level(f"{BEST}_{top}"))]
    return _cells(context, arm, top, texts, arm.level(f"{SHIFT}_{top}"))


def _effects(context: Context, arm: Arm, top: str) -> list[Cell]:
    found = [arm.effect(context.control, f"{column}_{top}") for column in COLUMNS]
    return _cells(context, arm, top, [effect(each) for each in found], found[-1])


def _cells(context: Context, arm: Arm, top: str, texts: list[str], shift: Estimate | None) -> list[Cell]:
    """A row, whose difference between the protocols is bold where its interval is without zero."""
    clear = shift is not None and shift.low is not None and shift.low * shift.high > 0
    words = [context.label, arm.label, top.replace("top", "top-")]
    count = str(shift.n if shift else 0)
    bold = len(words) + list(COLUMNS).index(SHIFT)
    return [Cell(text, clear and place == bold) for place, text in enumerate([*words, *texts, count])]


def _lines(context: Context, arm: Arm, top: str) -> list[dict[str, Any]]:
    """The CSV's lines of one arm: levels, and effects where it has an unregularised arm beside it."""
    about = {**context.columns(arm), "accuracy": top}
    lines = [
        {**about, "kind": "level", "protocol": column, **estimate_columns(arm.level(f"{column}_{top}"))}
        for column in (*COLUMNS, BEST)
    ]
    if arm.regularized and context.control:
        lines += [
            {
                **about,
                "kind": "effect",
                "protocol": column,
                **estimate_columns(arm.effect(context.control, f"{column}_{top}")),
            }
            for column in COLUMNS
        ]
    return lines


def _notes(exhibit: ExhibitSpec, frame: pd.DataFrame) -> list[str]:
    count = frame["seed"].nunique()
    interval = ONE_SEED_NOTE
    if count > 1:
        interval = (
            f"Numbers are means over {seeds(count)}. ± and brackets are 95 % t-intervals over seeds; those "
            "of differences are paired by seed. Bold marks intervals that exclude zero."
        )
    return [
        f"The runs here are those of the {exhibit.scale} scale: {describe(frame)}. Both protocols measure "
        "the same encoders.",
        interval,
        *(linear_protocol(frame, kind) for kind in PROTOCOLS),
        "The best test epoch has the highest accuracy on the test split of all epochs of protocol paper. It "
        "is chosen on the images that are tested on, so it is no result here.",
    ]
