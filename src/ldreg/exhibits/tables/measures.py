"""Whether the effect depends on how it is measured: every form of effective rank and mLID that runs have."""

from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.exhibits.output.estimates import ONE_SEED_NOTE, effect, level
from ldreg.exhibits.output.labels import name, seeds
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.runs.arms import Arm, Context, contexts
from ldreg.exhibits.runs.run_table import (
    ExhibitSpec,
    add_columns,
    describe,
    load_runs,
    read_measured,
    settings_of,
)
from ldreg.exhibits.settings import LidChoice
from ldreg.exhibits.stats.intervals import estimate_columns
from ldreg.exhibits.tables.declared import MeasuresSettings
from ldreg.exhibits.tables.table_files import table_files

HEADER = ("measured by", "unregularised", "change [95 % interval]", "seeds")
RANK, LID, RANKME = "effective rank", "mLID", "RankMe, of the singular values"


def measures(exhibit: ExhibitSpec) -> dict[str, str]:
    """The table as CSV (one line per number), Markdown and LaTeX."""
    settings = settings_of(exhibit, MeasuresSettings)
    runs = load_runs(exhibit, (), settings)
    frame = add_columns(runs, _measured)
    # Forms that were not measured for all runs are left out.
    measured = [key for key in frame if key not in runs and frame[key].notna().all()]
    pairs = [(context, arm) for context in contexts(frame) if context.control for arm in context.treated]
    blocks = [
        Block(
            f"{context.label}, {arm.label}, minus unregularised",
            HEADER,
            [_rows(context, arm, measured)],
            1,
        )
        for context, arm in pairs
    ]
    lines = pd.DataFrame([_line(context, arm, key) for context, arm in pairs for key in measured])
    return table_files(exhibit, blocks, [*_notes(exhibit, settings, frame), *settings.notes], lines)


def _measured(folder: Path) -> dict[str, float]:
    """All effective ranks and mLIDs of a run; the keys say in words how each is measured."""
    content = read_measured(folder / "dimensionality.json")
    ranks = {f"{RANK}, {name(kind)}": value for kind, value in content["effective_rank"].items()}
    lids = {
        f"{LID}, {LidChoice(**{key: entry[key] for key in LidChoice.model_fields})}": entry["mlid"]
        for entry in content["lid"]
    }
    return ranks | {RANKME: content["rankme"]} | lids


def _rows(context: Context, arm: Arm, measured: list[str]) -> list[list[Cell]]:
    rows = []
    for key in measured:
        change = arm.effect(context.control, key)
        without_zero = change is not None and change.low is not None and change.low * change.high > 0
        texts = [key, level(context.control.level(key)), effect(change), str(change.n if change else 0)]
        rows.append([Cell(text, without_zero and place == 2) for place, text in enumerate(texts)])
    return rows


def _line(context: Context, arm: Arm, key: str) -> dict[str, Any]:
    return {
        **context.columns(arm),
        "measured_by": key,
        "unregularised": context.control.level(key).mean,
        **estimate_columns(arm.effect(context.control, key)),
    }


def _notes(exhibit: ExhibitSpec, settings: MeasuresSettings, frame: pd.DataFrame) -> list[str]:
    count = frame["seed"].nunique()
    interval = ONE_SEED_NOTE
    if count > 1:
        interval = (
            f"Numbers are means over {seeds(count)}. ± and brackets are 95 % t-intervals over seeds; "
            "those of changes are paired by seed. Bold marks intervals that exclude zero; each stands for "
            "itself and is not adjusted for the number of rows."
        )
    return [
        f"The runs here are those of the {exhibit.scale} scale: {describe(frame)}. All measurements are "
        "of the test split's representations.",
        interval,
        f"Other tables and figures show {RANK} by the {name(settings.effective_rank)}, and {LID} by "
        f"{settings.mlid.prose}. The paper computes its effective rank from the feature correlation matrix "
        "(appendix B), but does not say whether the features are centred and scaled for it, or how its mLID "
        "is estimated.",
    ]
