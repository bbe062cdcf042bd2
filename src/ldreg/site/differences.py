"""What an exhibit's runs are, and what of it differs from the paper, in words: the captions' second half.

Light, because the workflow asks for it while it is parsed. What differs is found by
`ldreg.exhibits.paper.run_settings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ldreg.catalogue.backbones import STAND_INS
from ldreg.exhibits.output.labels import listed as names_of
from ldreg.exhibits.output.labels import name, present, seeds
from ldreg.exhibits.paper.run_settings import OF_REGULARIZER, Compared, Run, both_changed, compare
from ldreg.exhibits.paper.setting_words import agree, label, listed, shown
from ldreg.exhibits.paper.settings import PaperSettings

# What readers ask first, told with both values; of all other settings that differ, the name alone.
TOLD = {
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
    word = {key: listed(run[key] for run in runs) for key in TOLD if key in runs[0]}
    fewer = [run["train_images"] for run in runs if present(run.get("train_images"))]
    images = f" ({names_of(fewer)} training images)" if fewer else ""
    found = sorted({run["seed"] for run in runs})
    return (
        f"At the {scale} scale: {word['dataset']}{images}, {word['image_size']} pixels wide, "
        f"{word['backbone']}, {word['epochs']} epochs, batch size {word['batch_size']}, "
        f"{seeds(len(found))} ({names_of(found)})"
    )


def about_points(scale: str, points: str, used: Sequence[int]) -> str:
    """The same of an exhibit that needs no run.

    >>> about_points("demo", "2,000 points in the plane", (0, 1, 2))
    'At the demo scale: 2,000 points in the plane, 3 seeds (0, 1, 2)'
    """
    return f"At the {scale} scale: {points}, {seeds(len(used))} ({names_of(used)})"


def differences(
    exhibit: str, runs: Sequence[Run], paper: PaperSettings, stands_for: Mapping[str, str] = STAND_INS
) -> str:
    """What of the runs' settings differs from the paper's, in one sentence or two.

    What is asked first and the paper does not give is said to be so. stands_for: our encoder to the paper's,
    as the exhibit's settings have it.
    """
    found = compare(exhibit, runs, paper, tuple(TOLD), stands_for)
    kinds = list(dict.fromkeys(run["regularizer"] for run in runs if run["regularizer"] != "none"))
    told = [text for key in TOLD for text in _told(key, [each for each in found if each.key == key], kinds)]
    if not any(each.differs for each in found if each.key in OF_REGULARIZER) and both_changed(
        runs, paper, stands_for
    ):
        told += ["β and k changed at once instead of one at a time"]
    fewer = [run["train_images"] for run in runs if present(run.get("train_images"))]
    told += [f"{names_of(fewer)} training images instead of all"] if fewer else []
    rest = dict.fromkeys(each.key for each in found if each.differs and each.key not in TOLD)
    told += [f"other values of {', '.join(map(label, rest))}"] if rest else []
    told += ["several seeds instead of one number a cell"] if len({run["seed"] for run in runs}) > 1 else []
    unknown = _not_given(found)
    if told:
        return f"Differs from the paper: {'; '.join(told)}.{f' {unknown}.' if unknown else ''}"
    if unknown:
        return f"{unknown}; no other setting of these runs differs from those that it gives."
    return "No setting of these runs differs from those that the paper gives."


def measured_otherwise(evaluation: Mapping[str, Any], paper: PaperSettings) -> str:
    """What of the linear evaluation differs from the paper's, in one sentence; empty if nothing does.

    `evaluation` is the content of results/<scale>/evaluation.yaml.
    """
    told = []
    for key, given in paper.of_all("evaluation.").items():
        ours = evaluation.get(key, given.here or None)
        if present(ours) and not any(agree(value, ours) for value in given.values):
            words = f"{shown(ours)} instead of {listed(given.values)}"
            told.append(f"{label(f'evaluation.{key}')} ({words})")
    return f"Linear evaluation, where it differs from the paper's: {', '.join(told)}." if told else ""


def _told(key: str, found: Sequence[Compared], kinds: Sequence[str]) -> Iterator[str]:
    """A setting's differences with both values, and of which regulariser if not of all that have it."""
    values: dict[str | None, tuple[list[Any], list[str]]] = {}
    for each in found:
        if each.differs:
            ours, theirs = values.setdefault(each.of, ([], []))
            ours += each.ours
            theirs += each.theirs
    whose: dict[str, list[str]] = {}
    for of, (ours, theirs) in values.items():
        text = TOLD[key].format(ours=listed(ours), theirs=listed(theirs))
        whose.setdefault(text, []).append(of or "")
    having = {each.of for each in found}
    for text, of in whose.items():
        yield text if len(kinds) == 1 or {*of} >= having - {None} else f"{text} ({names_of(of)})"


def _not_given(found: Sequence[Compared]) -> str:
    """Which of the settings that are asked first the paper does not give for some of the runs."""
    whose: dict[str, list[str]] = {}
    for each in found:
        if each.key in TOLD and each.ours and not each.theirs:
            words = label(each.key, name(each.of)) if each.of else label(each.key)
            whose.setdefault(name(each.method), []).append(words)
    parts = [f"no {' and no '.join(keys)} for {runs}" for runs, keys in whose.items()]
    return f"The paper gives {', '.join(parts)}" if parts else ""
