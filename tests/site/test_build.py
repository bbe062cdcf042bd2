"""index.html from files, without a browser: what it says, in which order, and its mistakes in one line."""

import json
from pathlib import Path

import pytest
import yaml
from exhibits.conftest import Runs, fabricate

from ldreg.errors import LdregError
from ldreg.exhibits import RENDERERS, render
from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.site import screenshot
from ldreg.site.build import _place, build_site
from ldreg.site.differences import measured_otherwise
from ldreg.site.section import Shown, png_size
from ldreg.site.tables import body

CONFIG = Path(__file__).resolve().parents[2] / "config"
PAPER = PaperSettings(CONFIG / "paper" / SETTINGS_FILE)
BASE = {"beta": 0.1, "k": 16}


@pytest.fixture
def made(tmp_path) -> Runs:
    """A scale's folder with a table and a ledger made, and a figure that is not."""
    folder = tmp_path / "results/demo"
    folder.mkdir(parents=True)
    runs = fabricate(folder, range(2))
    for renderer, name, settings in (
        ("main_table", "table", {}),
        ("ledger", "claims", {}),
        ("sweep", "curve", {"axes": ["beta"], "metrics": ["mlid"]}),
    ):
        path = runs.spec(renderer, name, base=BASE, **settings)
        content = yaml.safe_load(path.read_text()) | {"title": f"The {name}"}
        path.write_text(yaml.safe_dump(content | {"category": "Claims" if name == "claims" else "Tables"}))
        if name != "curve":
            render(path)
    return runs


def test_the_page_says_scale_seeds_and_what_differs_and_links_every_file(made) -> None:
    path = build_site(made.root)
    assert path == made.root / "index.html"
    text = path.read_text()
    assert "<h1>LDReg at the demo scale</h1>" in text
    assert "40 epochs, batch size 256, 2 seeds (0, 1). Differs from the paper: digits instead of" in text
    for suffix in ("csv", "md", "tex"):
        assert f'href="exhibits/table.{suffix}"' in text
    assert 'href="exhibits/claims.json"' in text
    assert "Runs</dt><dd>0 of 14 trained" in text and "2 of 3 made" in text
    assert "The curve (<code>snakemake curve</code>)" in text
    assert "curve.png" not in text


def test_it_is_in_the_order_asked_for_and_the_same_each_time(made) -> None:
    first = build_site(made.root, ["table", "claims"]).read_text()
    assert first.index('id="table"') < first.index('id="claims"')
    assert "Not made yet" not in first
    other = build_site(made.root, iter(["claims", "table"])).read_text()
    assert other.index('id="claims"') < other.index('id="table"')
    assert build_site(made.root, ["table", "claims"]).read_text() == first


def test_tables_and_figures_are_shown_by_number_and_others_as_declared() -> None:
    names = {"figure5": "Figures", "table12": "Tables", "significance": "Tables", "table2": "Tables"}
    names |= {"surface": "Mine", "measures": "Mine", "figure2cd": "Figures", "table1_simclr": "Tables"}
    shown = [
        Shown(name, "", "", "", category, "", (), Path(), Path(), {}) for name, category in names.items()
    ]
    assert [each.name for each in sorted(shown, key=_place)] == [
        *("table1_simclr", "table2", "table12", "significance", "figure2cd", "figure5"),
        *("surface", "measures"),
    ]


def test_notes_are_folded_and_what_all_share_is_said_once(made) -> None:
    text = build_site(made.root).read_text()
    head, _, below = text.partition("</header>")
    for words in ("t-interval over seeds", "paired by seed", "mLID is estimated by", "Effective rank is"):
        assert words in head
    assert "mLID is estimated by" not in below and "± and brackets" not in text
    notes = below.split("<details>")[1].split("</details>")[0]
    assert "The runs here are those of the demo scale" in notes and "Differs from the paper" in notes
    assert "Numbers are means over 2 seeds." in notes
    assert "How each was tested</summary>" in below and "<details open" not in text


def test_the_summary_of_most_runs_opens_the_page(made) -> None:
    for name, runs in (("small", made.folders[:4]), ("large", made.folders)):
        path = made.spec("summary", name, runs, base=BASE)
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"category": "Figures"}))
        render(path)
    text = build_site(made.root).read_text()
    assert text.index('<article class="exhibit" id="large"') < text.index("<dl")
    assert text.index("</header>") < text.index('<article class="exhibit" id="small"')
    assert text.count('id="large"') == 1


def test_what_is_declared_is_shown_and_nothing_else(made) -> None:
    render(made.root / "exhibits/curve.spec.yaml")
    (made.root / "exhibits.yaml").write_text("exhibits: [table, curve]\n")
    assert build_site(made.root).read_text() == build_site(made.root, ["table", "curve"]).read_text()
    assert "The claims" not in build_site(made.root).read_text()


def test_a_figure_keeps_its_shape_and_an_exhibit_in_part_is_not_made(made) -> None:
    files = render(made.root / "exhibits/curve.spec.yaml")
    width, height = png_size(files[0])
    text = build_site(made.root).read_text()
    assert '<img src="exhibits/curve.png"' in text and 'href="exhibits/curve.pdf"' in text
    assert f'width="{round(width * 0.64)}" height="{round(height * 0.64)}"' in text
    (made.root / "exhibits/curve.csv").unlink()
    assert "curve.png" not in build_site(made.root).read_text()


def test_training_time_is_summed_where_runs_say_it(made) -> None:
    for folder, content in zip(
        made.folders, ({"wall_seconds": 90, "device": "cpu"}, {"imported": {}}), strict=False
    ):
        Path(folder, "summary.json").write_text(json.dumps(content))
    text = build_site(made.root).read_text()
    assert "1.5 min (CPU)" in text and "2 of 14 trained" in text


def test_an_exhibit_may_need_no_run(made) -> None:
    path = made.root / "exhibits/table.spec.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"runs": []}))
    text = build_site(made.root, ["table"]).read_text()
    assert "The table" in text and "At the demo scale:" not in text and "<dt>Data</dt>" not in text


def test_points_without_runs_are_told_with_scale_and_seeds(made) -> None:
    path = made.root / "exhibits/figure3.spec.yaml"
    content = yaml.safe_load((made.root / "exhibits/table.spec.yaml").read_text())
    content |= {"exhibit": "figure3", "renderer": "figure3", "settings": {}, "runs": []}
    path.write_text(yaml.safe_dump(content))
    (made.root / "exhibits/figure3.json").write_text(json.dumps({"seeds": [0, 3]}))
    for suffix in ("pdf", "csv"):
        path.with_name(f"figure3.{suffix}").write_bytes(b"")
    path.with_name("figure3.png").write_bytes(render(made.root / "exhibits/curve.spec.yaml")[0].read_bytes())
    text = build_site(made.root, ["figure3"]).read_text()
    assert "At the demo scale: 2,000 points in the plane, 2 seeds (0, 3).</p>" in text


def test_the_points_told_are_those_computed() -> None:
    from ldreg.plane.experiments import ANCHOR_POINTS, POINTS

    assert RENDERERS["figure1"].synthetic.points == (
        f"{ANCHOR_POINTS:,} points in the plane (a, b) and {POINTS:,} (c, d)"
    )
    assert RENDERERS["figure3"].synthetic.points == f"{POINTS:,} points in the plane"


def test_mistakes_are_told_in_one_line(made, tmp_path) -> None:
    with pytest.raises(LdregError, match="no exhibit is declared"):
        build_site(tmp_path)
    with pytest.raises(LdregError, match=r"exhibit: 'tabel' is unknown; did you mean 'table'\?"):
        build_site(made.root, ["tabel"])
    render(made.root / "exhibits/curve.spec.yaml")
    (made.root / "exhibits/curve.png").write_bytes(b"")
    with pytest.raises(LdregError, match=r"curve\.png: not a PNG file"):
        build_site(made.root)
    assert not (made.root / "index.html").exists()


def test_how_accuracy_is_measured_otherwise() -> None:
    text = measured_otherwise({"linear_epochs": 60, "linear_batch_size": 4096}, PAPER)
    assert "epochs (60 instead of 90)" in text and "batch size" not in text
    assert "on stored representations instead of LARS)" in text
    assert "(no crops: stored representations instead of 0.08\u20131)" in text


def test_markdown_becomes_tables_in_boxes_without_title_and_caption() -> None:
    text = body(
        "## Title\n\nThe\ncaption.\n\n### One & two\n\n"
        "| a | b |\n| - | -: |\n| x | not run |\n|  | supported |\n\n- A note.\n\n### More\n\n- One\n\n"
        "| c |\n| - |\n\n- Its note.",
        "The caption.",
        "Main results",
    )
    assert "Title" not in text and "caption" not in text
    assert (
        '<div class="table" role="region" tabindex="0" aria-label="Main results: One &amp; two"><table>'
        in text
    )
    assert '<tr class="more">' in text and '<th scope="col">a</th>' in text
    assert 'class="quiet">not run' in text and '<span class="verdict supported">supported</span>' in text
    assert "<summary>More</summary>\n<ul>" in text and "<h4>More" not in text and text.count("<details>") == 1
    assert "A note." in text and "Its note." not in text  # those at the end are told by the page
    assert "<p>Other <b>." in body("## Title\n\nOther <b>.\n", "The caption.")
    assert "&lt;script&gt;" in body("a `<script>` b")


def test_a_screenshot_needs_a_browser(made, monkeypatch) -> None:
    monkeypatch.setattr(screenshot, "BROWSERS", ("no-such-browser",))
    with pytest.raises(LdregError, match="a screenshot needs Chromium: apt-get install chromium"):
        screenshot.screenshot(build_site(made.root), made.root / "page.png")
    monkeypatch.setattr(screenshot, "BROWSERS", ("false",))
    with pytest.raises(LdregError, match=r"no picture of .*index\.html: it said nothing"):
        screenshot.screenshot(made.root / "index.html", made.root / "page.png")
    assert not (made.root / "page.png").exists()
