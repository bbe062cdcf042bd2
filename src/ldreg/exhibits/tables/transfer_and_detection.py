"""Tables 2 and 3: encoders trained with and without LDReg, on other data sets and in detection."""

from pathlib import Path
from typing import Any

from ldreg.exhibits.output.labels import listed, name
from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.reported import DetectionReported, TransferReported
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.exhibits.runs.run_table import (
    ExhibitSpec,
    add_columns,
    finite_number,
    load_runs,
    read_measured,
    settings_of,
)
from ldreg.exhibits.tables.declared import DetectionTableSettings, TransferTableSettings
from ldreg.exhibits.tables.outcome_table import Column, outcome_table

ACCURACIES = {"top1": "linear_top1", "mean_per_class": "mean_per_class"}  # names in transfer/ and in the CSV
KINDS, PRECISIONS = ("box", "mask"), {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
# How an encoder is transferred, in words for each `protocol` that a file of transfer/ names.
PROTOCOLS = {
    "cached": " (a linear classifier on stored representations of the frozen encoder, without crops)"
}


def transfer_table(exhibit: ExhibitSpec) -> dict[str, str]:
    """Table 2 as CSV (one line per number), Markdown and LaTeX: accuracies on other data sets."""
    settings = settings_of(exhibit, TransferTableSettings)
    frame = load_runs(exhibit, (), settings)
    every = {
        dataset: [read_measured(_transfer_file(Path(folder), dataset)) for folder in frame["folder"]]
        for dataset in settings.datasets
    }
    missing = {
        dataset: found[0]["unavailable"] for dataset, found in every.items() if "unavailable" in found[0]
    }
    files = {dataset: found for dataset, found in every.items() if dataset not in missing}
    frame = add_columns(frame, lambda folder: {dataset: _accuracy(folder, dataset) for dataset in files})
    paper = TransferReported(exhibit.paper, settings)
    columns = [_transfer_column(dataset, found[0]["metric"]) for dataset, found in files.items()]
    columns += [_transfer_column(dataset, "top1", run=False) for dataset in missing]
    if settings.not_run:
        theirs = dict.fromkeys(dataset for row in paper.first() for dataset in row.values)
        columns += [_transfer_column(each, "top1", run=False) for each in theirs if each not in every]
    theirs = _papers_transfer(PaperSettings(exhibit.paper.with_name(SETTINGS_FILE)))
    notes = _transfer_notes(files, columns, set(frame["dataset"]), theirs) if files else []
    notes += [f"{name(dataset)} could not be had: {reason}." for dataset, reason in missing.items()]
    return outcome_table(exhibit, settings, frame, columns, paper, "Accuracy on other data sets (%)", notes)


def detection_table(exhibit: ExhibitSpec) -> dict[str, str]:
    """Table 3 as CSV (one line per number), Markdown and LaTeX: average precision of boxes and masks."""
    settings = settings_of(exhibit, DetectionTableSettings)
    frame = add_columns(load_runs(exhibit, (), settings), _average_precisions)
    files = [read_measured(_detection_file(Path(folder))) for folder in frame["folder"]]
    where = listed(found.get("dataset", "") for found in files)
    columns = [
        Column(f"{kind}_{key}", f"{kind} {label}", where, f"{kind}_{key}", decimals=2)
        for kind in KINDS
        for key, label in PRECISIONS.items()
    ]
    paper = DetectionReported(exhibit.paper, settings)
    theirs = _papers_detection(PaperSettings(exhibit.paper.with_name(SETTINGS_FILE)))
    notes = _detection_notes(files, theirs)
    return outcome_table(exhibit, settings, frame, columns, paper, "Average precision (%)", notes)


def _transfer_file(folder: Path, dataset: str) -> Path:
    return folder / "transfer" / f"{dataset}.json"


def _accuracy(folder: Path, dataset: str) -> float:
    """The accuracy of a run's encoder on another data set, by the metric that its file names."""
    path = _transfer_file(folder, dataset)
    found = read_measured(path)
    return finite_number(path, found, found["metric"])


def _detection_file(folder: Path) -> Path:
    return folder / "detection.json"


def _average_precisions(folder: Path) -> dict[str, float]:
    """A run's average precisions in per cent: box_ap, box_ap50 and so on."""
    path = _detection_file(folder)
    found = read_measured(path)
    return {
        f"{kind}_{key}": finite_number(path, found.get(kind, {}), key) for kind in KINDS for key in PRECISIONS
    }


def _transfer_column(dataset: str, metric: str, run: bool = True) -> Column:
    words = " (mean per class)" if metric == "mean_per_class" else ""
    return Column(dataset, name(dataset) + words, dataset, ACCURACIES[metric], run)


def _transfer_notes(
    files: dict[str, list[dict[str, Any]]], columns: list[Column], own: set[str], theirs: str
) -> list[str]:
    """How the accuracies were measured, with which setting, on how many images; what was not run."""
    every = [found for of_set in files.values() for found in of_set]
    shared = [found["settings"] for found in every]
    kinds = dict.fromkeys(found["protocol"] for found in every)
    protocol = "; ".join(f"{kind}{PROTOCOLS.get(kind, '')}" for kind in kinds)
    each = {key: listed(content[key] for content in shared) for key in ("epochs", "batch_size", "optimizer")}
    images = "; ".join(f"{name(dataset)} {_images(found)}" for dataset, found in files.items())
    each["image_size"] = listed(found["image_size"] for found in every)
    per_class = any(column.metric == "mean_per_class" for column in columns)
    notes = [
        f"Accuracies are top-1{', or means over classes where a column says so' if per_class else ''}, after "
        "the last epoch.",
        f"Transfer: protocol {protocol}; {each['epochs']} epochs of {each['optimizer']}, batch size "
        f"{each['batch_size']}, images {each['image_size']} pixels wide. {theirs}",
        _setting_note(files),
        f"Numbers of images (training / test): {images}.",
    ]
    if trained := [dataset for dataset in files if dataset in own]:
        notes.append(f"Encoders were trained on {listed(trained)} itself, so its column shows no transfer.")
    absent = listed(column.dataset for column in columns if not column.run)
    return [*notes, *([f"Not run at this scale: {absent}."] if absent else [])]


def _papers_transfer(paper: PaperSettings) -> str:
    """How the paper transfers encoders, in words; the numbers are those of its settings."""
    given = {key: setting.values[0] for key, setting in paper.of_all("transfer.").items()}
    part = given["test_view"].partition(" resized")[0]  # e.g. "central 90 % of width and height"
    return (
        f"The paper trains for {given['epochs']} epochs at batch size {given['batch_size']}, with random "
        f"crops and flips (on CIFAR with resizing and flips alone). It tests on the {part}. Its images are "
        f"resized bicubically to {given['image_size']} pixels, and it reports the epoch that is best on the "
        "test split."
    )


def _papers_detection(paper: PaperSettings) -> str:
    """How the paper trains its detectors, in words."""
    given = paper.of_all("detection.")
    (rate,), (iterations,) = given["learning_rate"].values, given["iterations"].values
    batch_size, *released = given["batch_size"].values
    also = f" ({', '.join(released)} in its released SimCLR configurations)" if released else ""
    return (
        f"The paper trains Mask R-CNN with ResNet-50-C4 on COCO train2017 for {int(iterations):,} "
        f"iterations, at batch size {batch_size}{also} and learning rate {rate}, and tests on val2017."
    )


def _images(found: list[dict[str, Any]]) -> str:
    return " / ".join(listed(f"{each['rows'][split]:,}" for each in found) for split in ("train", "test"))


def _setting_note(files: dict[str, list[dict[str, Any]]]) -> str:
    """Which learning rate and weight decay the accuracies were reached with."""
    every = [found for of_set in files.values() for found in of_set]
    if {found["reported"] for found in every} == {"paper"}:
        used: dict[str, list[str]] = {}
        for dataset, found in files.items():
            used.setdefault(_words(found[0]["paper"]), []).append(dataset)
        values = "; ".join(
            f"{words}{f' ({listed(sets)})' if len(used) > 1 else ''}" for words, sets in used.items()
        )
        return (
            f"Setting: that of the paper, {values}. The files of transfer/ also have the setting that is "
            "chosen on a hold-out."
        )
    share = listed(100 * found["settings"]["holdout"] for found in every)
    tried = listed(len(found["holdout"]) for found in every)
    edge = sum(found["chosen"]["at_grid_edge"] for found in every)
    warning = f" In {edge} of {len(every)} cases the best pair is at the edge of those tried." if edge else ""
    return (
        f"Setting: the best of {tried} pairs of learning rate and weight decay on a hold-out of {share} % of "
        "the training split. The files of transfer/ also have the results with the paper's fixed setting."
        f"{warning}"
    )


def _words(setting: dict[str, float]) -> str:
    return f"learning rate {name(setting['lr'])}, weight decay {name(setting['weight_decay'])}"


def _detection_notes(files: list[dict[str, Any]], theirs: str) -> list[str]:
    """On which images the detectors were trained and tested, and how long."""
    shared = [found["settings"] for found in files]
    each = {
        key: listed(content[key] for content in shared)
        for key in ("iterations", "batch_size", "learning_rate")
    }
    counts = {
        key: listed(f"{found[key]:,}" for found in files)
        for key in ("train_images", "val_images", "categories")
    }
    where = (
        [listed(found["dataset"] for found in files)] if all("dataset" in found for found in files) else []
    )
    images = f"{counts['train_images']} training and {counts['val_images']} validation images"
    data = ", ".join([*where, images, f"{counts['categories']} categories"])
    cast = listed(found.get("precision", "float32") for found in files)
    precision = "" if cast == "float32" else f"; convolutions in {cast}"
    skipped = max(found.get("corrupt_images", 0) for found in files)
    broken = [f"Up to {skipped} images of each run were corrupt and were skipped."] if skipped else []
    return [
        "AP is COCO's average precision, the mean over overlaps from 0.5 to 0.95; AP50 and AP75 are those at "
        "overlaps 0.5 and 0.75.",
        "Mask R-CNN starts from the encoder, all of whose layers are fine-tuned. Here: "
        f"{data}; {each['iterations']} iterations, batch size {each['batch_size']}, learning rate "
        f"{each['learning_rate']}{precision}; tested once, after the last iteration. {theirs}",
        *broken,
    ]
