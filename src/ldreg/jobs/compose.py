"""Compose a small detection set of digits."""

from pathlib import Path

from ldreg.config.scale_file import Detection
from ldreg.data.datasets import load
from ldreg.detection.composed import compose
from ldreg.jobs.shared import read_settings


def compose_job(settings_path: Path, digits: Path, output: Path) -> None:
    """Compose a small set of digits in COCO's format; `output` is its composed.json, which appears last.

    Args:
        settings_path: the scale's `detection.yaml`.
        digits: dataset.json of the set whose images are pasted.
    """
    settings = read_settings(settings_path, Detection)
    compose(output.parent, load(digits.parent.name, digits.parent.parent), settings.composed)
