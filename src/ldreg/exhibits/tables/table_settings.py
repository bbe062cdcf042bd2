"""What the exhibits of the paper's Tables 4 to 11 may be told, and what each of those tables is about.

Of pydantic alone, like `settings`: the workflow checks settings before anything is trained.
"""

from dataclasses import dataclass
from typing import Literal

from ldreg.exhibits.settings import Settings


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables of settings: of what, and of which methods on which of its encoders."""

    about: Literal["pretraining", "views", "evaluation"]
    members: tuple[tuple[str, str], ...] = ()


TABLES = {
    "table5": PaperTable("pretraining", (("simclr", "resnet50"), ("simclr_tuned", "resnet50"))),
    "table6": PaperTable("pretraining", (("byol", "resnet50"),)),
    "table7": PaperTable("pretraining", (("mae", "vit_b16"),)),
    "table8": PaperTable("pretraining", (("simclr", "vit_b16"),)),
    "table9": PaperTable("evaluation"),
    "table10": PaperTable("views", (("simclr", "resnet50"),)),
    "table11": PaperTable(
        "views", (("byol", "resnet50"), ("simclr_tuned", "resnet50"), ("simclr", "vit_b16"))
    ),
}


class SettingsTableSettings(Settings):
    """Settings of `settings_table`: which table of the paper; sentences to stand below it."""

    table: Literal[tuple(TABLES)]
    notes: tuple[str, ...] = ()

    @property
    def scale_files(self) -> tuple[str, ...]:
        return ("evaluation.yaml",) if TABLES[self.table].about == "evaluation" else ()


class TimingSettings(Settings):
    """Settings of `timing`; not_run: whether to name the paper's pair if it was not run."""

    paper_exhibits: tuple[str, ...] = ("table4",)
    not_run: bool = True
    notes: tuple[str, ...] = ()

    @property
    def run_files(self) -> tuple[str, ...]:
        return ("step_cost.json",)


class MeasuresSettings(Settings):
    """Settings of `measures`. `notes` stand below the table with those that it writes itself."""

    notes: tuple[str, ...] = ()
