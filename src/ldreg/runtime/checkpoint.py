"""Checkpoints: the state of an unfinished job, from which it goes on exactly.

A checkpoint is two files, `<step>.safetensors` with the tensors and `<step>.json` with everything else and
the SHA-256 of both. Neither executes anything when it is read. The JSON is written last, so that a checkpoint
exists as a whole or not at all. The one before is deleted only after the new one has been read back.

Checkpoints lie in `results/<scale>/checkpoints/<job>/<hash>`, outside of the run folder, because Snakemake
deletes the declared outputs of a job before it starts it again.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from ldreg.errors import LdregError
from ldreg.files import read_json, write_durably, write_json
from ldreg.runtime.distributed import gather_objects, rank, world_size
from ldreg.runtime.packing import pack, unpack
from ldreg.runtime.slices import SliceEnded

FOLDER = "checkpoints"  # below results/<scale>
FAILED = "failed.json"  # why the job failed, if it did
FORMAT = 1  # raised when checkpoints are written in another form, so that older ones are not misread
State = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a checkpoint holds.

    Attributes:
        step: number of steps that were taken.
        shared: state that is equal on all ranks.
        owns: state of each rank that wrote the checkpoint, in the order of ranks.
    """

    step: int
    shared: State
    owns: list[State]

    @property
    def own(self) -> State | None:
        """The state of this rank; None if another number of ranks wrote the checkpoint."""
        return self.owns[rank()] if len(self.owns) == world_size() else None


class Checkpoint:
    """The checkpoints of one job, of which the newest whole one counts.

    Args:
        scale: the folder results/<scale>.
        job: the kind of job, such as `pretrain`.
        identity: everything on which the result depends, as values of JSON: the spec's hash, the job's
            settings, digests of data and encoder. Its hash names the folder, so that the state of another job
            is never taken. Threads, workers and the number of ranks do not belong to it.

    Attributes:
        folder: where the checkpoints lie.
        extra: facts of the job's owner, as values of JSON, which are stored with every checkpoint. After
            `load` they are those of the checkpoint that was found.
        found: the checkpoint that `load` found; None if there was none.
    """

    def __init__(self, scale: Path, job: str, identity: State) -> None:
        self.identity = json.loads(json.dumps(identity))
        text = json.dumps(self.identity, sort_keys=True)
        self.folder = scale / FOLDER / job / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.extra: State = {}
        self.found: Found | None = None
        self._seconds, self._began = 0.0, time.monotonic()
        self._saved: int | None = None  # step of the newest whole checkpoint

    @property
    def seconds(self) -> float:
        """Time that this job has taken, in seconds, with that before it was interrupted.

        What was done between the last checkpoint and an interruption is lost and is not counted.
        """
        return self._seconds + time.monotonic() - self._began

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows of the history that were finished before an interruption."""
        return list(self.found.shared.get("history", ())) if self.found else []

    @contextmanager
    def attempt(self, number: int) -> Iterator[None]:
        """Note a failure of the job inside the block, so that Snakemake's retries of it end at once.

        A job that ended itself with a checkpoint has not failed. Retries are there to let it go on.

        Args:
            number: how often Snakemake has started the job. The first attempt forgets an earlier failure.

        Raises:
            LdregError: if the attempt before failed; the error gives its reason.
        """
        path = self.folder / FAILED
        if number > 1 and path.is_file():
            raise LdregError(
                f"not tried again, because the attempt before failed: {read_json(path)['reason']}"
            )
        path.unlink(missing_ok=True)
        try:
            yield
        except SliceEnded:
            raise
        except Exception as error:
            if rank() == 0:
                with suppress(OSError):
                    write_json(path, {"reason": f"{type(error).__name__}: {_reason(error)}"})
            raise

    def load(self) -> Found | None:
        """Find the newest whole checkpoint. Every rank must call this, and all ranks get the same one.

        A checkpoint that is truncated or altered is named on standard error, and the one before is taken.
        """
        for step in gather_objects(self._steps())[0]:
            found = None
            try:
                content = self._read(step)
                found = Found(step, *unpack(*content[1:]))
            except Exception as error:  # a damaged file can raise nearly anything
                print(f"{self._path(step)}: ignored: {_reason(error)}", file=sys.stderr, flush=True)
            if all(gather_objects(found is not None)):
                self.extra, self._seconds = content[0]["extra"], content[0]["seconds"]
                self._began = time.monotonic()
                self.found, self._saved = found, step
                self._tell(found)
                return found
        return None

    def save(self, step: int, shared: State, own: State) -> bool:
        """Save the state after `step` steps; returns whether it is on disk. Every rank must call this.

        If it cannot be written, for example because the disk is full, a warning is printed, the checkpoint
        before stays, and the job goes on.

        Args:
            step: number of steps taken so far.
            shared: state that is equal on all ranks; that of rank 0 is stored.
            own: state of this rank.
        """
        owns = gather_objects(own)
        if rank() != 0:
            return True
        try:
            self._write(step, shared, owns)
        except (OSError, LdregError) as error:
            told = f"warning: {self._path(step)}: the checkpoint cannot be written: {_reason(error)}"
            print(f"{told}; {self._before()}", file=sys.stderr, flush=True)
            self._delete(lambda path: path.stem == str(step) and step != self._saved)
            return False
        self._saved = step
        self._delete(lambda path: path.stem != str(step) and path.name != FAILED)
        return True

    def remove(self) -> None:
        """Delete everything, after the job's outputs are complete."""
        if rank() == 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            for folder in (self.folder.parent, self.folder.parent.parent):
                with suppress(OSError):  # it holds the checkpoints of other jobs
                    folder.rmdir()

    def _write(self, step: int, shared: State, owns: list[State]) -> None:
        packed, tensors = pack((shared, owns))
        content = safetensors.torch.save(tensors)
        about = {
            "format": FORMAT,
            "identity": self.identity,
            "step": step,
            "seconds": self.seconds,
            "extra": self.extra,
            "tensors": hashlib.sha256(content).hexdigest(),
            "state": packed,
        }
        _write_and_compare(self._path(step).with_suffix(".safetensors"), content)
        text = json.dumps({"sha256": _checksum(about), **about}, allow_nan=False)
        _write_and_compare(self._path(step), text.encode())

    def _read(self, step: int) -> tuple[State, Any, dict[str, Any]]:
        """Read a checkpoint and check it; returns its JSON, the packed state in it, and the tensors."""
        about = read_json(self._path(step))
        if about.pop("sha256", None) != _checksum(about):
            raise LdregError("it was altered")
        if about["format"] != FORMAT or about["identity"] != self.identity or about["step"] != step:
            raise LdregError("it belongs to another job or version")
        path = self._path(step).with_suffix(".safetensors")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != about["tensors"]:
            raise LdregError(f"{path.name} is truncated or was altered")
        return about, about["state"], safetensors.torch.load(content)

    def _steps(self) -> list[int]:
        """Steps of the checkpoints in the folder, the newest first."""
        found = [path.stem for path in self.folder.glob("*.json") if path.stem.isdecimal()]
        return sorted(map(int, found), reverse=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"{step}.json"

    def _before(self) -> str:
        return "there is none before" if self._saved is None else f"that of step {self._saved} stays"

    def _delete(self, unwanted: Any) -> None:
        with suppress(OSError):
            for path in filter(unwanted, list(self.folder.iterdir())):
                path.unlink(missing_ok=True)

    def _tell(self, found: Found) -> None:
        if rank() == 0:
            told = f"{self.folder}: goes on after step {found.step}"
            if len(found.owns) != world_size():
                told += f", on {world_size()} rank(s) instead of {len(found.owns)}: rounding may differ"
            print(told, file=sys.stderr, flush=True)


def _write_and_compare(path: Path, content: bytes) -> None:
    write_durably(path, content)
    if path.read_bytes() != content:
        raise LdregError(f"{path.name} does not hold what was written")


def _checksum(about: State) -> str:
    """SHA-256 of the JSON's content, apart from the checksum itself."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split()) or type(error).__name__
