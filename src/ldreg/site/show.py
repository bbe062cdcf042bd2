"""The results of a scale in a dozen lines of the terminal: claims that were tested, and where to read on."""

from pathlib import Path

from rich.console import Console

from ldreg.config.result_paths import read_declared
from ldreg.errors import LdregError
from ldreg.exhibits import RENDERERS
from ldreg.files import read_yaml
from ldreg.tracking import tracking_uri


def show(folder: Path, console: Console | None = None) -> None:
    """Print the claims tested with the runs of `results/<scale>`, or else Table 1, and where to read on.

    Exhibits that the scale file no longer declares are left out.

    Raises:
        LdregError: `folder` holds no exhibit that has been made.
    """
    console = console or Console(soft_wrap=True)
    specs = sorted((folder / "exhibits").glob("*.spec.yaml"))
    if (declared := read_declared(folder)) is not None:
        specs = [
            path for name in declared.exhibits if (path := folder / f"exhibits/{name}.spec.yaml") in specs
        ]
    made = [path for path in specs if _is_made(path)]
    if not made:
        raise LdregError(f"{folder / 'exhibits'}: no exhibit has been made; make some first: snakemake core")
    kinds = {path: read_yaml(path)["renderer"] for path in made}
    printed = [each for each in RENDERERS.values() if each.print_made and each.key in kinds.values()]
    if printed:  # the claims, if there are any, because they say more than Table 1
        last = printed[-1]
        last.print_made.load()([path for path in made if kinds[path] == last.key], console)
    for line in _places(folder):
        console.print(line, highlight=False, markup=False)


def _is_made(spec: Path) -> bool:
    """Whether an exhibit's files lie beside its spec."""
    stem = spec.name.removesuffix(".spec.yaml")
    return any(path != spec for path in spec.parent.glob(f"{stem}.*"))


def _places(folder: Path) -> list[str]:
    """Where to read on: the page, the report, and the runs in MLflow."""
    pages = {"index.html": "All exhibits", "report.html": "Workflow report"}
    lines = [f"{what + ':':<17} {folder / name}" for name, what in pages.items() if (folder / name).exists()]
    uri = tracking_uri(folder.parent)
    return [
        *lines,
        *([f"{'Runs:':<17} mlflow ui --backend-store-uri {uri}"] if uri.startswith("sqlite") else []),
    ]
