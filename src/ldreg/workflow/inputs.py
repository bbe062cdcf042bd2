"""Paths below `results/<scale>`, and the small files there that jobs take as input.

What a job is asked for stands in a file of `results/<scale>/specs`, whose name holds a hash of what it says.
Such a file is written once, when Snakemake parses the workflow, and never again: a dry run after an edit
adds files and changes none, so jobs in flight keep theirs. A changed value names another file, which reruns
what depends on it and nothing else. When a job starts, it copies its own spec to its folder.
"""

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from ldreg.catalogue.measurements import MEASUREMENTS
from ldreg.config.result_paths import DECLARED, DECLARED_KEYS, SPECS, exhibit_spec, run_folder
from ldreg.config.run_spec import RunSpec, spec_text
from ldreg.exhibits.paper import REPORTED_FILE
from ldreg.files import write_text, write_yaml, yaml_text
from ldreg.workflow.rechecks import recheck_file, write_rechecks
from ldreg.workflow.scale import Scale
from ldreg.workflow.set_aside import set_aside

_LONG_AGO = 1e9  # seconds since 1970
_HASH = 16  # hexadecimal digits in the name of a file


def run_spec_file(results: Path, scale: Scale, run: str) -> Path:
    """The file in `specs` that says what a run is: a pure function of the run's name and spec."""
    return results / scale.name / SPECS / f"{_hash_of_run(run, scale.runs[run])}.yaml"


def settings_file(results: Path, scale: Scale, name: str) -> Path:
    """The file in `specs` with the settings of measurements that are called `name`, e.g. evaluation.yaml."""
    stem = name.removesuffix(".yaml")
    return results / scale.name / SPECS / f"{stem}-{_hash(settings_of_measurements(scale)[name])}.yaml"


def exhibit_spec_file(results: Path, scale: Scale, exhibit: str) -> Path:
    """The file in `specs` that says what an exhibit shows."""
    content = _exhibit(scale, results, exhibit)
    return results / scale.name / SPECS / f"{exhibit}-{_hash(content)}.spec.yaml"


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
    own += [_file_of_scale(results, scale, name) for name in scale.scale_files(exhibit)]
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
    found = [run_spec_file(results, scale, run) for run in scale.runs_of(exhibit)]
    read = {name for _, name in files_of_runs(results, scale, exhibit)}
    for measurement in MEASUREMENTS.values():
        if measurement.settings and any(map(measurement.writes, read)):
            found.append(settings_file(results, scale, measurement.settings))
            if measurement.key == "transfer":
                found += [recheck_file(results, scale.name, each) for each in scale.content.transfer.datasets]
    return found


@cache
def settings_of_measurements(scale: Scale) -> dict[str, dict[str, Any]]:
    """The settings of measurements by the name of their file; of those blocks that the scale has."""
    evaluation = scale.content.evaluation.model_dump(mode="json")
    # The paper's linear evaluation takes days, and has a file of its own: no other change repeats it.
    found = {"evaluation.yaml": {key: value for key, value in evaluation.items() if key != "linear_paper"}}
    if "paper" in evaluation["linear"]:
        found["linear_paper.yaml"] = {key: evaluation[key] for key in ("test_view", "linear_paper")}
    for name in ("transfer", "detection"):
        if block := getattr(scale.content, name):
            found[f"{name}.yaml"] = block.model_dump(mode="json")
    return found


def write_inputs(scale: Scale, results: Path) -> None:
    """Write the specs of all runs and exhibits and the settings of measurements; all of them or none.

    It also writes the files that say whether data sets that were left out are looked for again, and what the
    scale declares for commands that are typed by hand.
    """
    exhibits = {exhibit_spec_file(results, scale, name): name for name in scale.exhibits}
    for run, spec in scale.runs.items():
        set_aside(results / scale.name, run, spec)
        path = run_spec_file(results, scale, run)
        if not path.is_file():  # to compose the text of hundreds of specs takes a second
            _write_once(path, spec_text(spec, run))
        if _is_trained_otherwise(run_folder(results, scale.name, run), spec.hash):
            os.utime(path)
    for name, content in settings_of_measurements(scale).items():
        text = _text(_measured_by(name), content)
        _write_once(settings_file(results, scale, name), text)
    for path, name in exhibits.items():
        _write_once(path, _text("What this exhibit shows", _exhibit(scale, results, name)))
    write_rechecks(scale, results)
    files = (
        {name: path for path, name in exhibits.items()},
        {run: run_spec_file(results, scale, run) for run in scale.runs},
        {name: settings_file(results, scale, name) for name in settings_of_measurements(scale)},
    )
    declared = {
        key: {name: f"{SPECS}/{path.name}" for name, path in each.items()}
        for key, each in zip(DECLARED_KEYS, files, strict=True)
    }
    # For commands that are typed by hand; no job of the workflow depends on these.
    for name, content in settings_of_measurements(scale).items():
        write_yaml(results / scale.name / name, _comment(_measured_by(name)), content)
    write_yaml(results / scale.name / DECLARED, _comment("What the scale declares"), declared)


def _file_of_scale(results: Path, scale: Scale, name: str) -> Path:
    """A file that an exhibit reads beside its runs: settings of measurements, or some job's output."""
    if name in settings_of_measurements(scale):
        return settings_file(results, scale, name)
    return results / scale.name / name


@cache
def _exhibit(scale: Scale, results: Path, name: str) -> dict[str, Any]:
    exhibit = scale.exhibits[name]

    def folder(run: str) -> str:
        return str(run_folder(results, scale.name, run))

    defaults = scale.renderer_of(name).defaults(scale.settings_of(name), scale.in_scale(name), folder)
    runs = scale.runs_of(name)
    content = {
        "exhibit": name,
        "scale": scale.name,
        **exhibit.model_dump(mode="json", exclude={"runs", "runs_of", "seeds", "settings"}),
        "settings": defaults | exhibit.settings,
        "runs": [folder(run) for run in runs],
        "spec_hashes": [spec.hash for spec in runs.values()],
        "paper": str(scale.folder / "paper" / REPORTED_FILE),
    }
    if set(scale.scale_files(name)) & settings_of_measurements(scale).keys():
        files = {key: settings_file(results, scale, key) for key in settings_of_measurements(scale)}
        content["measured_by"] = {key: str(path) for key, path in files.items()}
    return content


@cache
def _hash_of_run(run: str, spec: RunSpec) -> str:
    return _hash({"run": run, **spec.model_dump(mode="json")})


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_HASH]


def _measured_by(name: str) -> str:
    return f"Settings of measurements: {name.removesuffix('.yaml')}"


def _comment(title: str) -> str:
    return f"{title}; made from the scale file: edit that one."


def _text(title: str, value: dict[str, Any]) -> str:
    return yaml_text(_comment(title), value)


def _write_once(path: Path, text: str) -> None:
    """Write a file whose name says its content, unless it is there.

    Its modification time is one of long ago, because it says nothing: what was made elsewhere, or imported,
    by the same settings is older than the file may be, and fits. Snakemake goes by the name.
    """
    if not path.is_file():
        write_text(path, text)
        os.utime(path, (_LONG_AGO, _LONG_AGO))


def _is_trained_otherwise(folder: Path, spec_hash: str) -> bool:
    """Whether a run was trained by another spec. Its spec is then made newer than what was trained.

    Without Snakemake's own records, as in a copy of the results, the time alone tells that it is to be made.
    """
    path = folder / "summary.json"
    return path.is_file() and f'"spec_hash": "{spec_hash}"' not in path.read_text(encoding="utf-8")
