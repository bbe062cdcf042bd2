import json
from pathlib import Path

import pytest
import yaml

from ldreg.catalogue.measurements import PRETRAINED
from ldreg.config.result_paths import run_folder
from ldreg.files import read_yaml
from ldreg.workflow.plan import plan
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"


def test_the_paper_scale_is_counted_from_the_papers_hours(tmp_path):
    text = plan(CONFIG / "imagenet.yaml", tmp_path)
    assert "44 to pretrain and to measure, 1 seed(s); 0 pretrained already" in text
    # 36 runs of 100 epochs, 4 of 200, 2 of 1000, one of 90 and one of 120: 66.1 x 27.8 x 4 = 7350.
    assert "7350 pretraining (66.1 times 100 epochs x 27.8 h x 4)" in text
    assert "the paper: Table 4" in text
    # Table 2's four encoders, Table 3's six on all GPUs of a run: 6 x 29 x 4 = 696.
    assert "+ 4 transfer to 6 data sets (4 x 1 h x 1) + 696 detection (6 x 29 h x 4) = 10286" in text
    assert "time limit   50 h a job, of a pretraining at most 500 h" in text
    assert "not in it: 4 t-SNE, 2 LID in mini-batches, 10 step cost, 37 exhibits, fetching data" in text
    # 40 of ResNet-50 with 23.5 million weights, 4 of ViT-B/16 with 85.8, of 4 bytes each: 3.77 + 1.37.
    assert "5.14 GB of encoders" in text
    # Two at a time of VICReg's, whose projector has 151 million weights. BYOL's has 0.455 GB, as measured in
    # benchmarks/checkpoints_cpu.json.
    assert "about 2.86 GB of checkpoints for each pretraining that runs" in text


def test_runs_on_several_nodes_count_all_their_gpus(tmp_path):
    content = read_yaml(CONFIG / "imagenet.yaml")
    content["execution"] |= {"gpus": 8, "nodes": 2}
    for path in CONFIG.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "imagenet.yaml").write_text(yaml.safe_dump(content))
    assert "29401 pretraining (66.1 times 100 epochs x 27.8 h x 16)" in plan(
        tmp_path / "imagenet.yaml", tmp_path
    )


def test_jobs_of_unknown_length_are_counted_and_said_to_be_left_out(tmp_path):
    text = plan(CONFIG / "cifar10.yaml", tmp_path)
    assert "134 pretraining (134 times 200 epochs x 1 h x 1) + 6.7 measuring (134 x 0.05 h x 1) +" in text
    assert "+ 2.4 linear evaluation as in the paper (6 x 0.4 h x 1) = 143" in text
    # Table 2 has 2 encoders, Figure 4 4, lid_in_batches 2: of one seed, of Figure 4, and of three.
    assert (
        "not in it: 6 transfer to 3 data sets, 4 t-SNE, 6 LID in mini-batches, 30 step cost, 35 exhibits"
        in text
    )


@pytest.fixture
def scale_file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(CONFIG.parent)
    content = read_yaml(CONFIG / "demo.yaml")
    content["cost"]["pretrain_hours"] = 5.0
    content["exhibits"] = {name: content["exhibits"][name] for name in content["core"]}
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
    assert "(21 times 24 epochs x 5 h x 1)" in plan(scale_file, results)
    finish(results, runs[0][0], runs[0][1].hash, seconds=3600, epochs=24)
    finish(results, runs[1][0], "0" * 12, seconds=36000, epochs=24)  # of another spec by now
    text = plan(scale_file, results)
    assert "1 pretrained already" in text and "(21 times 24 epochs x 1 h x 1)" in text
