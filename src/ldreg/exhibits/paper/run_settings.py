"""The settings of runs, each beside the values that the paper gives for runs like them.

Runs are mappings: the contents of their spec.yaml, or the dump of a RunSpec. Like `settings`, this module
imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldreg.catalogue.backbones import STAND_INS
from ldreg.exhibits.output.labels import present
from ldreg.exhibits.paper.setting_words import agree
from ldreg.exhibits.paper.settings import PaperSettings

Run = Mapping[str, Any]

# Settings of a regulariser, which are compared with the paper's for the same regulariser.
OF_REGULARIZER = ("beta", "k")
_SCALED_BY_JITTER = ("brightness", "contrast", "saturation", "hue")


@dataclass
class Compared:
    """One setting of one method's runs: our values and the paper's; `of`: the regulariser that has it."""

    method: str
    key: str
    of: str | None
    ours: list[Any] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)
    differs: bool = False


def compare(
    exhibit: str,
    runs: Sequence[Run],
    paper: PaperSettings,
    asked: Sequence[str],
    stands_for: Mapping[str, str] = STAND_INS,
) -> list[Compared]:
    """Every setting of the runs beside the paper's, method by method and encoder by encoder.

    Each run is compared with the values that the paper gives for it in the same exhibit or, without values
    there, in its main table. A setting that the runs sweep may have any of the paper's values. A setting
    differs if a run has a value that the paper gives for no such run. asked: keys that are looked up even if
    the paper gives them for no run. stands_for: the paper's encoder for each of ours.
    """
    found: list[Compared] = []
    for method, backbone in dict.fromkeys((run["method"], run["backbone"]) for run in runs):
        group = [run for run in runs if (run["method"], run["backbone"]) == (method, backbone)]
        model = stands_for.get(backbone, backbone)
        found += _compare_group(exhibit, group, model, paper, asked)
    return found


def _compare_group(
    exhibit: str, group: Sequence[Run], model: str, paper: PaperSettings, asked: Sequence[str]
) -> list[Compared]:
    """The settings of runs of one method on one encoder, which stands for the paper's `model`."""
    method, encoder = group[0]["method"], group[0]["backbone"]
    models = paper.encoders(method)
    theirs = [model] if model in models or not models else models
    found = {("backbone", None): Compared(method, "backbone", None, [encoder], theirs, encoder not in theirs)}
    for key in dict.fromkeys((*paper.keys, *asked)):
        if key == "backbone":
            continue
        swept: dict[str | None, set[str]] = {}
        for run in group:
            swept.setdefault(_owner(key, run), set()).update(map(str, _values(key, run)))
        for run in group:
            if not (ours := _values(key, run)):
                continue
            of, head = _owner(key, run), key.partition(".")[0]
            theirs = paper.of_run(key, {**run, "backbone": model}, exhibit, len(swept[of]) > 1)
            each = found.setdefault((head, of), Compared(method, head, of))
            each.ours += ours
            each.theirs += theirs
            each.differs |= bool(theirs) and not _all_given(ours, theirs)
    return list(found.values())


def both_changed(
    runs: Sequence[Run], paper: PaperSettings, stands_for: Mapping[str, str] = STAND_INS
) -> bool:
    """Whether a run has neither the usual beta nor the usual k; the paper changes one of them at a time."""
    for run in runs:
        alike = {**run, "backbone": stands_for.get(run["backbone"], run["backbone"])}
        usual = {key: paper.of_run(key, alike) for key in OF_REGULARIZER}
        if all(
            present(run.get(key)) and values and not _all_given([run[key]], values)
            for key, values in usual.items()
        ):
            return True
    return False


def _all_given(ours: Sequence[Any], theirs: Sequence[str]) -> bool:
    return all(any(agree(value, own) for value in theirs) for own in ours)


def _owner(key: str, run: Run) -> str | None:
    return run["regularizer"] if key in OF_REGULARIZER else None


def _values(key: str, run: Run) -> list[Any]:
    """The values that a run has for a key; none if the run does not have it."""
    head, *rest = key.split(".")
    if head == "views":
        views = run.get("views", ())
        chosen = views if len(rest) == 1 else views[int(rest[0]) : int(rest[0]) + 1]
        if rest[-1] not in _SCALED_BY_JITTER:
            return [view[rest[-1]] for view in chosen]
        strength = run.get("jitter", 1.0)  # it is a setting of its own, and compared as such
        return [view[rest[-1]] / strength for view in chosen if strength]
    return [run[key]] if present(run.get(key)) else []
