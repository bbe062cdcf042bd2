"""Blocks of a table as aligned Markdown (readable in a terminal) and as LaTeX with booktabs."""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """The text of one cell; `best` sets it in bold."""

    text: str = ""
    best: bool = False


@dataclass(frozen=True)
class Block:
    """One titled part of a table. The first `words` columns are words (left), the rest numbers (right).

    `groups` are lists of rows; a group is what is read together, such as one method with and without LDReg.
    """

    title: str
    header: tuple[str, ...]
    groups: list[list[list[Cell]]] = field(default_factory=list)
    words: int = 2

    @property
    def rows(self) -> list[list[Cell]]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group]


def markdown(block: Block) -> str:
    """The block as a pipe table whose columns are aligned as plain text too."""
    lines = [list(block.header)] + [
        [f"**{cell.text}**" if cell.best else cell.text for cell in row] for row in block.rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(block.header))]

    def aligned(line: list[str]) -> str:
        cells = [
            text.ljust(width) if column < block.words else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = [
        "-" * width if column < block.words else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return "\n".join([f"### {block.title}", "", aligned(lines[0]), aligned(rule), *map(aligned, lines[1:])])


LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "β": r"$\beta$",
    "±": r"$\pm$",
    "\u00d7": r"$\times$",
    "→": r"$\rightarrow$",
    "<": r"$<$",
    ">": r"$>$",
    "\u2013": "--",
}
# Box 0 as it is, or shrunk to the text's width where it is wider.
FITTED = r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi\\[8pt]"


def latex_text(text: str) -> str:
    r"""Text with LaTeX's special characters escaped and a minus sign before negative numbers.

    >>> print(latex_text("50 % of a_b, β -0.5"))
    50 \% of a\_b, $\beta$ $-$0.5
    """
    escaped = "".join(LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", escaped)


def latex(title: str, label: str, blocks: list[Block], notes: list[str]) -> str:
    """A floating table of all blocks under one caption, with the notes below it."""
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{latex_text(title)}}}",
        rf"\label{{tab:{label}}}",
        r"\footnotesize\setlength{\tabcolsep}{3pt}\smallskip",
    ]
    for block in blocks:
        columns = "l" * block.words + "r" * (len(block.header) - block.words)
        lines += [
            rf"\textbf{{{latex_text(block.title)}}}\\[2pt]",
            rf"\sbox0{{\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"\toprule",
            " & ".join(map(latex_text, block.header)) + r" \\",
        ]
        for group in block.groups:
            lines += [r"\midrule", *(_latex_row(row) for row in group)]
        lines += [r"\bottomrule", r"\end{tabular}}%", FITTED]
    lines += [r"\begin{minipage}{\linewidth}\scriptsize\raggedright"]
    lines += [latex_text(note) + r"\par" for note in notes]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_row(row: list[Cell]) -> str:
    cells = [latex_text(cell.text) for cell in row]
    marked = [rf"\textbf{{{text}}}" if cell.best else text for text, cell in zip(cells, row, strict=True)]
    return " & ".join(marked) + r" \\"
