"""MLflow only receives: the result of every job is an MLflow run, and a failure of MLflow costs no result.

The files of a run folder are the source of truth. `Tracker` shows a long job in MLflow while it runs, and at
its end adds from the files what MLflow lacks. A short job leaves a `JobRecord` instead, because MLflow's
import would take longer than the job. `log_folder` (`ldreg track <folder>`) later logs the jobs of a run or
of a scale that MLflow lacks, from the files of run folders and from the records. The MLflow run of a job is
noted in the run folder's mlflow.json, or in the record.

Jobs that only prepare data or gather exhibits on a page have no MLflow run: the digest of the data is a tag
of every run that uses them. MLflow is imported when a job is logged, not before.
"""

from ldreg.tracking.finished import log_folder
from ldreg.tracking.job_record import JobRecord
from ldreg.tracking.tracker import Tracker
from ldreg.tracking.uri import tell_if_unusable, tracking_uri

__all__ = ["JobRecord", "Tracker", "log_folder", "tell_if_unusable", "tracking_uri"]
