"""The jobs of the workflow, one file each, from files to files.

All have one shape. A job reads its spec and settings, loads what it needs, computes by a function of another
room, writes whole files by rename, and leaves a record of itself: a long job is shown in MLflow while it runs
(`Tracker`), a short one leaves a small file that the last job of the workflow logs (`JobRecord`).
"""
