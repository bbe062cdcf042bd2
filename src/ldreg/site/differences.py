"""What an exhibit's runs are, and what of it differs from the paper: the captions' second half.

Of the standard library alone, because the workflow asks for it while it is parsed. Runs are mappings: the
contents of their spec.yaml, or what RunSpec dumps.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldreg.catalogue.backbones import STAND_INS
from ldreg.errors import LdregError
from ldreg.exhibits.output.labels import listed, name, plain, present, same, seeds

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
    "acts_on": "what the regulariser acts on",
    "beta": "β",
    "k": "k",
    "lars": "LARS",
}
# Exhibits whose runs stand in the paper's settings under another name.
RUNS_OF = {"table2": "table2_encoders", "table3": "table3_encoders"}
# Where the usual setting of a method stands, if not in Table 1, and of the regularisers that Table 1 has not.
MAIN = dict.fromkeys(("moco", "vicreg", "barlow_twins"), "table15")
VARIANTS = ("table12", "table13", "table16")
# A regulariser's own, compared with the paper's for the same regulariser.
_OF_REGULARIZER = ("beta", "k")
_SCALED_BY_JITTER = ("brightness", "contrast", "saturation", "hue")
_ELSEWHERE = (
    "optimizer",
    "evaluation",
    "execution",
)  # rows `head.key` of these are about no setting of a run


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


def about_points(scale: str, points: str, used: Sequence[int]) -> str:
    """The same of an exhibit that needs no run.

    >>> about_points("demo", "2,000 points in the plane", (0, 1, 2))
    'At the demo scale: 2,000 points in the plane, 3 seeds (0, 1, 2)'
    """
    return f"At the {scale} scale: {points}, {seeds(len(used))} ({listed(used)})"


@dataclass
class _Compared:
    """One setting of one method's runs: our values and the paper's; `of` is the regulariser that has it."""

    method: str
    key: str
    of: str | None
    ours: list[Any] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)
    differs: bool = False


def differences(exhibit: str, runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """What of the runs' settings differs from the paper's, in one sentence or two.

    Each run is compared with what the paper gives for it: in the same exhibit; where it has none, or does not
    give the setting there, in its main table for the method and encoder. A setting that such an exhibit
    sweeps may have any of the values that the paper has anywhere. A setting differs if a run has a value
    that the paper gives for none like it. What is asked first and the paper does not give is said to be so.
    """
    by_key: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["key"].partition(".")[0] not in _ELSEWHERE or "." not in row["key"]:
            by_key[row["key"]].append(row)
    found: list[_Compared] = []
    for method, backbone in dict.fromkeys((run["method"], run["backbone"]) for run in runs):
        group = [run for run in runs if (run["method"], run["backbone"]) == (method, backbone)]
        found += _compare(exhibit, group, by_key)
    kinds = list(dict.fromkeys(run["regularizer"] for run in runs if run["regularizer"] != "none"))
    told = [text for key in TOLD for text in _told(key, [each for each in found if each.key == key], kinds)]
    if not any(each.differs for each in found if each.key in _OF_REGULARIZER) and _at_once(runs, by_key):
        told += ["β and k changed at once instead of one at a time"]
    fewer = [run["train_images"] for run in runs if present(run.get("train_images"))]
    told += [f"{listed(fewer)} training images instead of all"] if fewer else []
    rest = dict.fromkeys(each.key for each in found if each.differs and each.key not in TOLD)
    told += [f"other values of {', '.join(map(_word, rest))}"] if rest else []
    told += ["several seeds instead of one number a cell"] if len({run["seed"] for run in runs}) > 1 else []
    unknown = _not_given(found)
    if told:
        return f"Differs from the paper: {'; '.join(told)}.{f' {unknown}.' if unknown else ''}"
    if unknown:
        return f"{unknown}; no other setting of these runs differs from those that it gives."
    return "No setting of these runs differs from those that the paper gives."


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


def _compare(exhibit: str, group: Sequence[Run], by_key: Mapping[str, Sequence[Row]]) -> list[_Compared]:
    """The settings of runs of one method on one encoder, each beside the paper's."""
    method, encoder = group[0]["method"], group[0]["backbone"]
    model = STAND_INS.get(encoder, encoder)
    about = [row for rows in by_key.values() for row in rows if _named(row["method"], method)]
    models = dict.fromkeys(word for row in about if row["method"] for word in row["backbone"].split())
    theirs = [model] if model in models or not models else list(models)
    found = {
        ("backbone", None): _Compared(method, "backbone", None, [encoder], theirs, encoder not in theirs)
    }
    for key in dict.fromkeys((*by_key, *TOLD)):
        if key == "backbone":
            continue
        swept = {}
        for run in group:
            of = run["regularizer"] if key in _OF_REGULARIZER else None
            swept.setdefault(of, set()).update(map(str, _values(key, run)))
        for run in group:
            if not (ours := _values(key, run)):
                continue
            of = run["regularizer"] if key in _OF_REGULARIZER else None
            theirs = _given(key, {**run, "backbone": model}, exhibit, by_key.get(key, ()), len(swept[of]) > 1)
            head = key.partition(".")[0]
            each = found.setdefault((head, of), _Compared(method, head, of))
            each.ours += ours
            each.theirs += theirs
            each.differs |= bool(theirs) and any(not any(_equal(v, text) for text in theirs) for v in ours)
    return list(found.values())


def _given(key: str, run: Run, exhibit: str, rows: Sequence[Row], swept: bool) -> list[str]:
    """The values that the paper gives for a run like this one; none if it gives none.

    Rows of certain epochs or batch sizes are about runs of those alone, but where the run has none of the
    exhibit's, as at another scale, each of them may be what it stands for.
    """
    about = [
        row for row in rows if all(_named(row[at], run[at]) for at in ("method", "backbone", "regularizer"))
    ]
    own = RUNS_OF.get(exhibit, exhibit)
    if swept and not any(row["exhibit"] and _named(row["exhibit"], own) for row in about):
        tiers = [about]
    else:
        places = (own, MAIN.get(run["method"], "table1"), *VARIANTS)
        tiers = [[row for row in about if _named(row["exhibit"], place)] for place in places]
    mine = next(filter(None, tiers), [])
    alike = [row for row in mine if all(_named(row[at], run[at]) for at in ("epochs", "batch_size"))]
    if key == "jitter" and not mine:
        return ["1.0"]  # the strengths of Tables 10 and 11, which Figure 2b alone scales
    return [row["value"] for row in alike or mine]


def _at_once(runs: Sequence[Run], by_key: Mapping[str, Sequence[Row]]) -> bool:
    """Whether a run has neither the usual beta nor the usual k: the paper sweeps one and leaves the other."""
    for run in runs:
        alike = {**run, "backbone": STAND_INS.get(run["backbone"], run["backbone"])}
        usual = [_given(key, alike, "", by_key.get(key, ()), swept=False) for key in _OF_REGULARIZER]
        if all(
            present(run.get(key)) and values and not any(_equal(run[key], text) for text in values)
            for key, values in zip(_OF_REGULARIZER, usual, strict=True)
        ):
            return True
    return False


def _told(key: str, found: Sequence[_Compared], kinds: Sequence[str]) -> Iterator[str]:
    """A setting's differences with both values, and of which regulariser if not of all that have it."""
    values: dict[str | None, tuple[list[Any], list[str]]] = {}
    for each in found:
        if each.differs:
            ours, theirs = values.setdefault(each.of, ([], []))
            ours += each.ours
            theirs += each.theirs
    whose: dict[str, list[str]] = {}
    for of, (ours, theirs) in values.items():
        text = TOLD[key].format(ours=_listed(ours), theirs=_listed(theirs))
        whose.setdefault(text, []).append(of or "")
    having = {each.of for each in found}
    for text, of in whose.items():
        yield text if len(kinds) == 1 or {*of} >= having - {None} else f"{text} ({listed(of)})"


def _not_given(found: Sequence[_Compared]) -> str:
    """Which of the settings that are asked first the paper does not give for some of the runs."""
    whose: dict[str, list[str]] = {}
    for each in found:
        if each.key in TOLD and each.ours and not each.theirs:
            runs = name(each.method) + (f" with {name(each.of)}" if each.of else "")
            whose.setdefault(runs, []).append(_word(each.key))
    parts = [f"no {' or '.join(keys)} of {runs}" for runs, keys in whose.items()]
    return f"The paper gives {', '.join(parts)}" if parts else ""


def _values(key: str, run: Run) -> list[Any]:
    """What a run has of a row's key; nothing if the run does not say it."""
    head, *rest = key.split(".")
    if head == "views":
        views = run.get("views", ())
        chosen = views if len(rest) == 1 else views[int(rest[0]) : int(rest[0]) + 1]
        if rest[-1] not in _SCALED_BY_JITTER:
            return [view[rest[-1]] for view in chosen]
        strength = run.get("jitter", 1.0)  # a setting of its own, and told as such
        return [view[rest[-1]] / strength for view in chosen if strength]
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
