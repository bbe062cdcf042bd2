"""pyproject.toml, requirements.lock and environment.yml agree; imports stay small."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
TOOL = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
LOCK = (REPOSITORY / "requirements.lock").read_text().split("\n")[:-1]
CONDA = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [
    Requirement(text) for text in [*PROJECT["dependencies"], *(t for extra in EXTRAS.values() for t in extra)]
]
# For which the lock is made: an environment marker there must let one version through on each.
PLATFORMS = [
    {
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
        "os_name": "posix",
    }
    | {"platform_machine": machine, "platform_system": "Linux", "platform_python_implementation": "CPython"}
    for python in ("3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
]


def _pins(platform: dict[str, str]) -> dict[str, Version]:
    """The versions that the lock gives on a platform, by canonical name."""
    pins: dict[str, Version] = {}
    for line in LOCK:
        pinned = Requirement(line)
        if pinned.marker and not pinned.marker.evaluate(platform):
            continue
        (specifier,) = pinned.specifier
        assert specifier.operator == "==", line
        assert pins.setdefault(canonicalize_name(pinned.name), Version(specifier.version)) == Version(
            specifier.version
        ), line
    return pins


@pytest.mark.parametrize(
    "platform", PLATFORMS, ids=lambda p: f"{p['python_version']}-{p['platform_machine']}"
)
def test_every_direct_requirement_is_locked_at_a_version_that_satisfies_it(platform: dict[str, str]) -> None:
    pins = _pins(platform)
    for requirement in DIRECT:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
    for text in TOOL["uv"]["constraint-dependencies"]:
        constraint = Requirement(text)
        assert constraint.specifier.contains(pins[canonicalize_name(constraint.name)]), constraint


def test_conda_gets_exactly_the_lock() -> None:
    (pip,) = [entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict)]
    assert pip == LOCK


def test_python_bounds_agree() -> None:
    wanted = SpecifierSet(PROJECT["requires-python"])
    (python,) = [text for text in CONDA["dependencies"] if str(text).startswith("python")]
    conda = SpecifierSet(python.removeprefix("python"))
    oldest = min(Version(each.version) for each in wanted)
    assert str(oldest) in conda and str(oldest) in wanted
    assert str(oldest) == "3.11" and "3.10" not in conda and "3.10" not in wanted
    assert f"older than Python {oldest}" in (REPOSITORY / "Makefile").read_text()


def test_the_library_alone_needs_torch_alone() -> None:
    assert [Requirement(text).name for text in PROJECT["dependencies"]] == ["torch"]


def test_workflow_and_training_are_separable() -> None:
    names = {extra: {Requirement(text).name for text in EXTRAS[extra]} for extra in EXTRAS}
    assert "mlflow" in names["train"] and "snakemake" in names["workflow"]
    assert not names["train"] & names["workflow"]


HEAVY = (
    "pandas",
    "mlflow",
    "snakemake",
    "lightly",
    "torchvision",
    "pydantic",
    "scipy",
    "sklearn",
    "matplotlib",
    "yaml",
)


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("ldreg", ("torch", *HEAVY)),
        ("ldreg.lid, ldreg.spectrum, ldreg.regularizers", HEAVY),
        # What the Snakefile imports, at every call and in every job on a cluster.
        (
            "ldreg.workflow.inputs",
            ("torch", "numpy", "pandas", "scipy", "matplotlib", "mlflow", "lightly", "torchvision"),
        ),
        ("ldreg.cli", ("torch", "pydantic", "yaml", *HEAVY[:-1])),
    ],
)
def test_imports_are_small(modules: str, absent: Iterable[str]) -> None:
    code = f"import sys, {modules}; print(*sorted({set(absent)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
