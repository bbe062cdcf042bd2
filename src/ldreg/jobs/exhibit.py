"""Render a table, a figure or a ledger of claims."""

from pathlib import Path

from ldreg.config.result_paths import asked, copy_of_exhibit
from ldreg.exhibits import render
from ldreg.files import copy_text, read_keys
from ldreg.tracking import JobRecord


def exhibit_job(spec_path: Path) -> list[Path]:
    """Render the exhibit that a `.spec.yaml` describes; returns its files, which appear beside its copy.

    Args:
        spec_path: a file of results/<scale>/specs, which is copied to results/<scale>/exhibits, or the copy.

    Raises:
        LdregError: an unknown renderer or setting, or a measurement that a run lacks, or a run that was
            trained by another spec; then no file is written.
    """
    spec_path = asked(spec_path)
    content = read_keys(spec_path, "exhibit", "scale")
    name, scale, copy = content["exhibit"], content["scale"], copy_of_exhibit(spec_path)
    with JobRecord(copy.parent, "exhibit", name, scale, part=name) as record:
        files = render(spec_path)
        copy_text(spec_path, copy)
        record.tags["exhibit"] = name
        record.files += [copy.name, *(path.name for path in files)]
    return files
