"""What can be measured of a run: for each measurement one block that says everything about it.

The command line, the rules of the workflow, the plan and MLflow's log ask here. A measurement with the key
`example` is computed by `example_job` in `ldreg.jobs.example`, and its Snakemake rule is called `example`.
"""

from dataclasses import dataclass
from fnmatch import fnmatch

# What a pretraining leaves in a run's folder.
PRETRAINED = ("encoder.safetensors", "history.csv", "summary.json")


@dataclass(frozen=True)
class Measurement:
    """One measurement of a run.

    key: the name of its rule, of its job and of its kind in MLflow.
    label: what `ldreg plan` calls its jobs, in which {datasets} is the number of data sets transferred to.
    files: what it writes into the run's folder; `*` stands for any part of a name.
    help: one line for `ldreg --help`.
    settings: the file in results/<scale> with the settings on which its results depend.
    for_every_run: whether every run has it, and not only the runs of exhibits that read its files.
    needs_encoder: whether the run must be pretrained first.
    runs_like_pretraining: whether it is executed as pretraining is, on all GPUs of a run, and not on one.
    single_threaded: whether its result holds for one thread alone.
    takes_training_steps: whether it takes training steps, and is told how they are accumulated.
    cost: the key of a scale's `cost` that says how long one job takes.
    live: whether MLflow shows the job while it runs; others leave a record that is logged afterwards.
    """

    key: str
    label: str
    files: tuple[str, ...]
    help: str
    settings: str | None = None
    for_every_run: bool = False
    needs_encoder: bool = True
    runs_like_pretraining: bool = False
    single_threaded: bool = False
    takes_training_steps: bool = False
    cost: str | None = None
    live: bool = False

    @property
    def command(self) -> str:
        """Its subcommand of `ldreg`."""
        return self.key.replace("_", "-")

    @property
    def has_plain_rule(self) -> bool:
        """Whether its rule is the one that all measurements without settings of their own share."""
        return self.settings is None

    def writes(self, name: str) -> bool:
        """Whether `name`, relative to a run's folder, is one of its files."""
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
            key="transfer",
            label="transfer to {datasets} data sets",
            files=("transfer/*.json",),
            help="test a trained run's encoder on other data sets",
            settings="transfer.yaml",
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
            cost="detection_hours",
            live=True,
        ),
        Measurement(
            key="tsne",
            label="t-SNE",
            files=("tsne.csv",),
            help="embed a trained run's test representations by t-SNE",
            single_threaded=True,  # t-SNE enlarges the rounding of sums in another order
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
# What every run is measured by.
MEASURED = tuple(
    name for measurement in MEASUREMENTS.values() if measurement.for_every_run for name in measurement.files
)


def measurement_of(name: str) -> Measurement | None:
    """The measurement that writes the file `name` of a run's folder; None if no measurement does.

    >>> measurement_of("transfer/mnist.json").key, measurement_of("summary.json")
    ('transfer', None)
    """
    return next((each for each in MEASUREMENTS.values() if each.writes(name)), None)
