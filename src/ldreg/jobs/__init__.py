"""The jobs of the workflow, one file each, from files to files.

All jobs have one shape. A job reads its spec and settings, loads what it needs, computes by a function of
another package, writes whole files by rename, and leaves a record of itself. A long job is shown in MLflow
while it runs (`Tracker`). A short job leaves a small file, which the last job of the workflow logs
(`JobRecord`).
"""
