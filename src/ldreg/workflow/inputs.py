"""Where everything lies below `results/<scale>`, and the small files there that jobs take as input.

They are written when the workflow is read, each only if it would change: Snakemake compares such inputs by
content, so a changed value reruns what depends on it and nothing else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ldreg.config.run_spec import RunSpec, write_spec
from ldreg.config.scale_file import Exhibit
from ldreg.exhibits import RENDERERS
from ldreg.exhibits.paper import REPORTED_FILE
from ldreg.exhibits.settings import Settings
from ldreg.files import read_yaml, write_yaml
from ldreg.workflow.availability import recheck_file, write_rechecks
from ldreg.workflow.scale import Scale

PRETRAINED = ("encoder.safetensors", "history.csv", "summary.json")
DECLARED = "exhibits.yaml"
MEASURED = ("dimensionality.json", "knn.json", "linear.json")
STEP_COST = "step_cost.json"


def run_folder(results: Path, scale: str, run: str) -> Path:
    """Folder of a run: its spec, its encoder, its measurements."""
    return results / scale / "runs" / run


def exhibit_spec(results: Path, scale: str, exhibit: str) -> Path:
    """The file that says what an exhibit shows; its outputs lie beside it."""
    return results / scale / "exhibits" / f"{exhibit}.spec.yaml"


def declared_exhibits(folder: Path) -> list[str] | None:
    """The exhibits that the scale file declared when it was read last, in its order; None if it never was.

    `folder` is results/<scale>. Specs of others may lie there still: nobody takes away what has been made.
    """
    path = folder / DECLARED
    return list(read_yaml(path)["exhibits"]) if path.is_file() else None


def exhibit_outputs(results: Path, scale: Scale, exhibit: str) -> list[Path]:
    """The files that rendering an exhibit makes."""
    folder = exhibit_spec(results, scale.name, exhibit).parent
    return [folder / f"{exhibit}.{suffix}" for suffix in RENDERERS[scale.exhibits[exhibit].renderer].suffixes]


def exhibit_inputs(results: Path, scale: Scale, exhibit: str) -> list[Path]:
    """The measurements that rendering an exhibit reads; each is some rule's output.

    With the runs of other exhibits it takes what these read of them, such as their transfer to other data.
    """
    settings = _settings(scale, exhibit)
    names = ("summary.json", *MEASURED, *settings.run_files)
    folders = [run_folder(results, scale.name, run) for run in scale.runs_of(exhibit)]
    own = [folder / name for folder in folders for name in names]
    own += [results / scale.name / name for name in settings.scale_files]
    taken = [path for other in scale.taken_from(exhibit) for path in exhibit_inputs(results, scale, other)]
    return list(dict.fromkeys([*own, *taken]))


def _settings(scale: Scale, exhibit: str) -> Settings:
    about = scale.exhibits[exhibit]
    return RENDERERS[about.renderer].settings.model_validate(about.settings)


def exhibit_settings(results: Path, scale: Scale, exhibit: str) -> list[Path]:
    """The small files on which those measurements depend.

    Snakemake does not make a missing input anew for outputs that are there: after a change whose job failed,
    and lost its outputs by that, an exhibit that did not depend on what was changed would count as up to
    date.
    """
    folder = results / scale.name
    measured = exhibit_inputs(results, scale, exhibit)
    found = [run_folder(results, scale.name, run) / "spec.yaml" for run in scale.runs_of(exhibit)]
    found += [folder / "evaluation.yaml"] if found else []
    if any(path.parent.name == "transfer" for path in measured):
        found += [folder / "transfer.yaml"]
        found += [recheck_file(results, scale.name, each) for each in scale.content.transfer.datasets]
    if any(path.name == "detection.json" for path in measured):
        found += [folder / "detection.yaml"]
    return found


def write_inputs(scale: Scale, results: Path) -> None:
    """Write the spec of every run, the evaluation's settings and every exhibit's spec; all or nothing.

    And whether data sets that were left out are to be looked for again.
    """
    exhibits = {name: _exhibit(scale, results, name) for name in scale.exhibits}
    for run, spec in scale.runs.items():
        write_spec(run_folder(results, scale.name, run) / "spec.yaml", spec, run)
    _write_yaml(
        results / scale.name / "evaluation.yaml",
        "How this scale's encoders are measured",
        scale.content.evaluation.model_dump(mode="json"),
    )
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
    runs = scale.runs_of(name)
    defaults = {**_base(scale, runs, exhibit), **scale.content.report.model_dump(mode="json")}
    if timed := _timed(scale, results, name):
        defaults["timed"] = timed
    return {
        "exhibit": name,
        "scale": scale.name,
        **exhibit.model_dump(mode="json", exclude={"runs", "runs_of", "seeds", "settings"}),
        "settings": defaults | exhibit.settings,
        "runs": [str(run_folder(results, scale.name, run)) for run in runs],
        "paper": str(scale.folder / "paper" / REPORTED_FILE),
    }


def _timed(scale: Scale, results: Path, name: str) -> list[str]:
    """Runs that a ledger takes of exhibits that read what their steps cost: it may read that, too.

    Of other runs the file may be there or not, by the order in which exhibits were made.
    """
    if "timed" not in RENDERERS[scale.exhibits[name].renderer].settings.model_fields:
        return []
    others = [other for other in scale.taken_from(name) if STEP_COST in _settings(scale, other).run_files]
    runs = dict.fromkeys(run for other in others for run in scale.runs_of(other))
    return [str(run_folder(results, scale.name, run)) for run in runs]


def _base(scale: Scale, runs: Mapping[str, RunSpec], exhibit: Exhibit) -> dict[str, Any]:
    """What an exhibit's settings say of where its sweeps stay, unless they say so themselves.

    Of a `sweep`, where its axes cross, by method and encoder if they cross at different values. Of others,
    beta and k of the scale.
    """
    if not runs or "base" in exhibit.settings:
        return {}
    axes = exhibit.settings.get("axes")
    groups: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in runs.values():
        groups.setdefault((spec.method, spec.backbone), []).append(spec)
    if axes is None:
        return {"base": scale.regularizer_defaults(*next(iter(groups)))}
    found = {
        f"{method} {backbone}": _crossing(
            specs,
            axes,
            {**scale.base(method, backbone).model_dump(), **scale.regularizer_defaults(method, backbone)},
        )
        for (method, backbone), specs in groups.items()
    }
    same = all(base == next(iter(found.values())) for base in found.values())
    return {"base": next(iter(found.values()))} if same else {"base_of": found}


def _crossing(specs: Sequence[RunSpec], axes: Sequence[str], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The scale's own value of each axis, where runs over the others stay; none unless all runs are on such
    a line: those of a whole grid are shown as a curve for each value of the other axes instead.
    """
    values = {key: {getattr(spec, key) for spec in specs} - {None} for key in axes}
    base = {key: usual[key] for key in axes if len(values[key]) > 1 and usual[key] in values[key]}
    if len(axes) == 1:
        return {}  # the only axis crosses nothing

    def stays(spec: RunSpec, axis: str) -> bool:
        return all(getattr(spec, key) in (value, None) for key, value in base.items() if key != axis)

    return base if all(any(stays(spec, axis) for axis in axes) for spec in specs) else {}


def _write_yaml(path: Path, title: str, value: dict[str, Any]) -> None:
    write_yaml(path, f"{title}; made from the scale file: edit that one.", value)
