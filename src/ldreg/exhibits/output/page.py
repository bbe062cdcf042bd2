"""A table or ledger as a page of its own, which the Snakemake report shows in a browser."""

from html import escape

from markdown_it import MarkdownIt

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem;
  margin: 1.5rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: .75rem 0; display: block; overflow-x: auto; }}
th {{ border-bottom: 2px solid #222; text-align: left; }}
td {{ border-bottom: 1px solid #ddd; }}
th, td {{ padding: .25rem .5rem; font-variant-numeric: tabular-nums; }}
@media (max-width: 45rem) {{ body {{ font-size: 12px; padding: 0 .25rem; }} th, td {{ padding: .2rem; }} }}
</style>
<body>
{body}
</body>
</html>
"""


def page(title: str, markdown: str) -> str:
    """`markdown` (tables included) as one HTML page that needs no other file.

    >>> "<td>1</td>" in page("t", "| a |\\n| - |\\n| 1 |")
    True
    """
    body = MarkdownIt("commonmark").enable("table").render(markdown)
    return _PAGE.format(title=escape(title), body=body)
