"""The job that computes what Figures 1 and 3 show."""

import json

import pytest
import torch

import ldreg.jobs.synthetic
from ldreg.jobs.synthetic import synthetic_job
from ldreg.plane.experiments import figure1, figure3
from ldreg.tracking.job_record import read_record


@pytest.fixture(autouse=True)
def threads():
    """The job computes on one thread; others go on as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_one_seed_gives_the_same_file_each_time_and_several_their_numbers(tmp_path, monkeypatch) -> None:
    small = {"points": 200, "steps": 3}
    monkeypatch.setattr(ldreg.jobs.synthetic, "figure1", lambda seeds: figure1(seeds, **small, width=32))
    monkeypatch.setattr(ldreg.jobs.synthetic, "figure3", lambda seeds: figure3(seeds, **small))
    for figure in ("figure1", "figure3"):
        files = [tmp_path / str(place) / f"{figure}.json" for place in range(3)]
        for path, seeds in zip(files, ([3], [3], [3, 4]), strict=True):
            synthetic_job(figure, seeds, path)
        assert files[0].read_bytes() == files[1].read_bytes()
        alone, both = (json.loads(path.read_text()) for path in files[1:])
        assert both["figure"] == figure and both["seeds"] == [3, 4]
        for name, panel in both["panels"].items():
            first = alone["panels"][name]
            assert panel.get("points") == first.get("points")
            for key in panel.keys() - {"points"}:
                assert panel[key][:1] == first[key] and len(panel[key]) == 2
        name = {"figure1": "cloud_1.1", "figure3": "1.0"}[figure]
        assert both["panels"][name]["fr_distance"][0] != both["panels"][name]["fr_distance"][1]


def test_the_numbers_of_all_seeds_are_recorded_where_a_scale_shows_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ldreg.jobs.synthetic, "figure3", lambda seeds: figure3(seeds, points=200, steps=3))
    (tmp_path / "figure3.spec.yaml").write_text("scale: demo\n")
    synthetic_job("figure3", [3, 4], tmp_path / "figure3.json")
    record = read_record(tmp_path / "records/synthetic-figure3.json")
    assert (record["kind"], record["scale"], record["files"]) == ("synthetic", "demo", ["figure3.json"])
    assert record["settings"]["seeds"] == [3, 4] and "panels" not in record["settings"]
    panel = json.loads((tmp_path / "figure3.json").read_text())["panels"]["1.2"]
    assert record["results"]["1.2_mlid"] == panel["mlid"] and len(panel["mlid"]) == 2
    assert not any("mlid_over_k" in name or "points" in name for name in record["results"])
