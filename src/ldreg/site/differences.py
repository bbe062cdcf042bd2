"""An exhibit's runs and how they differ from the paper, in words: the second part of captions.

This module imports nothing heavy, because the workflow asks for captions while it is parsed. The differences
are found by `ldreg.exhibits.paper.run_settings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ldreg.catalogue.backbones import STAND_INS
from ldreg.exhibits.output.labels import listed as names_of
from ldreg.exhibits.output.labels import name, present, seeds
from ldreg.exhibits.paper.run_settings import OF_REGULARIZER, Compared, Run, both_changed, compare
from ldreg.exhibits.paper.setting_words import agree, label, listed, shown
from ldreg.exhibits.paper.settings import PaperSettings

# The settings that readers ask for first are given with both values; of the others, only the names are given.
ASKED_FIRST = {
    "dataset": "{ours} instead of {theirs}",
    "image_size": "images {ours} pixels wide instead of {theirs}",
    "backbone": "{ours} instead of {theirs}",
    "epochs": "{ours} epochs instead of {theirs}",
    "batch_size": "batch size {ours} instead of {theirs}",
    "beta": "β {ours} instead of {theirs}",
    "k": "k {ours} instead of {theirs}",
}


def about_runs(scale: str, runs: Sequence[Run]) -> str:
    """The runs in one line: scale, data, encoders, budget and seeds.

    >>> run = {"dataset": "digits", "image_size": 16, "backbone": "small_cnn"}
    >>> about_runs("demo", [{**run, "epochs": 24, "batch_size": 256, "seed": seed} for seed in (0, 1)])
    'At the demo scale: digits, 16 pixels wide, small CNN, 24 epochs, batch size 256, 2 seeds (0, 1)'
    """
    word = {key: listed(run[key] for run in runs) for key in ASKED_FIRST if key in runs[0]}
    fewer = [run["train_images"] for run in runs if present(run.get("train_images"))]
    images = f" ({names_of(fewer)} training images)" if fewer else ""
    found = sorted({run["seed"] for run in runs})
    return (
        f"At the {scale} scale: {word['dataset']}{images}, {word['image_size']} pixels wide, "
        f"{word['backbone']}, {word['epochs']} epochs, batch size {word['batch_size']}, "
        f"{seeds(len(found))} ({names_of(found)})"
    )


def about_points(scale: str, points: str, used: Sequence[int]) -> str:
    """The same for an exhibit that needs no run.

    >>> about_points("demo", "2,000 points in the plane", (0, 1, 2))
    'At the demo scale: 2,000 points in the plane, 3 seeds (0, 1, 2)'
    """
    return f"At the {scale} scale: {points}, {seeds(len(used))} ({names_of(used)})"


def differences(
    exhibit: str, runs: Sequence[Run], paper: PaperSettings, stands_for: Mapping[str, str] = STAND_INS
) -> str:
    """How the runs' settings differ from the paper's, in one sentence or two.

    A second sentence names the settings of `ASKED_FIRST` that the paper does not give. stands_for: the
    paper's encoder for each of ours, from the exhibit's settings.
    """
    found = compare(exhibit, runs, paper, tuple(ASKED_FIRST), stands_for)
    kinds = list(dict.fromkeys(run["regularizer"] for run in runs if run["regularizer"] != "none"))
    parts = [
        text
        for key in ASKED_FIRST
        for text in _words_about(key, [each for each in found if each.key == key], kinds)
    ]
    if not any(each.differs for each in found if each.key in OF_REGULARIZER) and both_changed(
        runs, paper, stands_for
    ):
        parts += ["β and k changed at once instead of one at a time"]
    fewer = [run["train_images"] for run in runs if present(run.get("train_images"))]
    parts += [f"{names_of(fewer)} training images instead of all"] if fewer else []
    rest = dict.fromkeys(each.key for each in found if each.differs and each.key not in ASKED_FIRST)
    parts += [f"other values of {', '.join(map(label, rest))}"] if rest else []
    parts += ["several seeds instead of one number a cell"] if len({run["seed"] for run in runs}) > 1 else []
    unknown = _not_given(found)
    if parts:
        return f"Differs from the paper: {'; '.join(parts)}.{f' {unknown}.' if unknown else ''}"
    if unknown:
        return f"{unknown}; no other setting of these runs differs from those that it gives."
    return "No setting of these runs differs from those that the paper gives."


def measured_otherwise(evaluation: Mapping[str, Any], paper: PaperSettings) -> str:
    """How the linear evaluation differs from the paper's, in one sentence; empty if it does not.

    `evaluation` holds the scale's settings, as `ldreg.exhibits.paper.linear_evaluation` finds them.
    """
    parts = []
    for key, given in paper.of_all("evaluation.").items():
        ours = evaluation.get(key, given.here or None)
        if present(ours) and not any(agree(value, ours) for value in given.values):
            words = f"{shown(ours)} instead of {listed(given.values)}"
            parts.append(f"{label(f'evaluation.{key}')} ({words})")
    return f"Linear evaluation, where it differs from the paper's: {', '.join(parts)}." if parts else ""


def _words_about(key: str, found: Sequence[Compared], kinds: Sequence[str]) -> Iterator[str]:
    """A setting's differences with both values; with the regulariser's name unless they hold for all."""
    values: dict[str | None, tuple[list[Any], list[str]]] = {}
    for each in found:
        if each.differs:
            ours, theirs = values.setdefault(each.of, ([], []))
            ours += each.ours
            theirs += each.theirs
    whose: dict[str, list[str]] = {}
    for of, (ours, theirs) in values.items():
        text = ASKED_FIRST[key].format(ours=listed(ours), theirs=listed(theirs))
        whose.setdefault(text, []).append(of or "")
    having = {each.of for each in found}
    for text, of in whose.items():
        yield text if len(kinds) == 1 or {*of} >= having - {None} else f"{text} ({names_of(of)})"


def _not_given(found: Sequence[Compared]) -> str:
    """A sentence with the settings of the first rank that the paper does not give for some of the runs."""
    whose: dict[str, list[str]] = {}
    for each in found:
        if each.key in ASKED_FIRST and each.ours and not each.theirs:
            words = label(each.key, name(each.of)) if each.of else label(each.key)
            whose.setdefault(name(each.method), []).append(words)
    parts = [f"no {' and no '.join(keys)} for {runs}" for runs, keys in whose.items()]
    return f"The paper gives {', '.join(parts)}" if parts else ""
