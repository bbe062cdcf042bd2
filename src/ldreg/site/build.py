"""`results/<scale>/index.html`: every exhibit of a scale on one page that needs no server and no script.

It is made from files alone (exhibits, their specs, the runs' specs and summaries), so that equal files give
an equal page. Figures are linked and not embedded: the page lies beside the files that it shows.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ldreg.config.result_paths import Declared, read_declared
from ldreg.errors import LdregError, unknown
from ldreg.exhibits.output.labels import listed
from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.linear_evaluation import linear_evaluation
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.files import read_json, read_yaml, write_text
from ldreg.site.differences import measured_otherwise
from ldreg.site.section import Shown, category_section, exhibit_section, missing_section, read_shown
from ldreg.site.shared import shared_notes, shared_section
from ldreg.site.stylesheet import STYLESHEET
from ldreg.site.tables import badge

CATEGORIES = (
    "Summary",
    "Tables",
    "Figures",
    "Claims",
    "Settings",
)  # in this order, where none is asked for; others last
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{stylesheet}</style>
</head>
<body>
<div class="page">
{header}
<main>
{main}
</main>
<footer>
{evaluation}
<p>Made by <code>ldreg site {folder}</code> from the files beside this page. Paper: Huang et al., LDReg: Local
Dimensionality Regularized Self-Supervised Learning, ICLR 2024.</p>
</footer>
</div>
</body>
</html>
"""


def build_site(folder: Path, exhibits: Iterable[str] = ()) -> Path:
    """Write `<folder>/index.html` and return its path; `folder` is results/<scale>.

    `exhibits` are the names of those shown, in their order. By default they are those that the scale file
    declared last or, without such a list, all that have a spec, in the order of `_place`. Exhibits that are
    not made yet are listed as such.

    Raises:
        LdregError: no exhibit is declared, or one, a run or the paper's settings cannot be read.
    """
    declared = read_declared(folder)
    exhibits = tuple(exhibits)
    shown = [read_shown(path) for path in _specs(folder, declared, exhibits)]
    if not exhibits:
        shown.sort(key=_place)
    made = [each for each in shown if each.files]
    shared = shared_notes(each.markdown for each in made)
    first = _opening(made)
    below = [each for each in made if each is not first]
    parts = [
        category_section(name, below, folder, shared)
        for name in dict.fromkeys(each.category for each in below)
    ]
    missing = [each for each in shown if not each.files]
    parts += [missing_section(missing)] if missing else []
    title = f"LDReg at the {folder.resolve().name} scale"
    path = folder / "index.html"
    write_text(
        path,
        _PAGE.format(
            title=escape(title),
            stylesheet=STYLESHEET,
            header=_header(
                title, shown, made, exhibit_section(first, folder, shared, "h2") if first else "", shared
            ),
            main="\n".join(parts),
            evaluation=_evaluation(declared, shown[0]),
            folder=escape(f"results/{folder.resolve().name}"),
        ),
    )
    return path


def _specs(folder: Path, declared: Declared | None, exhibits: Sequence[str]) -> list[Path]:
    """The specs of the exhibits shown: of those made, what they were made by; of others, what is declared."""
    copies = sorted(folder.glob("exhibits/*.spec.yaml"), key=_by_number)
    made = {path.name.removesuffix(".spec.yaml"): path for path in copies}
    specs = {**declared.exhibits, **made} if declared else made
    wanted = exhibits or (tuple(declared.exhibits) if declared else ())
    if not specs:
        raise LdregError(f"{folder / 'exhibits'}: no exhibit is declared; make some first: snakemake core")
    for exhibit in wanted:
        if exhibit not in specs:
            raise unknown(f"{folder / 'exhibits'}: exhibit", exhibit, specs)
    return [specs[exhibit] for exhibit in wanted or specs]


def _place(each: Shown) -> tuple[int, bool, list[str | int]]:
    """Category by category, and in each the paper's tables and figures by number, then others as declared."""
    category = CATEGORIES.index(each.category) if each.category in CATEGORIES else len(CATEGORIES)
    numbered = re.match(r"(table|figure)\d", each.name) is not None
    return category, not numbered, _by_number(Path(each.name)) if numbered else []


def _by_number(path: Path) -> list[str | int]:
    """Sorts Table 2 before Table 12.

    >>> sorted(map(Path, ("table12", "table2", "claims", "table1_simclr")), key=_by_number)[1:]
    [PosixPath('table1_simclr'), PosixPath('table2'), PosixPath('table12')]
    """
    # Words and numbers alternate, so that like is compared with like.
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _opening(made: Sequence[Shown]) -> Shown | None:
    """The exhibit that opens the page: out of those that may, the one with most runs."""
    opening = [each for each in made if each.renderer.opens_page]
    return max(opening, key=lambda each: len(each.runs), default=None)


def _header(
    title: str, shown: Sequence[Shown], made: Sequence[Shown], opening: str, shared: Sequence[str]
) -> str:
    declared = dict.fromkeys(run for each in shown for run in each.runs)
    finished = {run: read_json(run / "summary.json") for run in declared if (run / "summary.json").is_file()}
    specs = [read_yaml(path) for run in finished or declared if (path := run / "spec.yaml").is_file()]
    facts = {
        "Data": listed(spec["dataset"] for spec in specs),
        "Encoders": listed(spec["backbone"] for spec in specs),
        "Methods": listed(spec["method"] for spec in specs),
        "Runs": f"{len(finished)} of {len(declared)} trained",
        "Seeds": listed(sorted({spec["seed"] for spec in specs})),
        "Exhibits": f"{len(made)} of {len(shown)} made",
        **_machine(finished.values()),
    }
    terms = "\n".join(
        f"<div><dt>{escape(term)}</dt><dd>{escape(fact)}</dd></div>" for term, fact in facts.items() if fact
    )
    return f"""<header>
<h1>{escape(title)}</h1>
<p class="lead">Tables, figures and claims of the LDReg paper, made here and set beside its own numbers. At
other scales than the paper's, only effects are comparable: LDReg minus none, paired by seed.</p>
{opening}
{"".join(_verdicts(each) for each in made)}
<dl class="facts">
{terms}
</dl>
{shared_section(shared)}
{_contents(shown)}
</header>"""


def _evaluation(declared: Declared | None, exhibit: Shown) -> str:
    """What differs in every accuracy, whatever exhibit shows it; by the protocol of this one."""
    if declared is None or not declared.settings:
        return ""
    paper = PaperSettings(exhibit.paper / SETTINGS_FILE)
    used = linear_evaluation(declared.settings, exhibit.settings.linear, paper.of_all("evaluation."))
    words = measured_otherwise(used, paper)
    return f"<p>{escape(words)}</p>" if words else ""


def _machine(summaries: Iterable[dict[str, Any]]) -> dict[str, str]:
    """How long the runs trained, and on which devices; imported runs say neither."""
    trained = [summary for summary in summaries if "wall_seconds" in summary]
    if not trained:
        return {}
    seconds = sum(summary["wall_seconds"] for summary in trained)
    amount = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    devices = ", ".join(dict.fromkeys(summary.get("device") or "cpu" for summary in trained))
    return {"Training time, all runs": f"{amount} ({devices.replace('cpu', 'CPU')})"}


def _verdicts(each: Shown) -> str:
    """The number of an exhibit's claims for each verdict; empty if it tests none."""
    if each.renderer.count_verdicts is None:
        return ""
    counts = each.renderer.count_verdicts(each.path)
    badges = "\n".join(badge(verdict, f"{count} ") for verdict, count in counts.items() if count)
    return f'<p class="verdicts"><a href="#{each.name}">{escape(each.title)}</a>\n{badges}</p>\n'


def _contents(shown: Sequence[Shown]) -> str:
    parts = []
    for category in dict.fromkeys(each.category for each in shown if each.files):
        items = "\n".join(
            f'<li><a href="#{each.name}">{escape(each.title)}</a></li>'
            for each in shown
            if each.files and each.category == category
        )
        parts.append(f"<div>\n<p>{escape(category)}</p>\n<ul>\n{items}\n</ul>\n</div>")
    if any(not each.files for each in shown):
        parts.append('<div><p>More</p>\n<ul>\n<li><a href="#not-made">Not made yet</a></li>\n</ul>\n</div>')
    return '<nav class="contents" aria-label="Contents">\n' + "\n".join(parts) + "\n</nav>"
