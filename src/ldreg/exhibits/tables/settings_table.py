"""The paper's settings beside those of our runs: Tables 5 to 11, and SimCLR on a ViT-B/16.

Settings that differ are marked.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.catalogue.optimizers import OPTIMIZERS
from ldreg.config.run_spec import RunSpec, ViewSettings, read_spec
from ldreg.errors import LdregError
from ldreg.exhibits.output.labels import name
from ldreg.exhibits.output.markup import Block, Cell
from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.linear_evaluation import linear_evaluation
from ldreg.exhibits.paper.reported import Reported
from ldreg.exhibits.paper.setting_words import agree, label, shown
from ldreg.exhibits.paper.settings import PaperSetting, PaperSettings
from ldreg.exhibits.runs.linear import linear_protocol
from ldreg.exhibits.runs.run_table import ExhibitSpec, describe, settings_of
from ldreg.exhibits.runs.summaries import imported, read_summary
from ldreg.exhibits.tables.declared import TABLES, PaperTable, SettingsTableSettings
from ldreg.exhibits.tables.table_files import table_files

HEADER = ("setting", "paper", "here", "compared", "the paper's value is", "source")
SAME, DIFFERS, ONLY_HERE, NOT_RUN, NOT_KNOWN = "=", "differs", "only here", "not run", "not known"
NOT_GIVEN = "not given"
# Settings that the tables leave out: they name, repeat, sweep or watch a run, or stand in another table.
_LEFT_OUT = ("scale", "augmentation", "jitter", "views", "method", "regularizer", "seed", "monitor_k")
_LEFT_OUT += ("knn_every", "execution", "evaluation")
_BESIDE = {"adam_beta2": "optimizer"}  # a setting that has a meaning only together with another one
# Blocks whose names the tables leave out of the keys.
_BLOCKS = {"pretraining": "", "views": "views.", "evaluation": "evaluation."}
_PRECISION = "execution.precision"  # which is no setting of a run, but stands below them


@dataclass(frozen=True)
class SettingLine:
    """One setting: the paper's value and ours in words, whether they agree, and where the paper gives it.

    status: whether the paper's value is printed, comes from its authors' code or the method's own, or is
    assumed.
    """

    key: str
    paper: str
    here: str
    compared: str
    status: str
    source: str

    def cells(self, block: str) -> list[Cell]:
        """The cells of this line in the table about a block of settings, such as `views.`."""
        marked = self.compared in (DIFFERS, ONLY_HERE)
        words = (Cell(label(block + self.key, "LDReg")), Cell(self.paper), Cell(self.here, marked))
        return [*words, Cell(self.compared, marked), Cell(self.status), Cell(self.source)]


@dataclass(frozen=True)
class Used:
    """Our runs of one method on the encoder that stands for the paper's; `absent` if there are none.

    precisions: the precisions in which they were trained, each once.
    """

    specs: list[RunSpec]
    absent: str = NOT_RUN
    precisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """One run: its spec, whether its weights were imported, and the precision that it was trained in."""

    spec: RunSpec
    foreign: bool
    precision: str


@dataclass(frozen=True)
class TablePart:
    """The lines about one method on one encoder, or about the evaluation; `block` is that of their cells."""

    title: str
    block: str
    lines: tuple[SettingLine, ...]


def settings_table(exhibit: ExhibitSpec) -> dict[str, str]:
    """One of `TABLES` as CSV (one line per setting), Markdown and LaTeX."""
    settings = settings_of(exhibit, SettingsTableSettings)
    table = TABLES[settings.table]
    paper = PaperSettings(exhibit.paper.with_name(SETTINGS_FILE))
    runs = _read_runs(exhibit)
    if table.about == ("evaluation",):
        lines = _evaluation(exhibit, paper, settings.linear)
        parts = [TablePart("Linear evaluation", _BLOCKS["evaluation"], tuple(lines))]
    else:
        parts = list(_parts(table, runs, paper, Reported(exhibit.paper, settings).backbone))
    blocks = [
        Block(part.title, HEADER, [[line.cells(part.block) for line in part.lines]], len(HEADER))
        for part in _merged(parts)
    ]
    cells = [
        {"table": settings.table, "of": part.title, **vars(line)} for part in parts for line in part.lines
    ]
    notes = [*_notes(exhibit, settings, parts, runs), *settings.notes]
    return table_files(exhibit, blocks, notes, pd.DataFrame(cells))


def _parts(
    table: PaperTable, runs: dict[Path, Trained], paper: PaperSettings, encoder: Callable[[str], str]
) -> Iterator[TablePart]:
    """What the table is about, of each of its methods on each of its encoders."""
    for method, backbone in table.members:
        used, given = _used(runs, method, backbone, encoder), paper.of(method, backbone)
        for about in table.about:
            lines = _views(used, given) if about == "views" else _pretraining(used, given)
            kind = f": {about}" if len(table.about) > 1 else ""
            yield TablePart(f"{name(method)}, {name(backbone)}{kind}", _BLOCKS[about], tuple(lines))


def _read_runs(exhibit: ExhibitSpec) -> dict[Path, Trained]:
    """Each run's spec, and how it was trained, by folder.

    Raises LdregError for a run that is not trained, or was trained by another spec than its folder holds.
    """
    runs = {}
    for folder in exhibit.runs:
        _, spec = read_spec(folder / "spec.yaml")
        summary = read_summary(folder)
        if (digest := summary.get("spec_hash")) != spec.hash:
            raise LdregError(
                f"{folder}/summary.json: spec_hash: {digest!r} is not that of spec.yaml ({spec.hash}); "
                "it was trained with other settings: train it again"
            )
        runs[folder] = Trained(spec, imported(summary), str(summary.get("precision", NOT_KNOWN)))
    if not runs:
        raise LdregError(f"{exhibit.path}: runs: none are named; at least one is needed")
    return runs


def _used(runs: dict[Path, Trained], method: str, backbone: str, encoder: Callable[[str], str]) -> Used:
    """The runs of `method` whose encoder stands for the paper's `backbone`."""
    found = [
        run for run in runs.values() if run.spec.method == method and encoder(run.spec.backbone) == backbone
    ]
    known = [run for run in found if not run.foreign]
    return Used(
        [run.spec for run in known],
        NOT_KNOWN if found and not known else NOT_RUN,
        tuple(_distinct(run.precision for run in known)),
    )


def _pretraining(used: Used, given: dict[str, PaperSetting]) -> list[SettingLine]:
    """Each setting of a run that the paper gives, or that is not the default here; then the precision."""
    fields = [key for key in RunSpec.model_fields if key not in _LEFT_OUT]
    keys = [key for key in given if key.split(".")[0] not in _LEFT_OUT]
    keys += [key for key in fields if key not in given and any(_is_set(spec, key) for spec in used.specs)]
    keys.sort(key=lambda key: fields.index(_BESIDE.get(key, key.split(".")[0])))
    lines = [_line(key, given.get(key), _values(used, key, given.get(key)), used) for key in keys]
    return [*lines, _line(_PRECISION, given.get(_PRECISION), list(used.precisions), used)]


def _is_set(spec: RunSpec, key: str) -> bool:
    value = getattr(spec, key)
    return value is not None and value != RunSpec.model_fields[key].default


def _values(used: Used, key: str, given: PaperSetting | None) -> list[Any]:
    """The values of this setting in the runs that have it, each value once."""
    wanted = given.regularizers if given else ()
    specs = [spec for spec in used.specs if not wanted or spec.regularizer in wanted]
    if key.startswith("optimizer."):
        return _distinct(_inside_optimizer(spec).get(key.partition(".")[2]) for spec in specs)
    if key in ("beta", "k", "target", "acts_on", "regularizer_start") and not wanted:
        specs = [spec for spec in specs if spec.regularizer != "none"]
    return _distinct(getattr(spec, key) for spec in specs)


def _inside_optimizer(spec: RunSpec) -> dict[str, float]:
    """The constants of the run's optimiser, and the decay of biases and norms."""
    block = OPTIMIZERS[spec.optimizer]
    decay = spec.weight_decay if block.decays_biases else 0.0
    return {**block.constants, "decay_of_biases_and_norms": decay}


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _line(key: str, given: PaperSetting | None, ours: list[Any], used: Used) -> SettingLine:
    """One setting. It is the same only if our runs have exactly the paper's values."""
    theirs = list(given.values) if given else []
    paper = ", ".join(map(shown, theirs)) or NOT_GIVEN
    beside = (given.status, given.source) if given else ("", "")
    if not ours:
        return SettingLine(key, paper, used.absent, used.absent, *beside)
    covered = all(any(agree(value, own) for value in theirs) for own in ours)
    complete = all(any(agree(value, own) for own in ours) for value in theirs)
    compared = ONLY_HERE if given is None else SAME if covered and complete else DIFFERS
    return SettingLine(key, paper, ", ".join(map(shown, ours)), compared, *beside)


def _views(used: Used, given: dict[str, PaperSetting]) -> list[SettingLine]:
    """How the two views are made; `a / b` where they are not made alike."""
    of_views = {key.removeprefix("views."): found for key, found in given.items() if key.startswith("views.")}
    named = {key.split(".")[-1] for key in of_views}
    plain_view = ViewSettings()
    lines = []
    for key in ViewSettings.model_fields:
        ours = _distinct(tuple(getattr(view, key) for view in spec.views) for spec in used.specs)
        changed = any(value != getattr(plain_view, key) for views in ours for value in views)
        if key in named or changed:
            lines.append(_view_line(key, of_views, ours, used))
    return lines


def _view_line(
    key: str, given: dict[str, PaperSetting], ours: list[tuple[Any, ...]], used: Used
) -> SettingLine:
    each = [given.get(f"{place}.{key}") or given.get(key) for place in (0, 1)]
    if None in each:
        paper, beside, theirs = NOT_GIVEN, ("", ""), None
    else:
        theirs = [found.values[0] for found in each]
        notes = ([found.status for found in each], [found.source for found in each])
        paper, beside = _of_views(theirs), tuple("; ".join(_distinct(words)) for words in notes)
    if not ours:
        return SettingLine(key, paper, used.absent, used.absent, *beside)
    here = ", ".join(_distinct(map(_of_views, ours)))
    if theirs is None:
        return SettingLine(key, paper, here, ONLY_HERE, *beside)
    alike = all(len(views) == 2 and all(map(agree, theirs, views)) for views in ours)
    return SettingLine(key, paper, here, SAME if alike else DIFFERS, *beside)


def _of_views(values: Iterable[Any]) -> str:
    return " / ".join(_distinct(map(shown, values)))


def _evaluation(exhibit: ExhibitSpec, paper: PaperSettings, protocol: str) -> list[SettingLine]:
    """Table 9: the linear evaluation that the paper gives and the one that this scale's runs had."""
    given = paper.of_all("evaluation.")
    ours = linear_evaluation(exhibit.measured_by, protocol, given)
    used = Used([])
    lines = [
        _line(key, found, [_tuple(ours[key])] if key in ours else [found.here or None], used)
        for key, found in given.items()
    ]
    own = [key for key in ours if (key.startswith("linear_") or key == "holdout") and key not in given]
    return lines + [_line(key, None, [_tuple(ours[key])], used) for key in own]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _merged(parts: list[TablePart]) -> Iterator[TablePart]:
    """The parts of a table; those with equal lines are joined, and so are their names."""
    for block, lines in dict.fromkeys((part.block, part.lines) for part in parts):
        titles = [part.title for part in parts if (part.block, part.lines) == (block, lines)]
        yield TablePart("; ".join(titles), block, lines)


def _notes(
    exhibit: ExhibitSpec, settings: SettingsTableSettings, parts: list[TablePart], runs: dict[Path, Trained]
) -> list[str]:
    """What a reader must know: the scale, how many settings differ, and what bold means."""
    frame = pd.DataFrame([{**run.spec.model_dump(), "folder": str(at)} for at, run in runs.items()])
    notes = [f"The runs here are those of the {exhibit.scale} scale: {describe(frame)}."]
    for part in parts:
        compared = [line.compared for line in part.lines if line.compared in (SAME, DIFFERS)]
        if compared:
            notes.append(f"{part.title}: {compared.count(DIFFERS)} of {len(compared)} settings differ.")
    notes.append(
        "Settings in bold differ from the paper's, or are set here where the paper gives nothing. The column "
        "'here' shows what the runs' own files say, without imported encoders. Several values are those of "
        "several runs."
    )
    notes.append(
        "The paper's value is printed in the paper. Where the paper prints none, it comes from its authors' "
        "code or released configurations, else from the method's own paper or code, or it is assumed."
    )
    about = TABLES[settings.table].about
    if "views" in about:
        notes.append(
            "One value holds for both views. Values with a slash are those of the first and of the second "
            "view."
        )
    if "evaluation" in about:
        notes.append(linear_protocol(frame, settings.linear))
    return notes
