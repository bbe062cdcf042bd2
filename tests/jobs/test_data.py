"""The jobs that prepare or check data."""

import json
import shutil
from functools import partial

from ldreg.cli import main
from ldreg.data.availability import AGAIN
from ldreg.data.fetch import Absent
from ldreg.errors import LdregError


def test_a_set_that_cannot_be_had_is_no_failure_where_it_is_only_offered(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    output = ["--output", "data/food101/dataset.json"]

    def refuse(name, root, kind=Absent):
        raise kind(f"{name}: not to be had")

    monkeypatch.setattr("ldreg.jobs.data.prepare", refuse)
    assert main(["data", "food101", *output]) == 2
    assert main(["data", "food101", *output, "--offer", "offer.json"]) == 0
    assert json.loads((tmp_path / "offer.json").read_text()) == {
        "dataset": "food101",
        "unavailable": f"food101: not to be had; {AGAIN}",
    }
    assert "food101 is left out: food101: not to be had" in capsys.readouterr().err
    # What is there and damaged is a mistake: leaving it out would hide it.
    (tmp_path / "offer.json").unlink()
    monkeypatch.setattr("ldreg.jobs.data.prepare", partial(refuse, kind=LdregError))
    assert main(["data", "food101", *output, "--offer", "offer.json"]) == 2
    assert not (tmp_path / "offer.json").exists()


def test_coco_is_checked_in_all_its_parts(composed, tmp_path, capsys):
    """A composed set under COCO's names, of which one part after the other is missing."""
    _, data = composed
    coco, output = tmp_path / "coco", tmp_path / "coco.json"
    for split in ("train", "val"):
        shutil.copytree(data.parent / split, coco / f"{split}2017")
        (coco / "annotations").mkdir(exist_ok=True)
        shutil.copy(
            data.parent / f"annotations/instances_{split}.json",
            coco / f"annotations/instances_{split}2017.json",
        )
    arguments = ["coco", str(coco), "--output", str(output)]
    assert main(arguments) == 0
    found = json.loads(output.read_text())
    assert (found["train_images"], found["val_images"], found["categories"]) == (8, 4, 10)
    output.unlink()
    for part in (
        "train2017",
        "val2017",
        "annotations/instances_train2017.json",
        "annotations/instances_val2017.json",
    ):
        (coco / part).rename(tmp_path / "aside")
        assert main(arguments) == 2
        assert f"error: {coco / part}: no such f" in capsys.readouterr().err
        (tmp_path / "aside").rename(coco / part)
    image = next((coco / "val2017").iterdir())
    image.unlink()
    assert main(arguments) == 2
    assert f"error: {image}: no such file, but " in capsys.readouterr().err
    assert not output.exists() and len(list(coco.rglob("*.json"))) == 2
