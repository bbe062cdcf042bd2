"""Tables, figures and claims: from the files in run folders to files beside an exhibit's own spec.

Importing this module is cheap (no pandas, scipy or matplotlib), because the workflow needs `RENDERERS` and
their suffixes while it is parsed. A renderer is a function of an `ExhibitSpec` that returns the contents of
its files by suffix, or for a figure a `Drawing`, which has them: it computes everything first and `render`
writes it, so a failing exhibit leaves nothing behind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ldreg.errors import unknown
from ldreg.exhibits.figures.beyond_settings import CostSettings, LidErrorSettings, SurfaceSettings
from ldreg.exhibits.figures.figure_settings import BarSettings, CurveSettings, TsneSettings
from ldreg.exhibits.settings import (
    Figure1Settings,
    Figure3Settings,
    LedgerSettings,
    Settings,
    SweepSettings,
    TableSettings,
)
from ldreg.exhibits.tables.outcome_settings import DetectionTableSettings, TransferTableSettings
from ldreg.exhibits.tables.table_settings import MeasuresSettings, SettingsTableSettings, TimingSettings
from ldreg.files import replacing


@dataclass(frozen=True)
class Renderer:
    """How one kind of exhibit is made: the function's module and name, its settings, and what it writes."""

    module: str
    name: str
    settings: type[Settings]
    suffixes: tuple[str, ...]
    needs_runs: bool = True

    @property
    def function(self) -> Callable[[Any], Any]:
        """The function itself; its module, and with it pandas or matplotlib, is imported only now."""
        return getattr(import_module(self.module), self.name)


TABLE, FIGURE = ("csv", "md", "tex", "html"), ("png", "pdf", "csv")

RENDERERS: dict[str, Renderer] = {
    "main_table": Renderer("ldreg.exhibits.tables.main_table", "main_table", TableSettings, TABLE),
    "sweep": Renderer("ldreg.exhibits.figures.sweep", "sweep", SweepSettings, FIGURE),
    "settings_table": Renderer(
        "ldreg.exhibits.tables.settings_table", "settings_table", SettingsTableSettings, TABLE
    ),
    "timing": Renderer("ldreg.exhibits.tables.timing", "timing", TimingSettings, TABLE),
    "measures": Renderer("ldreg.exhibits.tables.measures", "measures", MeasuresSettings, TABLE),
    "significance": Renderer("ldreg.exhibits.tables.significance", "significance", TableSettings, TABLE),
    "curves": Renderer("ldreg.exhibits.figures.curves", "curves", CurveSettings, FIGURE),
    "bars": Renderer("ldreg.exhibits.figures.bars", "bars", BarSettings, FIGURE),
    "tsne": Renderer("ldreg.exhibits.figures.tsne", "tsne", TsneSettings, FIGURE),
    "transfer_table": Renderer(
        "ldreg.exhibits.tables.transfer_and_detection", "transfer_table", TransferTableSettings, TABLE
    ),
    "detection_table": Renderer(
        "ldreg.exhibits.tables.transfer_and_detection", "detection_table", DetectionTableSettings, TABLE
    ),
    "surface": Renderer("ldreg.exhibits.figures.surface", "surface", SurfaceSettings, FIGURE),
    "scatter": Renderer("ldreg.exhibits.figures.scatter", "scatter", Settings, FIGURE),
    "lid_error": Renderer("ldreg.exhibits.figures.lid_error", "lid_error", LidErrorSettings, FIGURE),
    "equal_cost": Renderer("ldreg.exhibits.figures.equal_cost", "equal_cost", CostSettings, FIGURE),
    "figure1": Renderer("ldreg.exhibits.figures.plane", "figure1", Figure1Settings, FIGURE, needs_runs=False),
    "figure3": Renderer("ldreg.exhibits.figures.plane", "figure3", Figure3Settings, FIGURE, needs_runs=False),
    "ledger": Renderer("ldreg.exhibits.claims.ledger", "ledger", LedgerSettings, ("md", "json", "html")),
}


def render(spec_path: str | Path) -> list[Path]:
    """Make the exhibit that `<name>.spec.yaml` describes; the files appear beside it as `<name>.<suffix>`.

    Returns the written paths in the order of the renderer's suffixes. Raises LdregError for an unknown
    renderer or setting and for a measurement that a run lacks; then no file is written.
    """
    from ldreg.exhibits.runs.run_table import read_exhibit

    exhibit = read_exhibit(spec_path)
    if exhibit.renderer not in RENDERERS:
        raise unknown(f"{spec_path}: renderer", exhibit.renderer, RENDERERS)
    renderer = RENDERERS[exhibit.renderer]
    made = renderer.function(exhibit)
    contents = made if isinstance(made, dict) else made.files()
    if "html" in renderer.suffixes:
        from ldreg.exhibits.output.page import page

        contents["html"] = page(exhibit.title or exhibit.exhibit, contents["md"])
    paths = []
    for suffix in renderer.suffixes:
        path = exhibit.path.with_name(f"{exhibit.exhibit}.{suffix}")
        content = contents[suffix]
        with replacing(path) as temporary:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        paths.append(path)
    return paths
