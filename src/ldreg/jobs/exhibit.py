"""Render a table, a figure or a ledger of claims."""

from pathlib import Path

from ldreg.exhibits import render
from ldreg.files import read_keys
from ldreg.tracking import JobRecord


def exhibit_job(spec_path: Path) -> list[Path]:
    """Render the exhibit that `<name>.spec.yaml` describes; returns its files, which appear beside it.

    Raises:
        LdregError: an unknown renderer or setting, or a measurement that a run lacks; then no file
            is written.
    """
    name = spec_path.name.removesuffix(".spec.yaml")
    scale = read_keys(spec_path, "scale")["scale"]
    with JobRecord(spec_path.parent, "exhibit", name, scale, part=name) as record:
        files = render(spec_path)
        record.tags["exhibit"] = name
        record.files += [spec_path.name, *(path.name for path in files)]
    return files
