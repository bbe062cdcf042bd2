import csv
import io
import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ldreg.catalogue.measurements import MEASURED, PRETRAINED
from ldreg.config.execution import Execution
from ldreg.config.run_spec import write_spec
from ldreg.errors import LdregError
from ldreg.evaluation.features import extract
from ldreg.evaluation.knn import holdout_split, knn_accuracy
from ldreg.jobs.measure import measure_job
from ldreg.jobs.pretrain import pretrain_job
from ldreg.lid import geometric_mean, lid_mom
from ldreg.models.networks import build_backbone

RUN = "simclr-small_cnn/ldreg_l1-beta0.1-k8/seed0"
EVALUATION = {
    "linear_epochs": 2,
    "linear_learning_rates": [0.1],
    "lid_ks": [8],
    "lid_batch_rows": 64,
    "knn_k": 5,
}


class StubTracker:
    """Notes what it is told, and which files there are when the job's block ends."""

    opened: list["StubTracker"]

    def __init__(self, folder, kind, results, tags, resumed=False):
        self.folder, self.kind, self.results, self.tags = folder, kind, results, tags
        self.points = []
        self.opened.append(self)

    def __enter__(self):
        return self

    def __exit__(self, exception_type, *_):
        self.error = exception_type
        self.files = {path.name for path in self.folder.iterdir()}

    def log(self, metrics, step):
        self.points.append((step, metrics))


@pytest.fixture
def trackers(monkeypatch):
    StubTracker.opened = []
    for job in ("pretrain", "measure"):
        monkeypatch.setattr(f"ldreg.jobs.{job}.Tracker", StubTracker)
    return StubTracker.opened


@pytest.fixture
def job(tmp_path, tiny_spec, data_root, trackers):
    """A run folder with its spec, and a function that trains it."""

    class Job:
        spec = tiny_spec(regularizer="ldreg_l1")
        folder = tmp_path / "results/tiny/runs" / RUN
        data = data_root / "digits/dataset.json"
        results = tmp_path / "results"
        terminal = (tmp_path / "terminal.txt").open("w+")

        def pretrain(self, **execution):
            spec, way = self.folder / "spec.yaml", Execution(**execution)
            pretrain_job(spec, self.data, way, self.results, self.terminal)

        def measure(self):
            evaluation = tmp_path / "evaluation.yaml"
            evaluation.write_text(yaml.safe_dump(EVALUATION))
            spec = self.folder / "spec.yaml"
            measure_job(spec, evaluation, self.data, Execution(), self.results)

        def files(self):
            return {path.name for path in self.folder.iterdir()}

        def read(self, name):
            return json.loads((self.folder / name).read_text())

    made = Job()
    write_spec(made.folder / "spec.yaml", made.spec, RUN)
    yield made
    made.terminal.close()


def test_jobs_write_the_declared_files_and_nothing_else(job):
    job.pretrain()
    assert job.files() == {"spec.yaml", *PRETRAINED}
    job.measure()
    assert job.files() == {"spec.yaml", *PRETRAINED, *MEASURED}
    assert {path.name for path in job.results.iterdir()} == {"tiny"}


def test_pretraining_is_summarised_as_documented(job, digits):
    job.pretrain(precision="bf16", micro_batch=16)
    summary = job.read("summary.json")
    assert {"wall_seconds", "images_per_second", "device", "git_commit", "git_dirty"} < summary.keys()
    expected = {
        "scale": "tiny",
        "run": RUN,
        "spec_hash": job.spec.hash,
        "dataset": "digits",
        "dataset_digest": digits.digest,
        "epochs": 2,
        "steps": 6,
        "world_size": 1,
        "threads": 1,
        "precision": "bf16",
        "micro_batch": 16,
        "accumulation": "cached",
        "corrupt_images": 0,
    }
    assert {key: summary[key] for key in expected} == expected
    assert summary["versions"].keys() == {"python", "ldreg", "torch", "torchvision"}
    assert 0 < summary["wall_seconds"] < 600
    assert summary["images_per_second"] > 1
    with (job.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *(
            "epoch",
            "loss",
            "ssl_loss",
            "regularizer",
            "mlid",
            "mlid_mle_32",
            "mlid_mle_512",
            "effective_rank",
        ),
        *("probe_top1", "lr", "images_per_second", "knn_top1"),
    ]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0]["knn_top1"] == ""  # not measured
    assert {key: float(value) if value else None for key, value in rows[-1].items()} == summary["final"]


def test_measuring_starts_from_the_stored_encoder(job, few_digits):
    job.pretrain()
    job.measure()
    encoder, _ = build_backbone("small_cnn", 1)
    encoder.load_state_dict(load_file(job.folder / "encoder.safetensors"))
    # The last epoch's monitor saw the very network that was stored: it is in eval mode there as here.
    features = extract(encoder, few_digits.train.images, 8, torch.device("cpu"))
    labels = few_digits.train.labels
    fit, holdout = holdout_split(labels, 0.2)
    top1 = knn_accuracy(features[fit], labels[fit], features[holdout], labels[holdout], 10)["top1"]
    assert top1 == job.read("summary.json")["final"]["knn_top1"]
    features = extract(encoder, few_digits.test.images, 8, torch.device("cpu"))
    (entry,) = [
        e
        for e in job.read("dimensionality.json")["lid"]
        if (e["estimator"], e["batch_rows"]) == ("mom", None)
    ]
    assert entry["mlid"] == pytest.approx(float(geometric_mean(lid_mom(features, k=8))), rel=1e-5)
    assert job.read("knn.json")["k"] == 5
    assert job.read("linear.json")["lr"] == 0.1


def test_a_repeated_job_gives_the_same_results(job):
    found = []
    for _ in range(2):
        job.pretrain()
        job.measure()
        found.append([(job.folder / name).read_bytes() for name in ("encoder.safetensors", *MEASURED)])
    assert found[0] == found[1]


def test_jobs_are_tracked_epoch_by_epoch_and_with_their_files(job, digits, trackers):
    job.pretrain()
    job.measure()
    pretraining, measuring = trackers
    assert (pretraining.kind, measuring.kind) == ("pretrain", "measure")
    assert pretraining.files >= set(PRETRAINED)
    assert measuring.files >= set(MEASURED)
    final = job.read("summary.json")["final"]
    assert [step for step, _ in pretraining.points] == [1, 2]
    assert pretraining.points[-1][1] == {key: value for key, value in final.items() if key != "epoch"}
    for tracker in trackers:
        assert (tracker.folder, tracker.results) == (job.folder, job.results)
        assert tracker.tags.keys() == {"dataset_digest", "git_commit", "git_dirty"}
        assert tracker.tags["dataset_digest"] == digits.digest
    measured_by = {key: measuring.tags[key] for key in ("git_commit", "git_dirty")}
    assert measured_by.items() <= job.read("dimensionality.json").items()


def test_progress_reaches_the_terminal(job):
    job.pretrain()
    job.terminal.seek(0)
    last = job.terminal.read().splitlines()[-1]
    assert RUN in last
    assert "2/2 epochs" in last


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(job, trackers, monkeypatch, error):
    def stop(self, metrics, step):
        if step == 2:
            raise error

    monkeypatch.setattr(StubTracker, "log", stop)
    with pytest.raises(error):
        job.pretrain()
    assert job.files() == {"spec.yaml"}
    assert trackers[0].error is error


def test_an_interrupted_measurement_leaves_nothing(job, monkeypatch):
    job.pretrain()
    monkeypatch.setattr("ldreg.evaluation.measure.linear_probe", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job.measure()
    assert job.files() == {"spec.yaml", *PRETRAINED}


def test_missing_inputs_are_told_before_anything_is_done(job, tmp_path, trackers):
    with pytest.raises(
        LdregError, match=r"/encoder.safetensors: no such file; train it first: ldreg pretrain"
    ):
        job.measure()
    job.data = tmp_path / "nowhere/digits/dataset.json"
    with pytest.raises(LdregError, match=r"/nowhere/digits/dataset.json: not found; .*ldreg data digits"):
        job.pretrain()
    assert trackers == []
    assert job.files() == {"spec.yaml"}


def test_what_cannot_pay_is_told_before_training_and_changes_nothing(
    tmp_path, tiny_spec, data_root, monkeypatch
):
    monkeypatch.setattr("ldreg.jobs.shared.available_cpus", lambda: 1)
    monkeypatch.setattr("ldreg.runtime.advice.available_cpus", lambda: 1)
    monkeypatch.setattr("ldreg.jobs.pretrain.Tracker", StubTracker)
    monkeypatch.setattr(StubTracker, "opened", [], raising=False)
    write_spec(tmp_path / "run/spec.yaml", tiny_spec(), RUN)
    terminal = io.StringIO()
    execution = Execution(threads=3)
    pretrain_job(tmp_path / "run/spec.yaml", data_root / "digits/dataset.json", execution, tmp_path, terminal)
    first = terminal.getvalue().splitlines()[0]
    assert first == "execution.threads: 3 are more than the 1 processors that this job may use"
    assert torch.get_num_threads() == 1
