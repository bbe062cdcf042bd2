"""What the renderers of tables declare: their settings, the files that they read, and what a terminal shows.

Free of pandas, like `ldreg.exhibits.renderer`: the workflow reads these blocks before anything is trained.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ldreg.catalogue.backbones import BACKBONES, WITH_PATCHES
from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.implementation import Implementation
from ldreg.catalogue.measurements import LINEAR_FILES
from ldreg.errors import LdregError, check_once
from ldreg.exhibits.renderer import TABLE, ExhibitInScale, Renderer, always, check_protocol
from ldreg.exhibits.settings import MetricName, Settings


class TableSettings(Settings):
    """Settings of `main_table`. `notes` stand below the table with those that it writes itself.

    not_run: whether to name the pairs of the exhibit named first in paper_exhibits that were not run.
    """

    metrics: tuple[MetricName, ...] = ("linear_top1", "effective_rank", "mlid")
    paper_exhibits: tuple[str, ...] = ("table1",)
    notes: tuple[str, ...] = ()
    not_run: bool = True


MAIN_TABLE = Renderer(
    "main_table",
    "ldreg.exhibits.tables.main_table",
    TableSettings,
    TABLE,
    print_made=Implementation("ldreg.exhibits.tables.terminal", "print_table1"),
)
SIGNIFICANCE = Renderer("significance", "ldreg.exhibits.tables.significance", TableSettings, TABLE)


class OutcomeSettings(Settings):
    """Settings that the exhibits of the paper's Tables 2 and 3 share.

    not_run: whether to name the paper's data sets, and its pairs with and without LDReg, that were not run.
    notes: sentences to stand below the table.
    """

    not_run: bool = True
    notes: tuple[str, ...] = ()


class TransferTableSettings(OutcomeSettings):
    """Settings of `transfer_table`; datasets: the columns, out of those that the scale's `transfer` names."""

    datasets: Annotated[tuple[Literal[tuple(DATA_SETS)], ...], Field(min_length=1)]
    paper_exhibits: tuple[str, ...] = ("table2",)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        check_once("datasets", self.datasets)
        return self


def _transfer_files(settings: TransferTableSettings) -> tuple[str, ...]:
    """One file for each data set."""
    return tuple(f"transfer/{dataset}.json" for dataset in settings.datasets)


def _check_transfer(settings: TransferTableSettings, exhibit: ExhibitInScale) -> None:
    """Refuse data sets to which the scale transfers no encoder."""
    block = exhibit.scale.transfer
    for dataset in settings.datasets:
        if block is None or dataset not in block.datasets:
            offered = ", ".join(block.datasets) if block else "none, as the scale has no transfer"
            raise LdregError(
                f"{exhibit.where('settings', 'datasets')}: {dataset} is not transferred to;"
                f" allowed (transfer.datasets): {offered}"
            )


TRANSFER_TABLE = Renderer(
    "transfer_table",
    "ldreg.exhibits.tables.transfer_and_detection",
    TransferTableSettings,
    TABLE,
    run_files=_transfer_files,
    check=_check_transfer,
)


class DetectionTableSettings(OutcomeSettings):
    """Settings of `detection_table`."""

    paper_exhibits: tuple[str, ...] = ("table3",)


def _check_detection(settings: DetectionTableSettings, exhibit: ExhibitInScale) -> None:
    """Refuse encoders that no detector can start from, and a batch that its ranks cannot share."""
    block = exhibit.scale.detection
    if block is None:
        raise LdregError(f"{exhibit.scale_file}: detection: missing; renderer detection_table needs it")
    execution = exhibit.scale.execution
    ranks = max(execution.gpus, 1) * execution.nodes
    if block.settings.batch_size % ranks:
        raise LdregError(
            f"{exhibit.scale_file}: detection.settings.batch_size: {block.settings.batch_size} is not"
            f" allowed; it should be a multiple of {ranks} (execution.gpus x execution.nodes)"
        )
    for run, spec in exhibit.runs.items():
        if spec.backbone in WITH_PATCHES:  # a C4 detector divides a convolutional network
            where = exhibit.where("runs" if exhibit.block.runs else "runs_of")
            allowed = ", ".join(each for each in BACKBONES if each not in WITH_PATCHES)
            raise LdregError(
                f"{where}: backbone {spec.backbone} of {run} is not allowed for detection; allowed: {allowed}"
            )


DETECTION_TABLE = Renderer(
    "detection_table",
    "ldreg.exhibits.tables.transfer_and_detection",
    DetectionTableSettings,
    TABLE,
    run_files=always("detection.json"),  # of boxes and of masks
    check=_check_detection,
)


@dataclass(frozen=True)
class PaperTable:
    """A table of settings: which settings, of which methods, on which of the paper's encoders."""

    about: tuple[Literal["pretraining", "views", "evaluation"], ...]
    members: tuple[tuple[str, str], ...] = ()


# The paper's own Tables 5 to 11, and SimCLR on a ViT-B/16, whose settings stand in none of them.
TABLES = {
    "table5": PaperTable(("pretraining",), (("simclr", "resnet50"),)),
    "table6": PaperTable(("pretraining",), (("simclr_tuned", "resnet50"),)),
    "table7": PaperTable(("pretraining",), (("byol", "resnet50"),)),
    "table8": PaperTable(("pretraining",), (("mae", "vit_b16"),)),
    "table9": PaperTable(("evaluation",)),
    "table10": PaperTable(("views",), (("simclr", "resnet50"),)),
    "table11": PaperTable(("views",), (("byol", "resnet50"), ("simclr_tuned", "resnet50"))),
    "settings_simclr_vit": PaperTable(("pretraining", "views"), (("simclr", "vit_b16"),)),
}


class SettingsTableSettings(Settings):
    """Settings of `settings_table`: which of `TABLES`; sentences to stand below it."""

    table: Literal[tuple(TABLES)]
    notes: tuple[str, ...] = ()


def _evaluation_file(settings: SettingsTableSettings) -> tuple[str, ...]:
    """The file that says how encoders are measured, for the table that shows it."""
    return ("evaluation.yaml",) if "evaluation" in TABLES[settings.table].about else ()


SETTINGS_TABLE = Renderer(
    "settings_table",
    "ldreg.exhibits.tables.settings_table",
    SettingsTableSettings,
    TABLE,
    scale_files=_evaluation_file,
)


class TimingSettings(Settings):
    """Settings of `timing`; not_run: whether to name the paper's pair if it was not run."""

    paper_exhibits: tuple[str, ...] = ("table4",)
    not_run: bool = True
    notes: tuple[str, ...] = ()


TIMING = Renderer(
    "timing", "ldreg.exhibits.tables.timing", TimingSettings, TABLE, run_files=always("step_cost.json")
)


class MeasuresSettings(Settings):
    """Settings of `measures`. `notes` stand below the table with those that it writes itself."""

    notes: tuple[str, ...] = ()


class ProtocolsSettings(Settings):
    """Settings of `protocols`. `notes` stand below the table with those that it writes itself."""

    notes: tuple[str, ...] = ()


def _check_protocols(settings: ProtocolsSettings, exhibit: ExhibitInScale) -> None:
    """Refuse a scale that does not measure every protocol of linear evaluation."""
    for protocol in LINEAR_FILES:
        check_protocol(protocol, exhibit, exhibit.where("renderer"))


PROTOCOLS = Renderer(
    "protocols",
    "ldreg.exhibits.tables.protocols",
    ProtocolsSettings,
    TABLE,
    run_files=always(*LINEAR_FILES.values()),
    check=_check_protocols,
)


MEASURES = Renderer("measures", "ldreg.exhibits.tables.measures", MeasuresSettings, TABLE)
