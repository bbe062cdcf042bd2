"""A detector's training on disk while it runs, so that what ends it costs hours and not days."""

import sys
from pathlib import Path
from typing import Any

import torch

from ldreg.files import replacing
from ldreg.runtime.distributed import gather_objects, rank

State = dict[str, Any]


class Checkpoint:
    """One file, replaced as a whole at each saving.

    Args:
        path: the file.
        identity: all that a training's result depends on, of numbers, texts, lists and mappings. A file
            of another training is never resumed from.
    """

    def __init__(self, path: Path, identity: State) -> None:
        self.path = path
        self.identity = identity

    def save(self, shared: State, own: State) -> None:
        """Store where the training stands; every rank calls it.

        A disk that is full costs a warning and not the training.

        Args:
            shared: what ranks have alike; rank 0's is stored.
            own: this rank's.
        """
        owns = gather_objects(own)
        if rank() != 0:
            return
        try:
            with replacing(self.path) as temporary:
                torch.save({"belongs": self.identity, "shared": shared, "own": owns}, temporary)
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            reason = " ".join(str(error).split())
            print(f"warning: {self.path}: cannot be stored ({reason})", file=sys.stderr, flush=True)

    def load(self) -> tuple[State, State] | None:
        """What was saved of this very training, the same on every rank but for its own; else None.

        A file of another training, or a damaged one, is told on standard error and ignored.
        """
        found, problem = self._read()
        if not all(gather_objects(found is not None)):  # a rank's disk may lag behind
            if problem and rank() == 0:
                print(f"{self.path}: ignored, {problem}; training anew", file=sys.stderr, flush=True)
            return None
        return found["shared"], found["own"][rank()]

    def remove(self) -> None:
        """The training's result is stored: there is nothing left to resume."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[State | None, str]:
        """The file's content, if it is this training's; else what is wrong with it, if there is one."""
        if not self.path.is_file():
            return None, ""
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            identity = content["belongs"]
        except Exception:  # whatever a damaged file leads the reader to
            return None, "since it is damaged"
        if odd := [key for key in self.identity if identity.get(key) != self.identity[key]]:
            return None, f"since its training had another {', '.join(odd)}"
        return content, ""
