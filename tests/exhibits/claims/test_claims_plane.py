"""Claims about points in the plane."""

from typing import Any

import pytest
from ledgers import ledger, pair, write

from ldreg.errors import LdregError


def plane(runs: Any, gid: float = 2.0, offsets: tuple[float, ...] = (-0.01, 0.0, 0.01)) -> None:
    """What Figures 1 and 3 have of three seeds: a cloud of mLID 1.1; two targets, a cloud for comparison."""
    seeds = {"seeds": [0, 1, 2], "k": 20}
    cloud = {"gid": [gid] * 3, "mlid": [1.0, 1.1, 1.2], "fr_distance": [0.6] * 3}
    panels = {"1.0": {"mlid": [1.0, 1.01, 1.02]}, "1.2": {"mlid": [1.2 + offset for offset in offsets]}}
    panels["uniform"] = {"mlid": [2.0] * 3}
    folder = runs.root / "exhibits"
    folder.mkdir(exist_ok=True)
    write(folder, "figure1.json", {**seeds, "panels": {"cloud_1.1": cloud}})
    write(folder, "figure3.json", {**seeds, "panels": panels})


def test_the_plane_is_read_only_if_it_is_asked_for(runs) -> None:
    pair(runs, (4.0, 5.0, 6.0))
    plane(runs)
    assert ledger(runs)[0]["targets_are_reached"]["verdict"] == "not tested"
    with pytest.raises(LdregError, match=r"figure1\.json: no such file"):
        (runs.root / "exhibits/figure1.json").unlink()
        ledger(runs, plane=True)


@pytest.mark.parametrize(
    ("gid", "expected"), [(2.0, "supported"), (1.2, "inconclusive"), (0.5, "contradicted")]
)
def test_points_fill_the_plane_and_collapse_locally(runs, gid: float, expected: str) -> None:
    pair(runs, (4.0, 5.0, 6.0))
    plane(runs, gid=gid)
    claim = ledger(runs, plane=True)[0]["plane_collapses_locally"]  # gid - 1.1 +- 0.25
    assert (claim["verdict"], claim["estimate"]) == (expected, pytest.approx(gid - 1.1))


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ((-0.01, 0.0, 0.01), "supported"),  # 0 +- 0.025
        ((-0.03, 0.0, 0.03), "inconclusive"),  # 0 +- 0.075
        ((0.11, 0.12, 0.13), "contradicted"),
    ],
)
def test_targets_are_reached(runs, offsets: tuple[float, ...], expected: str) -> None:
    pair(runs, (4.0, 5.0, 6.0))
    plane(runs, offsets=offsets)
    claims, markdown = ledger(runs, plane=True)
    claim = claims["targets_are_reached"]
    assert claim["verdict"] == expected and claim["context"] == "Points in the plane"
    assert "targets 1.0, 1.2;" in claim["test"] and "### Points in the plane" in markdown
