"""Tables 2 and 3: what encoders are worth on other data sets and in detection, with and without LDReg."""

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

ACCURACIES = {"top1": "linear_top1", "mean_per_class": "mean_per_class"}  # transfer's names and the CSV's
KINDS, PRECISIONS = ("box", "mask"), {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
# What a transfer is, by the `protocol` of its file.
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
        f"Accuracy: top-1{', the mean over classes where a column says so' if per_class else ''}, after the "
        "last epoch.",
        f"Transfer: protocol {protocol}; {each['epochs']} epochs of {each['optimizer']}, batch size "
        f"{each['batch_size']}, images {each['image_size']} pixels wide. {theirs}",
        _setting_note(files),
        f"Images (training / test): {images}.",
    ]
    if trained := [dataset for dataset in files if dataset in own]:
        notes.append(f"Encoders were trained on {listed(trained)} itself: that is no transfer.")
    absent = listed(column.dataset for column in columns if not column.run)
    return [*notes, *([f"Not run at this scale: {absent}."] if absent else [])]


def _papers_transfer(paper: PaperSettings) -> str:
    """What the paper's transfers are, in a sentence; the numbers are those of its settings."""
    given = {key: setting.values[0] for key, setting in paper.of_all("transfer.").items()}
    return (
        f"The paper: {given['epochs']} epochs, batch size {given['batch_size']}, random crops and flips in "
        "training (CIFAR: resized and flipped alone), the central 87.5 % of width and height in testing, "
        f"bicubic, images {given['image_size']} pixels wide, the best epoch on the test split."
    )


def _papers_detection(paper: PaperSettings) -> str:
    """Likewise of its detectors."""
    given = paper.of_all("detection.")
    (rate,), (iterations,) = given["learning_rate"].values, given["iterations"].values
    batch_size, *released = given["batch_size"].values
    also = f" ({', '.join(released)} in its released SimCLR configurations)" if released else ""
    return (
        f"The paper: Mask R-CNN, ResNet-50-C4, COCO train2017 and val2017, {int(iterations):,} iterations, "
        f"batch size {batch_size}{also}, learning rate {rate}."
    )


def _images(found: list[dict[str, Any]]) -> str:
    return " / ".join(listed(f"{each['rows'][split]:,}" for each in found) for split in ("train", "test"))


def _setting_note(files: dict[str, list[dict[str, Any]]]) -> str:
    """Whose learning rate and weight decay are behind the accuracies."""
    every = [found for of_set in files.values() for found in of_set]
    if {found["reported"] for found in every} == {"paper"}:
        used: dict[str, list[str]] = {}
        for dataset, found in files.items():
            used.setdefault(_words(found[0]["paper"]), []).append(dataset)
        values = "; ".join(
            f"{words}{f' ({listed(sets)})' if len(used) > 1 else ''}" for words, sets in used.items()
        )
        return f"Setting: the paper's, {values}. That chosen on a hold-out is in the files of transfer/ too."
    share = listed(100 * found["settings"]["holdout"] for found in every)
    tried = listed(len(found["holdout"]) for found in every)
    edge = sum(found["chosen"]["at_grid_edge"] for found in every)
    warning = f" In {edge} of {len(every)} cases it is at the edge of what was tried." if edge else ""
    return (
        f"Setting: the best of {tried} pairs of learning rate and weight decay on a hold-out of {share} % of "
        f"the training split; the paper's is fixed, and in the files of transfer/ too.{warning}"
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
    broken = [f"Up to {skipped} images a run were corrupt and skipped."] if skipped else []
    return [
        "AP: COCO's average precision, the mean over overlaps of 0.5 to 0.95; AP50 and AP75: at one overlap.",
        f"Detection: Mask R-CNN that starts from the encoder, nothing frozen; {data}; {each['iterations']} "
        f"iterations, batch size {each['batch_size']}, learning rate {each['learning_rate']}{precision}; "
        f"tested once, after the last. {theirs}",
        *broken,
    ]
