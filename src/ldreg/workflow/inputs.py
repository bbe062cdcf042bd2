"""Paths below `results/<scale>`, and the small files there that jobs take as input.

These files are written when Snakemake parses the workflow, each only if its content changes. Snakemake
compares such inputs by content, so that a changed value reruns what depends on it and nothing else.
"""

from pathlib import Path
from typing import Any

from ldreg.catalogue.measurements import MEASUREMENTS
from ldreg.config.run_spec import write_spec
from ldreg.exhibits.paper import REPORTED_FILE
from ldreg.files import read_yaml, write_yaml
from ldreg.workflow.rechecks import recheck_file, write_rechecks
from ldreg.workflow.scale import Scale
from ldreg.workflow.set_aside import set_aside

DECLARED = "exhibits.yaml"


def run_folder(results: Path, scale: str, run: str) -> Path:
    """Folder of a run: its spec, its encoder, its measurements."""
    return results / scale / "runs" / run


def exhibit_spec(results: Path, scale: str, exhibit: str) -> Path:
    """The file that says what an exhibit shows; its outputs lie beside it."""
    return results / scale / "exhibits" / f"{exhibit}.spec.yaml"


def declared_exhibits(folder: Path) -> list[str] | None:
    """The exhibits that the scale file declared when it was read last, in its order; None if it never was.

    `folder` is results/<scale>. Specs of other exhibits may still lie there, because nothing is deleted.
    """
    path = folder / DECLARED
    return list(read_yaml(path)["exhibits"]) if path.is_file() else None


def exhibit_outputs(results: Path, scale: Scale, exhibit: str) -> list[Path]:
    """The files that rendering an exhibit makes."""
    folder = exhibit_spec(results, scale.name, exhibit).parent
    return [folder / f"{exhibit}.{suffix}" for suffix in scale.renderer_of(exhibit).suffixes]


def exhibit_inputs(results: Path, scale: Scale, exhibit: str) -> list[Path]:
    """The measurements that rendering an exhibit reads; each is some rule's output.

    With the runs of another exhibit it also takes the files that the other reads, such as those of transfer.
    """
    names = ("summary.json", *scale.measured, *scale.run_files(exhibit))
    folders = [run_folder(results, scale.name, run) for run in scale.runs_of(exhibit)]
    own = [folder / name for folder in folders for name in names]
    own += [results / scale.name / name for name in scale.scale_files(exhibit)]
    taken = [path for other in scale.taken_from(exhibit) for path in exhibit_inputs(results, scale, other)]
    return list(dict.fromkeys([*own, *taken]))


def files_of_runs(results: Path, scale: Scale, exhibit: str) -> set[tuple[str, str]]:
    """Which files of which runs rendering an exhibit reads: (run, name within the run's folder)."""
    runs = {run_folder(results, scale.name, run): run for run in scale.runs_of(exhibit)}
    return {
        (runs[folder], str(path.relative_to(folder)))
        for path in exhibit_inputs(results, scale, exhibit)
        for folder in runs.keys() & {*path.parents}
    }


def exhibit_settings(results: Path, scale: Scale, exhibit: str) -> list[Path]:
    """The small files on which those measurements depend.

    Snakemake does not make a missing input anew if the output exists. Suppose that a setting changes and the
    job that depends on it fails and loses its outputs. An exhibit that does not depend on the setting itself
    would then count as up to date.
    """
    folder = results / scale.name
    found = [run_folder(results, scale.name, run) / "spec.yaml" for run in scale.runs_of(exhibit)]
    read = {name for _, name in files_of_runs(results, scale, exhibit)}
    for measurement in MEASUREMENTS.values():
        if measurement.settings and any(map(measurement.writes, read)):
            found.append(folder / measurement.settings)
            if measurement.key == "transfer":
                found += [recheck_file(results, scale.name, each) for each in scale.content.transfer.datasets]
    return found


def write_inputs(scale: Scale, results: Path) -> None:
    """Write the specs of all runs and exhibits and the settings of measurements; all of them or none.

    It also writes the files that say whether data sets that were left out are looked for again.
    """
    exhibits = {name: _exhibit(scale, results, name) for name in scale.exhibits}
    for run, spec in scale.runs.items():
        set_aside(results / scale.name, run, spec)
        write_spec(run_folder(results, scale.name, run) / "spec.yaml", spec, run)
    # The paper's linear evaluation takes days, and has a file of its own: no other change repeats it.
    evaluation = scale.content.evaluation.model_dump(mode="json")
    title = "How this scale's encoders are measured"
    measured = {key: value for key, value in evaluation.items() if key != "linear_paper"}
    _write_yaml(results / scale.name / "evaluation.yaml", title, measured)
    if "paper" in evaluation["linear"]:
        trained = {key: evaluation[key] for key in ("test_view", "linear_paper")}
        title = "How linear classifiers are trained on crops, as in the paper"
        _write_yaml(results / scale.name / "linear_paper.yaml", title, trained)
    blocks = {
        "transfer": "How this scale's encoders are tested on other data sets",
        "detection": "How detectors are fine-tuned from this scale's encoders",
    }
    for name, title in blocks.items():
        if block := getattr(scale.content, name):
            _write_yaml(results / scale.name / f"{name}.yaml", title, block.model_dump(mode="json"))
    for name, content in exhibits.items():
        _write_yaml(exhibit_spec(results, scale.name, name), "What this exhibit shows", content)
    write_rechecks(scale, results)
    title = "The exhibits that are declared, in the order of the page"
    _write_yaml(results / scale.name / DECLARED, title, {"exhibits": list(exhibits)})


def _exhibit(scale: Scale, results: Path, name: str) -> dict[str, Any]:
    exhibit = scale.exhibits[name]

    def folder(run: str) -> str:
        return str(run_folder(results, scale.name, run))

    defaults = scale.renderer_of(name).defaults(scale.settings_of(name), scale.in_scale(name), folder)
    return {
        "exhibit": name,
        "scale": scale.name,
        **exhibit.model_dump(mode="json", exclude={"runs", "runs_of", "seeds", "settings"}),
        "settings": defaults | exhibit.settings,
        "runs": [folder(run) for run in scale.runs_of(name)],
        "paper": str(scale.folder / "paper" / REPORTED_FILE),
    }


def _write_yaml(path: Path, title: str, value: dict[str, Any]) -> None:
    write_yaml(path, f"{title}; made from the scale file: edit that one.", value)
