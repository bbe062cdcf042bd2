"""Keeps a failure of a live monitor from costing the run: the monitor is switched off, and one line says so.

Ranks that share a batch call the same collective operations in the same order, or they would wait for each
other for ever. A rank whose monitor has failed therefore goes on taking part in them, with values that do not
count, until `agree` switches the monitor off on all ranks at once.
"""

import sys
from collections.abc import Callable
from typing import Any

from ldreg.errors import LdregError
from ldreg.neighbors import NotFiniteError
from ldreg.runtime.distributed import gather_objects, rank


class Guard:
    """Knows which monitors have failed.

    Attributes:
        own: the monitors that have failed on this rank, with the reason.
        failed: the monitors that are switched off, the same on every rank.
    """

    def __init__(self) -> None:
        self.own: dict[str, str] = {}
        self.failed: set[str] = set()

    def attempt(self, monitor: str, measure: Callable[..., Any], *arguments: Any) -> Any:
        """Return `measure(*arguments)`, or None if it fails now or if `monitor` has failed before.

        `measure` must not contain a collective operation.

        Raises:
            LdregError: if `measure` does, as a user must mend that.
            NotFiniteError: if representations are not finite: then training has diverged.
        """
        if monitor in self.own or monitor in self.failed:
            return None
        try:
            return measure(*arguments)
        except (LdregError, NotFiniteError):
            raise
        except Exception as error:
            self.own[monitor] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if rank() == 0:
                _warn(monitor, self.own[monitor])
            return None

    def agree(self) -> None:
        """Switch off on every rank what has failed on any. All ranks must call this together."""
        everyone: list[dict[str, str]] = gather_objects(self.own)
        for other in everyone:
            for monitor, reason in other.items():
                if rank() == 0 and monitor not in self.failed and monitor not in self.own:
                    _warn(monitor, reason)
                self.failed.add(monitor)


def _warn(monitor: str, reason: str) -> None:
    print(
        f"warning: the live monitor of {monitor} failed ({reason}); training goes on, and history.csv has no"
        f" more values of it",
        file=sys.stderr,
        flush=True,
    )
