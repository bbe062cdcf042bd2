"""The measurements of a run, each declared in one block.

The command line, the rules of the workflow, `ldreg plan` and MLflow's log read these blocks. A measurement
with the key `example` is computed by `example_job` in `ldreg.jobs.example`; its Snakemake rule is `example`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatch

# The files that pretraining writes to a run's folder.
PRETRAINED = ("encoder.safetensors", "history.csv", "summary.json")


@dataclass(frozen=True)
class Measurement:
    """One measurement of a run.

    Attributes:
        key: the name of its rule and of its job, and its kind in MLflow.
        label: its name in `ldreg plan`; {datasets} is replaced by the number of data sets transferred to.
        files: the files that it writes to the run's folder; `*` stands for any part of a name.
        help: one line for `ldreg --help`.
        settings: the file in results/<scale> with the settings on which its results depend.
        for_every_run: whether every run is measured; otherwise only the runs whose exhibits read its files.
        needs_encoder: whether the run must be pretrained first.
        runs_like_pretraining: whether it uses all GPUs of a run, as pretraining does; otherwise it uses one.
        in_float32: whether it computes in float32, whatever a scale's `execution.precision` is.
        single_threaded: whether it must run on one thread for its result to be reproducible.
        takes_training_steps: whether it takes training steps and needs the options for accumulating
            gradients.
        resumes: whether it goes on from a checkpoint after an interruption.
        cost: the key in a scale's `cost` that states the time of one job.
        live: whether MLflow shows the job while it runs. Other jobs leave a record that is logged afterwards.
    """

    key: str
    label: str
    files: tuple[str, ...]
    help: str
    settings: str | None = None
    for_every_run: bool = False
    needs_encoder: bool = True
    runs_like_pretraining: bool = False
    in_float32: bool = False
    single_threaded: bool = False
    takes_training_steps: bool = False
    resumes: bool = False
    cost: str | None = None
    live: bool = False

    @property
    def command(self) -> str:
        """Its subcommand of `ldreg`."""
        return self.key.replace("_", "-")

    @property
    def has_plain_rule(self) -> bool:
        """Whether it uses the rule that is shared by all measurements without their own settings."""
        return self.settings is None

    def writes(self, name: str) -> bool:
        """Whether this measurement writes the file `name`, a path relative to a run's folder."""
        return any(fnmatch(name, pattern) for pattern in self.files)


MEASUREMENTS = {
    measurement.key: measurement
    for measurement in (
        Measurement(
            key="measure",
            label="measuring",
            files=("dimensionality.json", "knn.json", "linear.json"),
            help="measure a trained run's representations",
            settings="evaluation.yaml",
            for_every_run=True,
            cost="measure_hours",
            live=True,
        ),
        Measurement(
            key="linear_paper",
            label="linear evaluation as in the paper",
            files=("linear_paper.json",),
            help="train a linear classifier on crops, on a trained run's frozen encoder, as in the paper",
            settings="linear_paper.yaml",
            runs_like_pretraining=True,
            in_float32=True,
            resumes=True,
            cost="linear_paper_hours",
            live=True,
        ),
        Measurement(
            key="transfer",
            label="transfer to {datasets} data sets",
            files=("transfer/*.json",),
            help="test a trained run's encoder on other data sets",
            settings="transfer.yaml",
            resumes=True,
            cost="transfer_hours",
            live=True,
        ),
        Measurement(
            key="detect",
            label="detection",
            files=("detection.json",),
            help="fine-tune a detector from a trained run's encoder",
            settings="detection.yaml",
            runs_like_pretraining=True,
            resumes=True,
            cost="detection_hours",
            live=True,
        ),
        Measurement(
            key="tsne",
            label="t-SNE",
            files=("tsne.csv",),
            help="embed a trained run's test representations by t-SNE",
            single_threaded=True,  # t-SNE amplifies rounding differences between orders of summation
        ),
        Measurement(
            key="lid_error",
            label="LID in mini-batches",
            files=("lid_error.json",),
            help="compare the LID of mini-batches with the whole split's",
        ),
        Measurement(
            key="step_cost",
            label="step cost",
            files=("step_cost.json",),
            help="time a training step with and without its regulariser",
            needs_encoder=False,
            runs_like_pretraining=True,
            takes_training_steps=True,
        ),
    )
}
# The files with the measurements that every run has; linear.json only if `evaluation.linear` has `cached`.
MEASURED = tuple(
    name for measurement in MEASUREMENTS.values() if measurement.for_every_run for name in measurement.files
)
# The file of each protocol of linear evaluation.
LINEAR_FILES = {"cached": "linear.json", "paper": "linear_paper.json"}


def measured_with(protocols: Collection[str]) -> tuple[str, ...]:
    """What every run of a scale is measured by whose `evaluation.linear` has these protocols.

    >>> measured_with(["paper"])
    ('dimensionality.json', 'knn.json')
    """
    return tuple(name for name in MEASURED if name != LINEAR_FILES["cached"] or "cached" in protocols)


def measurement_of(name: str) -> Measurement | None:
    """Return the measurement that writes the file `name` in a run's folder; None if there is none.

    >>> measurement_of("transfer/mnist.json").key, measurement_of("summary.json")
    ('transfer', None)
    """
    return next((each for each in MEASUREMENTS.values() if each.writes(name)), None)
