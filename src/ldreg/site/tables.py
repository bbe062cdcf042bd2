"""An exhibit's Markdown as a part of the page: its tables scroll in boxes of their own."""

from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ldreg.exhibits.claims.declared import VERDICTS

_QUIET = ("not run", "not given")


def body(markdown: str, caption: str = "", title: str = "") -> str:
    """The exhibit's Markdown as HTML, without title, caption and notes, which the page sets itself.

    Headings begin at h4, so that they stand below the exhibit's own; `title` begins the tables' labels. A
    list that has a heading of its own folds away behind it.

    >>> print(body("## Title\\n\\n### Block\\n\\n| a |\\n| - |\\n| 1 |").replace("\\n", ""))
    ... # doctest: +ELLIPSIS
    <h4>Block</h4><div class="table" role="region" tabindex="0" aria-label="Block"><table>...
    """
    parser = _parser()
    tokens = _without_title(parser.parse(markdown), caption)
    tokens = _folded(tokens[_opening(tokens) : _notes_at(tokens)])
    label = "Table"
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            label = tokens[place + 1].content
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        elif token.type == "table_open":
            token.meta["label"] = f"{title}: {label}" if title else label
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "td_open":
            _mark_cell(token, tokens[place + 1])
        elif (
            token.type == "tr_open" and tokens[place + 1].type == "td_open" and not tokens[place + 2].content
        ):
            token.attrSet("class", "more")
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser.renderer.render(tokens, parser.options, {})


def notes_of(markdown: str, caption: str = "") -> list[str]:
    """The notes of an exhibit: the paragraphs at the start of its Markdown, and the list at its end.

    >>> notes_of("## Title\\n\\nFirst.\\n\\n### Block\\n\\n| a |\\n| - |\\n| 1 |\\n\\n- One.\\n- Two.")
    ['First.', 'One.', 'Two.']
    """
    tokens = _without_title(_parser().parse(markdown), caption)
    shown = [*tokens[: _opening(tokens)], *tokens[_notes_at(tokens) :]]
    return [token.content for token in shown if token.type == "inline"]


def inline(text: str) -> str:
    """A sentence of Markdown as HTML."""
    return _parser().renderInline(text)


def fold(summary: str, content: str) -> str:
    """HTML that is hidden behind one line until a reader opens it; it needs no script."""
    return f"<details>\n<summary>{summary}</summary>\n{content}\n</details>\n"


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _notes_at(tokens: list[Token]) -> int:
    """The index at which the notes begin; the end if there are none."""
    if not tokens or tokens[-1].type != "bullet_list_close":
        return len(tokens)
    start = max(place for place, token in enumerate(tokens) if _opens_list(token))
    below_table = start > 0 and tokens[start - 1].type == "table_close"
    return start if below_table else len(tokens)


def _opens_list(token: Token) -> bool:
    return token.type == "bullet_list_open" and token.level == 0


def _opening(tokens: list[Token]) -> int:
    """The index after the first paragraphs of an exhibit, if blocks with headings follow; else 0."""
    place = 0
    while place < len(tokens) and tokens[place].type == "paragraph_open":
        place += 3
    return place if place < len(tokens) and tokens[place].type == "heading_open" else 0


def _folded(tokens: list[Token]) -> list[Token]:
    """Each list with a heading of its own as a fold, whose line is the heading."""
    found: list[Token] = []
    for token in tokens:
        if _opens_list(token) and found and found[-1].type == "heading_close":
            heading = found[-2].content
            found[-3:] = [_html(f"<details>\n<summary>{escape(heading)}</summary>\n"), token]
        elif token.type == "bullet_list_close" and token.level == 0 and _is_folded(found):
            found += [token, _html("</details>\n")]
        else:
            found.append(token)
    return found


def _is_folded(tokens: list[Token]) -> bool:
    """Whether the list that is open at the end of `tokens` stands in a fold."""
    start = max(place for place, token in enumerate(tokens) if _opens_list(token))
    return start > 0 and tokens[start - 1].content.startswith("<details>")


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def badge(verdict: str, count: str = "") -> str:
    """A verdict as a coloured word, which can be read without its colour.

    >>> badge("not tested", "2 ")
    '<span class="verdict not-tested">2 not tested</span>'
    """
    kind = next((known for known in VERDICTS if verdict.startswith(known)), "other")
    return f'<span class="verdict {kind.replace(" ", "-")}">{escape(count + verdict)}</span>'


def _without_title(tokens: list[Token], caption: str) -> list[Token]:
    """The blocks without the first heading, and without the paragraph below it if that is the caption."""
    if tokens and tokens[0].type == "heading_open":
        tokens = tokens[3:]
    same = len(tokens) > 1 and " ".join(tokens[1].content.split()) == " ".join(caption.split())
    return tokens[3:] if same and tokens[0].type == "paragraph_open" else tokens


def _mark_cell(cell: Token, inline: Token) -> None:
    if inline.content in _QUIET:
        cell.attrJoin("class", "quiet")
    if inline.content.startswith(VERDICTS):
        inline.children = [Token("html_inline", "", 0, content=badge(inline.content))]


def _table_open(renderer: object, tokens: list[Token], place: int, *_: object) -> str:
    # It can be scrolled by keyboard, and its label tells screen readers what it is.
    label = escape(tokens[place].meta["label"])
    return f'<div class="table" role="region" tabindex="0" aria-label="{label}"><table>\n'
