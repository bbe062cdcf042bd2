"""One look for all figures: legible at column width, colour-blind safe, the same bytes each time."""

import io
from contextlib import AbstractContextManager

import matplotlib as mpl
from matplotlib.figure import Figure

WIDTH = 5.5  # inches, the text width of the paper

# Okabe and Ito's palette without its yellow, which is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
REFERENCE = "#4D4D4D"  # the unregularised runs, with which others are compared
QUIET = "#767676"  # remarks

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.5,
    "figure.dpi": 200,
    "pdf.fonttype": 42,  # text stays text
}


def styled() -> AbstractContextManager[None]:
    """Matplotlib's defaults with this style, whatever the user's matplotlibrc says, for a `with` block."""
    return mpl.rc_context({**{k: v for k, v in mpl.rcParamsDefault.items() if k != "backend"}, **STYLE})


def png(figure: Figure) -> bytes:
    """The figure as PNG, 200 dpi; equal figures give equal bytes."""
    return _bytes(figure, "png", {"Software": None})


def pdf(figure: Figure) -> bytes:
    """The figure as vector PDF without a date, so that equal figures give equal bytes."""
    return _bytes(figure, "pdf", {"CreationDate": None})


def _bytes(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()
