import json
from pathlib import Path

import pytest
import yaml

from ldreg.files import read_yaml
from ldreg.inputs import PRETRAINED, run_folder
from ldreg.plan import plan
from ldreg.scale import Scale

CONFIG = Path(__file__).resolve().parents[1] / "config"


def test_the_paper_scale_is_counted_from_the_papers_hours(tmp_path):
    text = plan(CONFIG / "imagenet.yaml", tmp_path)
    assert "7 to pretrain and to measure, 1 seed(s); 0 pretrained already" in text
    assert "778 pretraining (7 x 27.8 h x 4)" in text  # 7 x 27.8 x 4 = 778.4
    assert "the paper: Table 4" in text
    assert "0.66 GB of encoders" in text  # 7 x 23.5 million weights of 4 bytes


@pytest.fixture
def scale_file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(CONFIG.parent)
    content = read_yaml(CONFIG / "demo.yaml")
    content["cost"]["pretrain_hours"] = 5.0
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def finish(results: Path, run: str, spec_hash: str, seconds: float, epochs: int) -> None:
    folder = run_folder(results, "demo", run)
    folder.mkdir(parents=True)
    for name in PRETRAINED:
        (folder / name).write_text("")
    summary = {"spec_hash": spec_hash, "wall_seconds": seconds, "epochs": epochs}
    (folder / "summary.json").write_text(json.dumps(summary))


def test_finished_runs_replace_the_estimate_unless_the_scale_has_changed(scale_file, tmp_path):
    results = tmp_path / "results"
    runs = list(Scale.read(scale_file).runs.items())
    assert "21 x 5 h x 1" in plan(scale_file, results)
    finish(results, runs[0][0], runs[0][1].hash, seconds=3600, epochs=24)
    finish(results, runs[1][0], "0" * 12, seconds=36000, epochs=24)  # of another spec by now
    text = plan(scale_file, results)
    assert "1 pretrained already" in text and "21 x 1 h x 1" in text
