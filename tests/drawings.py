"""Figures as their renderers draw them, found by the renderer's name in an exhibit's spec."""

import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from ldreg.exhibits import RENDERERS
from ldreg.exhibits.output import style
from ldreg.exhibits.runs.run_table import read_exhibit

HEADS = {"png": b"\x89PNG", "pdf": b"%PDF"}


def drawn(spec: Path) -> tuple[Figure, pd.DataFrame]:
    """The figure of an exhibit, and its CSV."""
    exhibit = read_exhibit(spec)
    drawing = RENDERERS[exhibit.renderer].function(exhibit)
    return drawing.figure, pd.read_csv(io.StringIO(drawing.csv), dtype={"panel": str, "setting": str})


def check_figure(figure: Figure) -> None:
    """It is as wide as the text of the paper, no text is smaller than 8 points, and nothing is cut off."""
    style.png(figure)  # lays it out
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert len(texts) > 10 and min(text.get_fontsize() for text in texts) >= 8
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert width == style.WIDTH
    assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height


def check_files(spec: Path) -> None:
    """The files are what their suffixes say, without a date, and the same each time."""
    exhibit = read_exhibit(spec)
    first, second = (RENDERERS[exhibit.renderer].function(exhibit).files() for _ in range(2))
    assert first == second and list(first) == ["png", "pdf", "csv"]
    assert all(first[suffix].startswith(head) for suffix, head in HEADS.items())
    assert b"CreationDate" not in first["pdf"]
