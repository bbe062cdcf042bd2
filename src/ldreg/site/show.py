"""What a scale has found, on the screen: what suits it of the exhibits, and where everything lies."""

from pathlib import Path

from rich.console import Console

from ldreg.errors import LdregError
from ldreg.exhibits import RENDERERS
from ldreg.files import read_yaml
from ldreg.tracking import tracking_uri
from ldreg.workflow.inputs import declared_exhibits


def show(folder: Path, console: Console | None = None) -> None:
    """Print the exhibits of `results/<scale>` that a terminal can show, and where the others lie.

    Those that the scale file no longer declares are left out.

    Raises:
        LdregError: `folder` holds no exhibit that has been made.
    """
    console = console or Console(soft_wrap=True)
    specs = sorted((folder / "exhibits").glob("*.spec.yaml"))
    if (declared := declared_exhibits(folder)) is not None:
        specs = [path for name in declared if (path := folder / f"exhibits/{name}.spec.yaml") in specs]
    made = {path: _made(path) for path in specs if _made(path)}
    if not made:
        raise LdregError(f"{folder / 'exhibits'}: no exhibit has been made; make some first: snakemake core")
    contents = {path: read_yaml(path) for path in made}
    for renderer in RENDERERS.values():
        of_kind = [path for path in made if contents[path]["renderer"] == renderer.key]
        if renderer.print_made and of_kind:
            renderer.print_made(of_kind, console)
    console.print("[bold]Where to look[/bold]")
    pages = [
        ("index.html", "all exhibits on one page"),
        ("report.html", "the workflow's report, with captions"),
    ]
    lines = [(str(folder / name), what) for name, what in pages if (folder / name).exists()]
    for path, suffixes in made.items():
        stem = str(path).removesuffix(".spec.yaml")
        lines.append((f"{stem}.{{{','.join(suffixes)}}}", contents[path]["title"]))
    lines += [(str(folder / "runs"), "one folder a run"), (str(folder / "logs"), "one log a job")]
    for place, what in lines:
        console.print(f"  {place:<50} {what}", highlight=False, markup=False)
    uri = tracking_uri(folder.parent)
    if uri.startswith("sqlite"):
        console.print(f"  mlflow ui --backend-store-uri {uri}", highlight=False)


def _made(spec: Path) -> list[str]:
    """The suffixes of the files that lie beside an exhibit's spec."""
    stem = spec.name.removesuffix(".spec.yaml")
    return sorted(path.suffix[1:] for path in spec.parent.glob(f"{stem}.*") if path != spec)
