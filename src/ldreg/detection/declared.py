"""What a scale asks of detection, checked with its file: before anything trains."""

from collections.abc import Mapping

from ldreg.catalogue.backbones import BACKBONES, WITH_PATCHES
from ldreg.config.detection import DetectionSettings
from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Execution
from ldreg.errors import LdregError


def check_backbones(where: str, runs: Mapping[str, RunSpec]) -> None:
    """Refuse encoders that a C4 detector cannot be divided from.

    Args:
        where: file and key of the runs, for the error.
        runs: those whose encoders detectors start from, by name.

    Raises:
        LdregError: at a vision transformer.
    """
    for run, spec in runs.items():
        if spec.backbone in WITH_PATCHES:
            allowed = ", ".join(each for each in BACKBONES if each not in WITH_PATCHES)
            raise LdregError(
                f"{where}: backbone {spec.backbone} of {run} is not allowed for detection; allowed: {allowed}"
            )


def check_batch(file: str, settings: DetectionSettings, execution: Execution) -> None:
    """Refuse a batch that the ranks do not share evenly.

    Raises:
        LdregError: naming both keys.
    """
    ranks = max(execution.gpus, 1) * execution.nodes
    if settings.batch_size % ranks:
        raise LdregError(
            f"{file}: detection.settings.batch_size: {settings.batch_size} is not allowed; it should be a"
            f" multiple of {ranks} (execution.gpus x execution.nodes)"
        )
