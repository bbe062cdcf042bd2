"""Notes that exhibits have in common. The top of the page says them once; the exhibits leave them out."""

from collections import Counter
from collections.abc import Iterable

from ldreg.site.tables import inline, notes_of

ALWAYS = (
    "An effect is a measured value with LDReg minus the same without LDReg, paired by seed.",
    "An interval is a 95 % t-interval over seeds. One seed has none, and says nothing about noise.",
)
# The beginnings of such notes: how to read the tables, and how their metrics were measured.
BEGINNINGS = (
    "± and brackets",
    "One seed gives no interval",
    "Rows of one seed",
    "The sign of an effect",
    "The difference is",
    "Bold marks the highest",
    "Linear accuracy is",
    "Effective rank is",
    "mLID is",
)
# Notes that repeat in other words what `ALWAYS` says.
_IMPLIED = ("± and brackets", "One seed gives no interval", "Rows of one seed")


def shared_notes(texts: Iterable[str]) -> list[str]:
    """The most frequent note for each of `BEGINNINGS` in the given Markdown files."""
    counts = Counter(note for text in texts for note in dict.fromkeys(notes_of(text)))
    found = []
    for beginning in BEGINNINGS:
        alike = [note for note in counts if note.startswith(beginning)]
        if alike:
            found.append(max(alike, key=lambda note: counts[note]))
    return found


def shared_section(shared: Iterable[str]) -> str:
    """The list at the top of the page."""
    lines = [*ALWAYS, *(note for note in shared if not note.startswith(_IMPLIED))]
    items = "\n".join(f"<li>{inline(note)}</li>" for note in lines)
    return (
        '<section class="shared" aria-labelledby="shared">\n<h2 id="shared">How to read the exhibits</h2>\n'
        f"<ul>\n{items}\n</ul>\n<p>Where an exhibit differs, its notes say so.</p>\n</section>"
    )


def remaining(note: str, shared: Iterable[str]) -> str:
    """The part of a note that the shared notes do not say; '' if there is none.

    >>> shared = ["mLID is an MLE."]
    >>> remaining("mLID is an MLE.", shared), remaining("Bold is 1. mLID is an MLE. It is slow.", shared)
    ('', 'Bold is 1. It is slow.')
    """
    for text in shared:
        note = note.replace(text, "")
    return " ".join(note.split())
