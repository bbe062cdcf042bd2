"""What an exhibit's runs are, and what of it differs from the paper: the captions' second half.

Of the standard library alone, because the workflow asks for it while it is parsed. Runs are mappings: the
contents of their spec.yaml, or what RunSpec dumps.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ldreg.errors import LdregError
from ldreg.exhibits.labels import listed, name, plain, present, same, seeds
from ldreg.exhibits.settings import STAND_INS

Run = Mapping[str, Any]
Row = Mapping[str, str]

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
WORDS = {
    "base_lr": "learning rate",
    "lr_scaling": "learning rate's scaling",
    "final_lr_factor": "final learning rate",
    "views": "augmentations",
    "lars": "LARS",
}
# Which runs a row of settings.csv is about, beside its exhibits and encoders.
_WHERE = ("method", "regularizer", "epochs", "batch_size")


def settings_rows(path: Path) -> list[dict[str, str]]:
    """The rows of the paper's settings (config/paper/settings.csv); LdregError when there is no such file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise LdregError(f"{path}: cannot be read (the paper's settings): {error.strerror}") from error


def about_runs(scale: str, runs: Sequence[Run]) -> str:
    """The runs in one line: scale, data, encoders, budget and seeds.

    >>> run = {"dataset": "digits", "image_size": 16, "backbone": "small_cnn"}
    >>> about_runs("demo", [{**run, "epochs": 24, "batch_size": 256, "seed": seed} for seed in (0, 1)])
    'At the demo scale: digits, 16 pixels wide, small CNN, 24 epochs, batch size 256, 2 seeds (0, 1)'
    """
    word = {key: _listed(run[key] for run in runs) for key in TOLD if key in runs[0]}
    fewer = [run["train_images"] for run in runs if present(run.get("train_images"))]
    images = f" ({listed(fewer)} training images)" if fewer else ""
    found = sorted({run["seed"] for run in runs})
    return (
        f"At the {scale} scale: {word['dataset']}{images}, {word['image_size']} pixels wide, "
        f"{word['backbone']}, {word['epochs']} epochs, batch size {word['batch_size']}, "
        f"{seeds(len(found))} ({listed(found)})"
    )


def differences(exhibit: str, runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """What of the runs' settings differs from the paper's, in one sentence.

    A setting differs if runs of one method on one encoder have a value that the paper gives to none of
    theirs. What the paper does not give is not told.
    """
    found: dict[str, tuple[list[Any], list[str]]] = {}
    for method, backbone in dict.fromkeys((run["method"], run["backbone"]) for run in runs):
        group = [run for run in runs if (run["method"], run["backbone"]) == (method, backbone)]
        for key, (ours, theirs) in _group_differences(exhibit, group, rows).items():
            both = found.setdefault(key, ([], []))
            both[0].extend(ours)
            both[1].extend(theirs)
    told = [
        text.format(ours=_listed(found[key][0]), theirs=_listed(found[key][1]))
        for key, text in TOLD.items()
        if key in found
    ]
    fewer = [run["train_images"] for run in runs if present(run.get("train_images"))]
    told += [f"{listed(fewer)} training images instead of all"] if fewer else []
    rest = [_word(key) for key in found if key not in TOLD]
    told += [f"other values of {', '.join(rest)}"] if rest else []
    told += ["several seeds instead of one number a cell"] if len({run["seed"] for run in runs}) > 1 else []
    if not told:
        return "No setting of these runs differs from those that the paper gives."
    return f"Differs from the paper: {'; '.join(told)}."


def measured_otherwise(evaluation: Mapping[str, Any], rows: Iterable[Row]) -> str:
    """What of the linear evaluation differs from the paper's, in one sentence; empty if nothing does.

    `evaluation` is the content of results/<scale>/evaluation.yaml.
    """
    told = []
    for row in rows:
        key = row["key"].removeprefix("evaluation.")
        if key == row["key"]:
            continue
        ours = row["here"] or evaluation.get(key)
        if present(ours) and not same(ours, row["value"]):
            word = _word(key.removeprefix("linear_"))
            told.append(f"{word} {name(ours)} instead of {_listed([row['value']])}")
    return f"Linear evaluation, where it differs from the paper's: {'; '.join(told)}." if told else ""


def _group_differences(
    exhibit: str, group: Sequence[Run], rows: Sequence[Row]
) -> dict[str, tuple[list[Any], list[str]]]:
    """By key, our values and the paper's, of runs of one method on one encoder."""
    encoder = group[0]["backbone"]
    stands_for = STAND_INS.get(encoder, encoder)
    differing = {} if stands_for == encoder else {"backbone": ([encoder], [stands_for])}
    mine = [row for row in rows if _named(row["exhibit"], exhibit) and _named(row["backbone"], stands_for)]
    for key in dict.fromkeys(row["key"] for row in mine):
        ours: list[Any] = []
        theirs: list[str] = []
        for row in (row for row in mine if row["key"] == key):
            values = [
                value
                for run in group
                if all(_named(row[column], run[column]) for column in _WHERE)
                for value in _values(key, run)
            ]
            ours += values
            theirs += [row["value"]] if values else []
        if any(not any(_equal(value, text) for text in theirs) for value in ours):
            head = key.partition(".")[0]
            both = differing.setdefault(head, ([], []))
            both[0].extend(ours)
            both[1].extend(theirs)
    return differing


def _values(key: str, run: Run) -> list[Any]:
    """What a run has of a row's key; nothing if the run does not say it."""
    head, *rest = key.split(".")
    if head == "views":
        views = run.get("views", ())
        chosen = views if len(rest) == 1 else views[int(rest[0]) : int(rest[0]) + 1]
        return [view[rest[-1]] for view in chosen]
    # What is inside the optimiser, and the execution, is in no spec.
    return [run[key]] if not rest and present(run.get(key)) else []


def _named(cell: str, value: Any) -> bool:
    return not cell or any(same(word, value) for word in cell.split())


def _equal(ours: Any, theirs: str) -> bool:
    if isinstance(ours, (list, tuple)):
        parts = theirs.split("-")
        return len(parts) == len(ours) and all(map(same, ours, parts))
    return same(ours, theirs)


def _listed(values: Iterable[Any]) -> str:
    """Different values by name, numbers by size."""
    found = [_number(value) for value in values]
    return listed(sorted(found) if all(isinstance(value, float) for value in found) else map(_word, found))


def _word(key: Any) -> str:
    return WORDS.get(key) or plain(key)


def _number(value: Any) -> Any:
    """A number that a table holds as text; anything else as it is."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value
