"""index.html in a real, headless Chromium: nothing overlaps, everything loads, the console stays empty."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ldreg.site.screenshot import screenshot
from ldreg.site.section import png_size

WIDTHS = (1280, 400)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overlaps_or_is_cut_off_and_all_can_be_read(site, page, width, scheme) -> None:
    page.open(site / "index.html", width, scheme)
    assert page.findings() == []
    assert page.driver.execute_script("return innerWidth") == width
    assert page.driver.execute_script("return document.images.length") == 1


def test_it_fits_on_paper(site, page) -> None:
    page.open(site / "index.html", 680, media="print")  # A4 without its margins
    assert page.findings() == []


def test_every_link_leads_somewhere_and_nothing_comes_from_elsewhere(site, page) -> None:
    page.open(site / "index.html", 1280)
    links = page.driver.execute_script("return [...document.querySelectorAll('a')].map((a) => a.href)")
    assert len(links) > 10
    for link in map(urlsplit, links):
        assert link.scheme == "file" and Path(unquote(link.path)).is_file()
        if link.fragment:
            assert page.driver.execute_script("return !!document.getElementById(arguments[0])", link.fragment)
    loaded = "return [...document.querySelectorAll('[src], link')].map((each) => each.src || each.href)"
    assert page.driver.execute_script(loaded) == ["data:,", (site / "exhibits/figure.png").as_uri()]
    assert "url(" not in (site / "index.html").read_text()


def test_a_link_of_the_contents_scrolls_to_its_exhibit(site, page) -> None:
    page.open(site / "index.html", 400)
    page.driver.execute_script("document.querySelector('.contents a[href=\"#claims\"]').click()")
    top = "return document.getElementById('claims').getBoundingClientRect().top"
    page.driver.execute_async_script("onscrollend = arguments[0]; setTimeout(arguments[0], 3000)")
    assert 0 <= page.driver.execute_script(top) < 100


def test_it_reads_the_same_without_scripts(site, page) -> None:
    assert "<script" not in (site / "index.html").read_text()
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(site / "index.html", 400)
        assert "Claims" in page.driver.title or "LDReg" in page.driver.title
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


BROKEN = {
    "page: ": ("</main>", "<div style='width: 2000px'>x</div></main>"),
    "image: exhibits/figure.png is not shown": ("src=", "src='none.png' data-src="),
    "image: exhibits/figure.png has no text": ("alt=", "data-alt="),
    "beyond: ": (".facts dd { margin: 0;", ".facts dd { margin: 0; width: 30rem;"),
    "overlap: ": ("</style>", ".exhibit { margin-bottom: -3rem; }</style>"),
    "clipped: td": ("</style>", "td { max-width: 2rem; overflow: hidden; }</style>"),
    "clipped: div.table": ("overflow-x: auto;", "overflow-x: hidden;"),
    "keyboard: ": ('tabindex="0"', ""),
    "contrast: ": ("--quiet: #5a626b", "--quiet: #aab2bb"),
    "console: ": ("</main>", "<script>console.error('oh')</script></main>"),
}


@pytest.mark.parametrize("finding", BROKEN)
def test_the_checks_find_what_is_broken(site, page, finding) -> None:
    old, new = BROKEN[finding]
    text = (site / "index.html").read_text()
    assert old in text
    broken = site / "broken.html"
    broken.write_text(text.replace(old, new))
    page.open(broken, 400)
    expected = finding.replace("exhibits/figure.png", "none.png") if "not shown" in finding else finding
    assert any(each.startswith(expected) for each in page.findings())


def test_a_picture_of_it(site, page, tmp_path) -> None:
    # `page` skips where there is no Chromium.
    picture = screenshot(site / "index.html", tmp_path / "page.png", height=700)
    assert png_size(picture) == (1280, 700)
    assert len(picture.read_bytes()) > 20_000  # more than an empty sheet
