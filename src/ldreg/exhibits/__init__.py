"""Tables, figures and claims: from the files in run folders to files beside an exhibit's own spec.

Importing this module is cheap (no pandas, scipy or matplotlib), because the workflow reads `RENDERERS` when
it is parsed. The function that draws an exhibit takes its `ExhibitSpec`. It returns the content of each
file by its ending or, for a figure, a `Drawing`, which gives these contents. Nothing is written before
everything is computed, so an exhibit that fails leaves nothing behind.
"""

import os
import sys
from pathlib import Path

from ldreg.config.run_spec import check_trained
from ldreg.errors import unknown
from ldreg.exhibits.beyond.declared import EQUAL_COST, LID_ERROR, SCATTER, SURFACE
from ldreg.exhibits.claims.declared import LEDGER
from ldreg.exhibits.figures.declared import BARS, CURVES, FIGURE1, FIGURE3, SUMMARY, TSNE
from ldreg.exhibits.figures.sweep_declared import SWEEP
from ldreg.exhibits.renderer import Renderer
from ldreg.exhibits.tables.declared import (
    DETECTION_TABLE,
    MAIN_TABLE,
    MEASURES,
    PROTOCOLS,
    SETTINGS_TABLE,
    SIGNIFICANCE,
    TIMING,
    TRANSFER_TABLE,
)
from ldreg.files import replacing

# Every kind of exhibit. The terminal shows the last of these that has been made and has something to print.
_REGISTERED = (
    MAIN_TABLE,
    SWEEP,
    SETTINGS_TABLE,
    TIMING,
    MEASURES,
    PROTOCOLS,
    SIGNIFICANCE,
    CURVES,
    BARS,
    TSNE,
    TRANSFER_TABLE,
    DETECTION_TABLE,
    SURFACE,
    SCATTER,
    LID_ERROR,
    EQUAL_COST,
    FIGURE1,
    FIGURE3,
    SUMMARY,
    LEDGER,
)
RENDERERS: dict[str, Renderer] = {renderer.key: renderer for renderer in _REGISTERED}


def render(spec_path: str | Path) -> list[Path]:
    """Make the exhibit that a `.spec.yaml` describes; the files appear beside its copy as `<name>.<suffix>`.

    Returns the written paths in the order of the renderer's suffixes. Raises LdregError for an unknown
    renderer or setting and for a measurement that a run lacks; then no file is written.
    """
    from ldreg.exhibits.runs.run_table import read_exhibit

    if "matplotlib" not in sys.modules:
        # A shell opened by a notebook names the notebook's backend, without which matplotlib is not imported.
        os.environ["MPLBACKEND"] = "agg"
    exhibit = read_exhibit(spec_path)
    if exhibit.renderer not in RENDERERS:
        raise unknown(f"{spec_path}: renderer", exhibit.renderer, RENDERERS)
    renderer = RENDERERS[exhibit.renderer]
    for run, spec_hash in zip(exhibit.runs, exhibit.spec_hashes, strict=False):
        check_trained(run, spec_hash)
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
