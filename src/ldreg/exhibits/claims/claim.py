"""What a claim is, and the words for what tests need that several claims share."""

from collections.abc import Callable
from dataclasses import dataclass

from ldreg.exhibits.claims.evidence import Evidence
from ldreg.exhibits.claims.verdicts import Results

PAIR = "runs with and without LDReg that share seeds"
SWEEP = "runs with LDReg at two or more values of {} and with equal other settings"
COURSES = "mlid_mle_32 in history.csv for at least three epochs"
FIGURE2 = "unregularised runs of {} and of another method of Figure 2 that share seeds"
PLANE = "the numbers of Figures 1 and 3, which are read if the exhibit's setting `plane` is true"
MIN_LID = "runs with Min LID at two or more values of beta and with equal other settings"
RIVALS = "runs with LDReg, with Cov or Cov + Var, and without a regulariser that share seeds"
LID_ERROR = "lid_error.json of the runs that come from an exhibit in `runs_of` which reads it"


@dataclass(frozen=True)
class Claim:
    """A statement about LDReg and how it is tested.

    Attributes:
        id: What claims.json calls it.
        text: The statement.
        source: Where it stands in the paper: section or appendix, figure, table. Of a statement of ours, what
            in the paper it is about.
        needs: Which runs or files its test needs.
        test: Yields a result for each context in which it can be tested.
        ours: Whether this project makes the statement, and the paper does not.
    """

    id: str
    text: str
    source: str
    needs: str
    test: Callable[[Evidence], Results]
    ours: bool = False

    @property
    def marked(self) -> str:
        """The statement, with a mark where it is ours."""
        return f"{self.text} (ours)" if self.ours else self.text
