"""MLflow as a sink: every pretraining, measurement and exhibit is an MLflow run, and no MLflow failure
costs a result.

The files of a run folder are the source of truth. `Tracker` shows a job in MLflow while it runs, and at its
end adds from the files what MLflow lacks, by the functions with which `log_folder` logs a whole run folder
later (`ldreg track <run folder>`). What MLflow has of a folder is noted in the folder's mlflow.json.
MLflow is imported when a job is logged, not before.
"""

from ldreg.tracking.tracker import Tracker, git_state, log_exhibit, log_folder, tracking_uri

__all__ = ["Tracker", "git_state", "log_exhibit", "log_folder", "tracking_uri"]
