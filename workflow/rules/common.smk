# The checked scale, and the few names that the rules share. The logic behind them is tested Python in src/ldreg.
import os
import sys
from pathlib import Path
from shlex import quote

from snakemake.utils import update_config

try:
    from ldreg.catalogue.measurements import MEASUREMENTS, PRETRAINED
    from ldreg.errors import LdregError
    from ldreg.exhibits.paper import SETTINGS_FILE
    from ldreg.exhibits.paper.settings import PaperSettings
    from ldreg.files import read_yaml
    from ldreg.runtime.surroundings import path_with, too_long
    from ldreg.tracking import tell_if_unusable
    from ldreg.workflow.inputs import (
        exhibit_inputs,
        exhibit_outputs,
        exhibit_settings,
        exhibit_spec_file,
        run_spec_file,
        settings_file,
        write_inputs,
    )
    from ldreg.workflow.scale import Scale
    from ldreg.site.differences import about_points, about_runs, differences
    from ldreg.site.restructured_text import plain_text
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed in the environment of this Snakemake; in a checkout of ldreg's"
        " repository: pip install '.[train,workflow]'"
    )

RESULTS = Path("results")
# The folder config of the working folder, not of the workflow, because a module's rules come without configuration.
CONFIG = Path("config")
# The files that a mistake in the configuration may come from.
SOURCES = [os.path.relpath(path) for path in workflow.configfiles]

try:
    if not (CONFIG / "methods.yaml").is_file():
        raise LdregError(
            f"{CONFIG / 'methods.yaml'}: no such file; copy the folder config of ldreg's repository here"
        )
    # The directive `configfile:` is not used, because it would mix the demo's keys into those of another scale.
    if not SOURCES:
        SOURCES = [str(CONFIG / "demo.yaml")]
        demo = read_yaml(CONFIG / "demo.yaml")
        update_config(demo, config)
        config = demo
    for source in SOURCES:
        read_yaml(
            Path(source)
        )  # again, since Snakemake's own reading lets a key given twice pass
    if workflow.config_settings.config:
        SOURCES.append("--config")
    SCALE = Scale(config, " with ".join(SOURCES), CONFIG)
    PAPER = PaperSettings(CONFIG / "paper" / SETTINGS_FILE)
    # A cluster's jobs do not write these, since an edit of the YAML must not reach jobs that have been submitted.
    if workflow.is_main_process:
        write_inputs(SCALE, RESULTS)
        tell_if_unusable(RESULTS, sys.stderr)
except LdregError as error:
    sys.exit(f"error: {error}")
except OSError as error:
    if not (mistake := too_long(error)):
        raise
    sys.exit(f"error: {mistake}")

EXECUTION = SCALE.content.execution
RUN = f"{RESULTS}/{SCALE.name}/runs/{{run}}"
LOGS = f"{RESULTS}/{SCALE.name}/logs"
SITE = f"{RESULTS}/{SCALE.name}/index.html"
DATASET = f"{EXECUTION.data}/{{dataset}}/dataset.json"
COCO = f"{RESULTS}/{SCALE.name}/coco.json"
COMPOSED = f"{RESULTS}/{SCALE.name}/composed_digits/composed.json"
AVAILABILITY = f"{RESULTS}/{SCALE.name}/transfer/{{dataset}}.json"
RECHECK = f"{RESULTS}/{SCALE.name}/transfer/{{dataset}}.yaml"
TRACKED = f"{RESULTS}/{SCALE.name}/tracked/{{target}}.txt"
EXHIBITS_OF = {"all": tuple(SCALE.exhibits), "core": SCALE.content.core}
# How often a pretraining is started again, to go on in the next time slot; None: as Snakemake's --retries says.
RETRIES = EXECUTION.retries(max(map(SCALE.hours_of, SCALE.runs), default=1.0))
TRANSFERRED = SCALE.content.transfer.datasets if SCALE.content.transfer else ()


wildcard_constraints:
    run="|".join(SCALE.runs),
    dataset="[a-z][a-z0-9_]*",


# By default glibc returns large blocks to the kernel after every step, which takes a third of a CPU step's time.
os.environ.setdefault("MALLOC_TOP_PAD_", "268435456")
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "4294967296")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "8589934592")
# A job's shell must find this environment's `ldreg`, also where `.venv/bin/snakemake` runs without activation.
os.environ.update(PATH=path_with("ldreg"))


def data_of(wildcards):
    return DATASET.format(dataset=SCALE.runs[wildcards.run].dataset)


def spec_of(wildcards):
    """What the run is asked to be; the job copies it to the run's folder."""
    return run_spec_file(RESULTS, SCALE, wildcards.run)


def measured_by(name):
    """The settings of a kind of measurement, such as evaluation.yaml."""
    return settings_file(RESULTS, SCALE, name)


def time_limit(wildcards):
    """The time limit of a pretraining, which is longer for runs with more epochs than usual."""
    return f"{EXECUTION.limit(SCALE.hours_of(wildcards.run))}h"


def attempted(options):
    """Options of a job that goes on after an interruption; it is told how often it was started."""
    return lambda wildcards, attempt: f"{options} --attempt {attempt}"


def outputs_of(exhibit):
    return exhibit_outputs(RESULTS, SCALE, exhibit)


def measurements_of(exhibit):
    return exhibit_inputs(RESULTS, SCALE, exhibit)


def settings_of(exhibit):
    return exhibit_settings(RESULTS, SCALE, exhibit)


def about_of(exhibit):
    """Words for the report's captions: the scale, the seeds, and the differences from the paper."""
    runs = [spec.model_dump() for spec in SCALE.runs_of(exhibit).values()]
    if runs:
        stands_for = SCALE.settings_of(exhibit).stands_for
        return f"{about_runs(SCALE.name, runs)}. {differences(exhibit, runs, PAPER, stands_for)}"
    points = SCALE.renderer_of(exhibit).synthetic.points
    return about_points(SCALE.name, points, SCALE.seeds_of(exhibit)) + "."


def detection_data():
    """The file that describes the detection data: COCO, which the user provides, or the composed set."""
    if SCALE.content.detection.dataset == "coco":
        return f"{EXECUTION.data}/coco/annotations/instances_train2017.json"
    return COMPOSED
