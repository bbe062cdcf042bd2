"""What every renderer declares is true of it."""

import pytest

from ldreg.exhibits import _REGISTERED, RENDERERS
from ldreg.exhibits.renderer import Renderer


def test_no_two_renderers_share_a_key() -> None:
    assert len(RENDERERS) == len(_REGISTERED)


@pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS)
def test_the_drawing_function_is_called_like_the_renderer(renderer: Renderer) -> None:
    assert callable(renderer.function) and renderer.function.__name__ == renderer.key


@pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS)
def test_pages_are_made_from_markdown_and_figures_have_their_numbers(renderer: Renderer) -> None:
    assert ("html" in renderer.suffixes) == ("md" in renderer.suffixes)
    assert ("png" in renderer.suffixes) <= ({"pdf", "csv"} <= {*renderer.suffixes})


def test_what_needs_no_runs_reads_its_numbers() -> None:
    synthetic = [renderer for renderer in RENDERERS.values() if not renderer.needs_runs]
    assert {renderer.key for renderer in synthetic} == {"figure1", "figure3"}
    for renderer in synthetic:
        assert renderer.scale_files(renderer.settings()) == (renderer.synthetic.numbers,)
