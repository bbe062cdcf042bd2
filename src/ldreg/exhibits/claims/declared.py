"""What the ledger of claims declares: its settings, the files it reads, and its lines in the terminal."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.implementation import Implementation
from ldreg.catalogue.regularizers import LIKE_LDREG
from ldreg.errors import LdregError
from ldreg.exhibits.renderer import ExhibitInScale, Renderer, always, shared_defaults
from ldreg.exhibits.settings import Settings
from ldreg.files import read_json

NOT_TESTED = "not tested"
VERDICTS = ("supported", "contradicted", "inconclusive", NOT_TESTED)


class LedgerSettings(Settings):
    """Settings of `ledger`: which regulariser is meant by LDReg, and the margins of its tests.

    A margin says which difference is too small to matter, so that a claim of no effect can be tested.
    transfer: the data sets on which transfer is tested, for runs that were transferred. detection: whether
    detection is tested, for runs that were fine-tuned as detectors. plane: whether claims about points in the
    plane are tested, on the numbers of Figures 1 and 3. timed, lid_errors: the folders of runs whose
    step_cost.json and lid_error.json are read; the workflow takes them from the exhibits in `runs_of`.
    """

    regularizer: Literal[LIKE_LDREG] = "ldreg_l1"
    # How many points accuracy may fall by and still count as not lowered: within the gains of Table 1.
    accuracy_margin: float = Field(default=0.5, gt=0)
    # How many points accuracy may change by and still count as stable or alike. The curves of the paper's
    # Figure 5, which it calls stable, change by less.
    stability_margin: float = Field(default=1.0, gt=0)
    # How many per cent longer a pretraining may take and still count as costing no more: twice the difference
    # in Table 4, which the paper calls insignificant.
    time_margin: float = Field(default=5.0, gt=0)
    # How many per cent mLID may fall by over half a training without counting as a decline: too little to be
    # seen in Figure 2 (a).
    decline_margin: float = Field(default=1.0, gt=0)
    # Per cent by which an mLID must be lower to be much lower: two thirds of what BYOL's is below the next in
    # Figure 2 (d).
    lower_margin: float = Field(default=10.0, gt=0)
    # Per cent by which LID must change to be changed significantly: as much as the time above.
    tf32_margin: float = Field(default=5.0, gt=0)
    transfer: tuple[Literal[tuple(DATA_SETS)], ...] = ()
    detection: bool = False
    plane: bool = False
    timed: tuple[str, ...] = ()
    lid_errors: tuple[str, ...] = ()


def plane_files(settings: LedgerSettings) -> tuple[str, ...]:
    """The numbers of Figures 1 and 3, for claims about points in the plane."""
    return ("exhibits/figure1.json", "exhibits/figure3.json") if settings.plane else ()


def _check(settings: LedgerSettings, exhibit: ExhibitInScale) -> None:
    """Refuse claims about points in the plane where no exhibit computes them."""
    if settings.plane and not {"figure1", "figure3"} <= set(exhibit.scale.exhibits):
        raise LdregError(
            f"{exhibit.where('settings', 'plane')}: true is not allowed; exhibits figure1 and figure3 must be"
            " declared"
        )


def _defaults(
    settings: LedgerSettings, exhibit: ExhibitInScale, folder: Callable[[str], str]
) -> dict[str, Any]:
    """The shared defaults, and the runs that the exhibits in `runs_of` have timed or compared LIDs of.

    Other runs may have the files or not, depending on the order in which exhibits were made.
    """
    read = {"timed": "step_cost.json", "lid_errors": "lid_error.json"}
    taken = {key: [folder(run) for run in exhibit.taken_with(file)] for key, file in read.items()}
    found = {key: folders for key, folders in taken.items() if folders}
    return shared_defaults(settings, exhibit, folder) | found


def _count_verdicts(spec: Path) -> dict[str, int]:
    """The number of claims for each verdict, in the ledger that lies beside `spec`."""
    verdicts = [claim["verdict"] for claim in read_claims(spec)]
    return {kind: sum(verdict.startswith(kind) for verdict in verdicts) for kind in VERDICTS}


def read_claims(spec: Path) -> list[Mapping[str, Any]]:
    """The claims of the ledger that lies beside `spec`, as its JSON file has them."""
    return read_json(spec.with_name(spec.name.replace(".spec.yaml", ".json")))["claims"]


LEDGER = Renderer(
    "ledger",
    "ldreg.exhibits.claims.ledger",
    LedgerSettings,
    ("md", "json", "html"),
    # Files of transfer and detection come from the exhibits of `runs_of`.
    run_files=always("history.csv"),
    scale_files=plane_files,
    check=_check,
    defaults=_defaults,
    print_made=Implementation("ldreg.exhibits.claims.terminal", "print_claims"),
    count_verdicts=_count_verdicts,
)
