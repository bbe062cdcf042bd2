"""Captions for the Snakemake report, which reads them as reStructuredText."""

import re


def plain_text(text: str) -> str:
    r"""`text` escaped so that reStructuredText shows it as it is, as a paragraph without any markup.

    >>> print(plain_text("(a) mean |ln(2 / LID)| of train_images"))
    \ (a) mean \|ln(2 / LID)\| of train\_images
    """
    words = " ".join(text.split())
    # An escaped blank shows nothing, and no list, title or directive begins after it. `::` would open a
    # block.
    return "\\ " + re.sub(r"[\\*`_|<>\[\]]|(?<=:):", r"\\\g<0>", words) if words else ""
