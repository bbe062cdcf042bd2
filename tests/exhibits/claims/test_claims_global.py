"""Claims about local against global dimension, of representations and of points in the plane."""

from typing import Any

import pytest
from ledgers import HALF, entries, ledger, pair, write

from ldreg.errors import LdregError


def plane(runs: Any, gid: float = 2.0, offsets: tuple[float, ...] = (-0.01, 0.0, 0.01)) -> None:
    """What Figures 1 and 3 have of three seeds: a cloud of mLID 1.1; two targets, a cloud for comparison."""
    seeds = {"seeds": [0, 1, 2], "k": 20}
    cloud = {"gid": [gid] * 3, "mlid": [1.0, 1.1, 1.2]}
    panels = {"1.0": {"mlid": [1.0, 1.01, 1.02]}, "1.2": {"mlid": [1.2 + offset for offset in offsets]}}
    panels["uniform"] = {"mlid": [2.0] * 3}
    folder = runs.root / "exhibits"
    folder.mkdir(exist_ok=True)
    write(folder, "figure1.json", {**seeds, "panels": {"cloud_1.1": cloud}})
    write(folder, "figure3.json", {**seeds, "panels": panels})


def test_representations_have_fewer_dimensions_locally(runs) -> None:
    for seed in range(3):
        runs.add(seed, rank=12.0 + seed, mlid=5.0)
    claim = ledger(runs)[0]["collapses_locally"]
    assert (claim["verdict"], claim["estimate"]) == ("supported", pytest.approx(8))
    assert claim["high"] == pytest.approx(8 + HALF) and claim["paper"] == pytest.approx(470.2 - 18.8)


def test_representations_of_more_dimensions_locally_contradict(runs) -> None:
    for seed in range(3):
        runs.add(seed, rank=3.0 + 0.1 * seed, mlid=5.0)
    assert ledger(runs)[0]["collapses_locally"]["verdict"] == "contradicted"


def test_one_context_a_method_and_encoder_is_enough(runs) -> None:
    for strength in (0.5, 1.0):
        pair(runs, (4.0, 5.0, 6.0), jitter=strength)
    pair(runs, (4.0, 5.0, 6.0), method="byol")
    found = [entry["context"] for entry in entries(runs)[0] if entry["id"] == "collapses_locally"]
    assert len(found) == 2 and found[1] == "BYOL, small CNN"


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
