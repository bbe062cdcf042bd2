"""One exhibit of the page: its files, and its section with caption, picture or tables, and links."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ldreg.config.result_paths import scale_of_spec
from ldreg.errors import LdregError, unknown
from ldreg.exhibits import RENDERERS
from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.exhibits.renderer import Renderer
from ldreg.exhibits.settings import Settings
from ldreg.files import read_json, read_yaml
from ldreg.site.differences import about_points, about_runs, differences
from ldreg.site.shared import remaining
from ldreg.site.tables import body, fold, inline, notes_of

FILES = {"png": "PNG", "pdf": "PDF", "csv": "CSV", "tex": "LaTeX", "md": "Markdown", "json": "JSON"}
_DOTS_PER_PIXEL = (
    200 / 128
)  # of the figures' 200 dots an inch: their text is then as large as the page's notes


@dataclass(frozen=True)
class Shown:
    """One exhibit as the page shows it; `files` are those that rendering made, or empty."""

    name: str
    scale: str
    title: str
    caption: str
    category: str
    renderer: Renderer
    runs: tuple[Path, ...]
    path: Path  # of its spec
    paper: Path  # the folder of the paper's numbers and settings
    files: dict[str, Path]

    @property
    def settings(self) -> Settings:
        """The exhibit's settings, as its renderer understands them."""
        return self.renderer.settings.model_validate(read_yaml(self.path).get("settings") or {})

    @property
    def markdown(self) -> str:
        """The exhibit's Markdown; '' where it has none."""
        return self.files["md"].read_text(encoding="utf-8") if "md" in self.files else ""


def read_shown(path: Path) -> Shown:
    content = read_yaml(path)
    exhibit = content["exhibit"]
    if content["renderer"] not in RENDERERS:
        raise unknown(f"{path}: renderer", content["renderer"], RENDERERS)
    renderer = RENDERERS[content["renderer"]]
    scale = scale_of_spec(path)
    folder = scale / "exhibits" if scale else path.parent
    files = {suffix: folder / f"{exhibit}.{suffix}" for suffix in renderer.suffixes}
    return Shown(
        name=exhibit,
        scale=content["scale"],
        title=content.get("title") or exhibit,
        caption=content.get("caption") or "",
        category=content.get("category") or "Exhibits",
        renderer=renderer,
        runs=tuple(map(Path, content.get("runs") or ())),
        path=path,
        paper=Path(content["paper"]).parent,
        # An exhibit with only some of its files failed half way and counts as not made.
        files=files if all(file.is_file() for file in files.values()) else {},
    )


def category_section(category: str, made: Sequence[Shown], folder: Path, shared: Sequence[str]) -> str:
    """All exhibits of a category; `shared` are the notes that the top of the page has."""
    anchor = _anchor(category)
    sections = "\n".join(exhibit_section(each, folder, shared) for each in made if each.category == category)
    return (
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{escape(category)}</h2>\n'
        f"{sections}\n</section>"
    )


def exhibit_section(each: Shown, folder: Path, shared: Sequence[str], heading: str = "h3") -> str:
    """One exhibit: title, caption, picture or tables, its notes behind one line, and its files."""
    return f"""<article class="exhibit" id="{each.name}">
<{heading}>{escape(each.title)}</{heading}>
<p>{escape(each.caption)}</p>
{_figure(each, folder)}{_tables(each)}{_notes(each, shared)}<ul class="files" aria-label="Files">
{_links(each, folder)}
</ul>
</article>"""


def _notes(each: Shown, shared: Sequence[str]) -> str:
    """What was run, how it differs from the paper, and the exhibit's other notes, folded behind one line."""
    text = each.markdown
    notes = (
        [left for note in notes_of(text, each.caption) if (left := remaining(note, shared))] if text else []
    )
    items = "".join(f"<li>{inline(note)}</li>\n" for note in notes)
    content = _setting(each) + (f"<ul>\n{items}</ul>" if items else "")
    return f'<div class="notes">{fold("What was run, and notes", content)}</div>\n' if content else ""


def _setting(each: Shown) -> str:
    """The exhibit's runs and how they differ from the paper; without runs, its points."""
    if not each.runs:
        return f"<p>{escape(text)}.</p>\n" if (text := _points(each)) else ""
    specs = [read_yaml(run / "spec.yaml") for run in each.runs]
    here = about_runs(each.scale, specs)
    paper = PaperSettings(each.paper / SETTINGS_FILE)
    differs = differences(each.name, specs, paper, each.settings.stands_for)
    return f"<p>{escape(here)}. {escape(differs)}</p>\n"


def _points(each: Shown) -> str:
    """The points of an exhibit without runs, with the seeds of its numbers; empty for other exhibits."""
    shown = each.renderer.synthetic
    if shown is None:
        return ""
    numbers = read_json(each.path.parents[1] / shown.numbers)
    return about_points(each.scale, shown.points, numbers["seeds"])


def _figure(each: Shown, folder: Path) -> str:
    if "png" not in each.files:
        return ""
    source = escape(each.files["png"].relative_to(folder).as_posix())
    target = each.files.get("pdf", each.files["png"]).relative_to(folder).as_posix()
    width, height = (round(side / _DOTS_PER_PIXEL) for side in png_size(each.files["png"]))
    numbers = " Its numbers are in the CSV file below." if "csv" in each.files else ""
    end = "" if each.title.endswith(("?", ".")) else "."
    alt = escape(f"{each.title}{end}{numbers}")
    return (
        f'<figure><a href="{escape(target)}"><img src="{source}" width="{width}" height="{height}" '
        f'alt="{alt}"></a></figure>\n'
    )


def _tables(each: Shown) -> str:
    if "md" not in each.files:
        return ""
    return f'<div class="body">\n{body(each.markdown, each.caption, each.title)}</div>\n'


def _links(each: Shown, folder: Path) -> str:
    """Links to the exhibit's files. Its own HTML page is left out, because it shows the same."""
    return "\n".join(
        f'<li><a href="{escape(file.relative_to(folder).as_posix())}" '
        f'aria-label="{escape(f"{label} of {each.title}")}">{label}</a></li>'
        for suffix, label in FILES.items()
        if (file := each.files.get(suffix))
    )


def missing_section(shown: Sequence[Shown]) -> str:
    items = "\n".join(
        f'<li id="{each.name}">{escape(each.title)} (<code>snakemake {escape(each.name)}</code>)</li>'
        for each in shown
    )
    return (
        '<section aria-labelledby="not-made">\n<h2 id="not-made">Not made yet</h2>\n'
        "<p>This scale declares these exhibits; the command beside each makes it.</p>\n"
        f'<ul class="missing">\n{items}\n</ul>\n</section>'
    )


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels, from its header; LdregError when the file is not a PNG."""
    head = path.read_bytes()[:24]
    if head[:8] != b"\x89PNG\r\n\x1a\n" or len(head) < 24:
        raise LdregError(f"{path}: not a PNG file")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _anchor(category: str) -> str:
    """The anchor of a category on the page. Those of exhibits are their names, which hold no dash.

    >>> _anchor("Ablation studies")
    'category-ablation-studies'
    """
    return "category-" + "-".join(category.lower().split())
