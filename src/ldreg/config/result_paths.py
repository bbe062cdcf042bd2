"""Where things lie below the folder of results: what a scale's workflow, jobs and page agree on."""

from dataclasses import dataclass
from pathlib import Path

from ldreg.files import read_keys

DECLARED = "exhibits.yaml"  # in results/<scale>: what its scale file declared when it was read last
DECLARED_KEYS = ("exhibits", "runs", "settings")  # of that file
SPECS = "specs"  # in results/<scale>: what jobs are asked for, written once (`ldreg.workflow.inputs`)


def run_folder(results: Path, scale: str, run: str) -> Path:
    """Folder of a run: its spec, its encoder, its measurements."""
    return results / scale / "runs" / run


def exhibit_spec(results: Path, scale: str, exhibit: str) -> Path:
    """The copy of what an exhibit was asked to show when it was made last; its outputs lie beside it."""
    return results / scale / "exhibits" / f"{exhibit}.spec.yaml"


def scale_of_spec(spec_path: Path) -> Path | None:
    """results/<scale> if `spec_path` lies in its folder of specs; None for a copy beside a job's outputs.

    >>> scale_of_spec(Path("results/demo/specs/0123456789abcdef.yaml"))
    PosixPath('results/demo')
    >>> scale_of_spec(Path("results/demo/runs/simclr-small_cnn/none/seed0/spec.yaml"))
    """
    return spec_path.parent.parent if spec_path.parent.name == SPECS else None


def copy_of_exhibit(spec_path: Path) -> Path:
    """Where the job of an exhibit copies its spec, beside the outputs; a copy stands for itself.

    >>> copy_of_exhibit(Path("results/demo/specs/figure5-0123456789abcdef.spec.yaml"))
    PosixPath('results/demo/exhibits/figure5.spec.yaml')
    """
    if (scale := scale_of_spec(spec_path)) is None:
        return spec_path
    name = spec_path.name.removesuffix(".spec.yaml").rpartition("-")[0]
    return scale / "exhibits" / f"{name}.spec.yaml"


@dataclass(frozen=True)
class Declared:
    """What a scale declared when its file was read last: names, each with its file in `specs`."""

    exhibits: dict[str, Path]
    runs: dict[str, Path]
    settings: dict[str, Path]


def read_declared(folder: Path) -> Declared | None:
    """What a scale declared when its file was read last; None if it never was. `folder` is results/<scale>.

    An older version of ldreg wrote a list of the exhibits alone, whose specs lie beside their outputs.

    Raises:
        LdregError: if the file is broken.
    """
    path = folder / DECLARED
    if not path.is_file():
        return None
    content = read_keys(path, "exhibits")
    if not isinstance(content["exhibits"], dict):
        return Declared({name: folder / f"exhibits/{name}.spec.yaml" for name in content["exhibits"]}, {}, {})
    found = ({name: folder / file for name, file in content.get(key, {}).items()} for key in DECLARED_KEYS)
    return Declared(*found)


def asked(path: Path) -> Path:
    """The file that says what a job is asked for: `path` or, until its job has made that copy, its source.

    So a command that names `runs/<run>/spec.yaml` or `exhibits/<exhibit>.spec.yaml` works before the job has
    ever run.
    """
    if path.is_file():
        return path
    for scale in path.parents:
        if (scale / DECLARED).is_file() and (declared := read_declared(scale)):
            inside = path.relative_to(scale)
            if inside.parts[0] == "runs":
                return declared.runs.get("/".join(inside.parts[1:-1]), path)
            return declared.exhibits.get(path.name.removesuffix(".spec.yaml"), path)
    return path
