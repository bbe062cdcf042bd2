"""Checkpoints of a detector's training, so that an interruption costs hours instead of days."""

import sys
from pathlib import Path
from typing import Any

import torch

from ldreg.files import replacing
from ldreg.runtime.distributed import gather_objects, rank

State = dict[str, Any]


class Checkpoint:
    """A checkpoint file, which is replaced as a whole whenever it is saved.

    Args:
        path: the file.
        identity: everything on which the result of the training depends, as numbers, strings, lists and
            mappings. A checkpoint with another identity is never used.
    """

    def __init__(self, path: Path, identity: State) -> None:
        self.path = path
        self.identity = identity

    def save(self, shared: State, own: State) -> None:
        """Save the state of the training. Every rank must call this.

        If the file cannot be written, for example because the disk is full, a warning is printed and the
        training continues.

        Args:
            shared: state that is equal on all ranks; that of rank 0 is stored.
            own: state of this rank.
        """
        owns = gather_objects(own)
        if rank() != 0:
            return
        try:
            with replacing(self.path) as temporary:
                torch.save({"belongs": self.identity, "shared": shared, "own": owns}, temporary)
        except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError
            reason = " ".join(str(error).split())
            print(f"warning: {self.path}: cannot be stored ({reason})", file=sys.stderr, flush=True)

    def load(self) -> tuple[State, State] | None:
        """Return the shared state and that of this rank; None if this training has no checkpoint.

        A checkpoint that is damaged or belongs to another training is ignored with a message on standard
        error.
        """
        found, problem = self._read()
        if not all(gather_objects(found is not None)):  # on a network disk a rank may not see the file yet
            if problem and rank() == 0:
                print(f"{self.path}: ignored, {problem}; training anew", file=sys.stderr, flush=True)
            return None
        return found["shared"], found["own"][rank()]

    def remove(self) -> None:
        """Delete the file after the result of the training has been stored."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[State | None, str]:
        """Return the content if it belongs to this training; else None and what is wrong with the file."""
        if not self.path.is_file():
            return None, ""
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            identity = content["belongs"]
        except Exception:  # torch.load raises many kinds of errors for a damaged file
            return None, "since it is damaged"
        if odd := [key for key in self.identity if identity.get(key) != self.identity[key]]:
            return None, f"since its training had another {', '.join(odd)}"
        return content, ""
