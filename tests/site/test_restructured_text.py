"""Captions as Snakemake's report reads them: docutils finds nothing to complain of, and no markup."""

from pathlib import Path

import pytest
from docutils.core import publish_doctree

from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.files import read_yaml
from ldreg.site.differences import about_runs, differences
from ldreg.site.restructured_text import plain_text
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"
PAPER = PaperSettings(CONFIG / "paper" / SETTINGS_FILE)


def shown(text: str) -> str:
    """The text of a document that is one paragraph of plain text."""
    tree = publish_doctree(plain_text(text), settings_overrides={"report_level": 1, "halt_level": 1})
    (paragraph,) = tree.children
    assert paragraph.tagname == "paragraph" and [each.tagname for each in paragraph.children] == ["#text"]
    return paragraph.astext()


@pytest.mark.parametrize("name", read_yaml(CONFIG / "exhibits.yaml"))
def test_every_caption_is_plain_text(name: str) -> None:
    caption = read_yaml(CONFIG / "exhibits.yaml")[name]["caption"]
    assert shown(caption) == caption


def test_what_is_said_of_runs_is_plain_text() -> None:
    scale = Scale.read(CONFIG / "demo.yaml")
    for exhibit in scale.exhibits:
        if runs := [spec.model_dump() for spec in scale.runs_of(exhibit).values()]:
            text = f"{about_runs(scale.name, runs)}. {differences(exhibit, runs, PAPER)}"
            assert shown(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "(a) one, |b| two",
        "1. a_ *b* **c** ``d`` `e <f>`_ [1]_ [x]",
        "- :role:`x` of train_images::",
        ".. note:: a::b\\c",
        "|x",
        "a\\",
    ],
)
def test_markup_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_nothing_stays_nothing() -> None:
    assert plain_text("") == ""
