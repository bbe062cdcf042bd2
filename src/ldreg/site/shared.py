"""What exhibits have in common: said once at the top of the page, and left out of their own notes."""

from collections import Counter
from collections.abc import Iterable

from ldreg.site.tables import inline, notes_of

ALWAYS = (
    "An effect is what is measured with LDReg minus what is measured without, paired by seed.",
    "An interval is a 95 % t-interval over seeds. One seed has none, and says nothing about noise.",
)
# How notes begin that say how all tables are to be read, and how what most of them show was measured.
BEGINNINGS = (
    "± and brackets",
    "1 seed:",
    "Rows of 1 seed:",
    "Sign:",
    "Difference:",
    "Bold: the highest",
    "Linear accuracy:",
    "Effective rank:",
    "mLID:",
)
# Those that say in other words what always holds.
_IMPLIED = ("± and brackets", "1 seed:", "Rows of 1 seed:")


def shared_notes(texts: Iterable[str]) -> list[str]:
    """Of the notes of some Markdown files, the commonest for each of `BEGINNINGS`."""
    counts = Counter(note for text in texts for note in dict.fromkeys(notes_of(text)))
    found = []
    for beginning in BEGINNINGS:
        alike = [note for note in counts if note.startswith(beginning)]
        if alike:
            found.append(max(alike, key=lambda note: counts[note]))
    return found


def shared_section(shared: Iterable[str]) -> str:
    """The list at the top of the page."""
    told = [*ALWAYS, *(note for note in shared if not note.startswith(_IMPLIED))]
    items = "\n".join(f"<li>{inline(note)}</li>" for note in told)
    return (
        '<section class="shared" aria-labelledby="shared">\n<h2 id="shared">How to read the exhibits</h2>\n'
        f"<ul>\n{items}\n</ul>\n<p>Where an exhibit differs, its notes say so.</p>\n</section>"
    )


def remaining(note: str, shared: Iterable[str]) -> str:
    """What a note says beyond the shared ones; '' if nothing.

    >>> remaining("mLID: MLE.", ["mLID: MLE."]), remaining("Here: 1. mLID: MLE. Slow.", ["mLID: MLE."])
    ('', 'Here: 1. Slow.')
    """
    for text in shared:
        note = note.replace(text, "")
    return " ".join(note.split())
