"""Exhibits that take the runs of others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldreg.config.result_paths import run_folder
from ldreg.errors import LdregError
from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.workflow.inputs import exhibit_inputs, exhibit_spec_file, write_inputs
from ldreg.workflow.scale import Scale


def taking(*others: str, **own: Any) -> Callable[[dict[str, Any]], None]:
    """A scale with two exhibits and one that takes runs of `others`."""
    block = {"renderer": "ledger", "title": "t", "caption": "c", "category": "Claims"}

    def change(content: dict[str, Any]) -> None:
        content["seeds"] = [3, 4]
        content["exhibits"] = {
            "mine": {**block, "runs_of": list(others), **own},
            "table1_simclr": {"seeds": [4, 5]},
            "claims": None,
        }
        content["core"] = []

    return change


def test_an_exhibit_may_take_the_runs_of_others_with_their_seeds(demo: Callable[..., Scale]) -> None:
    """What this scale does not declare adds nothing."""
    scale = demo(taking("claims", "table1_simclr", "table16"))
    assert list(scale.runs_of("mine")) == list(scale.runs_of("claims") | scale.runs_of("table1_simclr"))
    assert len(scale.runs_of("mine")) == len(scale.runs) == 8 * 2 + 2 * 2 - 2
    grid = {"method": "simclr", "regularizer": "none", "jitter": [0.5]}
    scale = demo(taking("table1_simclr", runs=[grid], seeds=[7]))
    assert list(scale.runs_of("mine")) == [
        "simclr-small_cnn-jitter0.5/none/seed7",
        *scale.runs_of("table1_simclr"),
    ]


def test_with_the_runs_of_others_come_the_files_that_these_read(
    demo: Callable[..., Scale], tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        table2 = content["exhibits"]["table2"]
        taking("claims", "table2")(content)
        content["exhibits"]["table2"] = table2

    scale = demo(change)
    inputs = exhibit_inputs(Path("results"), scale, "mine")
    transferred = [path for path in inputs if path.name == "mnist.json"]
    assert len(transferred) == len(scale.runs_of("table2")) and len(set(inputs)) == len(inputs)
    write_inputs(scale, tmp_path)
    assert read_exhibit(exhibit_spec_file(tmp_path, scale, "mine")).runs == tuple(
        run_folder(tmp_path, "demo", run) for run in scale.runs_of("mine")
    )


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (("tabel1",), r"scale.yaml: exhibits.mine.runs_of: 'tabel1' is unknown; did you mean 'table1'"),
        (
            ("claims", "mine"),
            r"exhibits.mine.runs_of: 'mine' is not allowed; it takes the runs of mine itself",
        ),
        (("table16",), r"exhibits.mine.runs_of: no exhibit of this scale; renderer ledger needs some"),
        ((), r"exhibits.mine.runs: missing; renderer ledger needs some"),
    ],
)
def test_exhibits_whose_runs_cannot_be_taken(
    demo: Callable[..., Scale], others: tuple[str, ...], message: str
) -> None:
    with pytest.raises(LdregError, match=message):
        demo(taking(*others))
