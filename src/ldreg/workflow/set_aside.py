"""Runs that code of another recipe made: they are made again, and what they were is kept."""

import os
import shutil
from pathlib import Path

from ldreg.config.run_spec import RunSpec, recipe_of

SET_ASIDE = "set_aside"


def set_aside(folder: Path, run: str, spec: RunSpec) -> Path | None:
    """Keep what another recipe made of a run below `results/<scale>/set_aside/recipe<n>/`.

    To be called before Snakemake starts the run again, since it then deletes the old outputs.
    The files are linked and not moved, so that a dry run, which reads the workflow too, takes nothing away;
    where links cannot be made they are copied.

    Args:
        folder: results/<scale>.
        run: the run's name.
        spec: of the run as this code would make it.

    Returns:
        Where it is kept; None where there is nothing to keep: no run, one of this recipe, or kept already.
    """
    old = folder / "runs" / run
    path = old / "spec.yaml"
    # Compared as text first: to read the YAML of hundreds of runs at every call would take seconds.
    if not path.is_file() or f"\nspec_hash: {spec.hash}\n" in path.read_text(encoding="utf-8"):
        return None
    recipe = recipe_of(path)
    kept = folder / SET_ASIDE / f"recipe{recipe}" / run
    if recipe == spec.recipe or kept.exists() or not (old / "summary.json").is_file():
        return None
    partial = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        shutil.copytree(old, partial, copy_function=_link)
        partial.rename(kept)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return kept


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
