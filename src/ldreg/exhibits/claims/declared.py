"""What the ledger of claims declares: its settings, what it reads, and what page and terminal show of it."""

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

    Margins say what is too small to matter, so that a claim of no effect can be tested at all. transfer: data
    sets and detection: whether to test what encoders are worth elsewhere, of the runs that have been. plane:
    whether to test claims about points in the plane, on the numbers of Figures 1 and 3. timed: folders of
    runs whose step_cost.json is read; told by the workflow, of the exhibits of `runs_of`.
    """

    regularizer: Literal[LIKE_LDREG] = "ldreg_l1"
    # Points by which accuracy may fall and still be kept: within the range of the gains in Table 1.
    accuracy_margin: float = Field(default=0.5, gt=0)
    # Points by which it may move and still be stable or alike: the paper's curves in Figure 5, which it calls
    # stable, move by less.
    stability_margin: float = Field(default=1.0, gt=0)
    # Per cent by which a pretraining may take longer: twice the difference in Table 4, which the paper calls
    # none.
    time_margin: float = Field(default=5.0, gt=0)
    # Per cent of mLID over half a training that are no decline: too little to be seen in Figure 2 (a).
    decline_margin: float = Field(default=1.0, gt=0)
    transfer: tuple[Literal[tuple(DATA_SETS)], ...] = ()
    detection: bool = False
    plane: bool = False
    timed: tuple[str, ...] = ()


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
    """Beside the shared defaults, the runs whose steps have been timed for exhibits whose runs it takes.

    Of other runs the file may be there or not, by the order in which exhibits were made.
    """
    timed = [folder(run) for run in exhibit.taken_with("step_cost.json")]
    return shared_defaults(settings, exhibit, folder) | ({"timed": timed} if timed else {})


def _count_verdicts(spec: Path) -> dict[str, int]:
    """How many claims of the ledger that lies beside `spec` came out in which way."""
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
