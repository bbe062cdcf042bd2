"""The classes that a data set must have: `config/classes/NAME.txt`, one a line, sorted, `#` before comments.

Sets without such a list may have any, some of them a certain number.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.errors import LdregError

CLASS_LISTS = Path(__file__).resolve().parents[3] / "config" / "classes"


def class_list(name: str) -> list[str] | None:
    """The classes of the data set `name` in the order of their labels; None where it may have any.

    Raises:
        LdregError: If the list is missing or is not what it was.
    """
    expected = DATA_SETS[name].class_list
    if expected is None:
        return None
    path = CLASS_LISTS / f"{name}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LdregError(
            f"{path}: cannot be read ({error.strerror}); install ldreg from its checkout: pip install -e ."
        ) from error
    classes = [line for line in lines if line and not line.startswith("#")]
    # A list that was edited must not be taken for the data set's own.
    if (found := class_digest(classes)) != expected:
        raise LdregError(f"{path}: digest {found} where {expected} is expected; git checkout {path}")
    return classes


def class_digest(classes: Sequence[str]) -> str:
    """SHA-256 of the sorted names joined by newlines, as 64 hexadecimal digits.

    >>> class_digest(["bee", "ant"]) == hashlib.sha256(b"ant\\nbee").hexdigest()
    True
    """
    return hashlib.sha256("\n".join(sorted(classes)).encode()).hexdigest()


def check_classes(name: str, split: Path, found: Sequence[str], surplus_allowed: bool) -> list[str]:
    """The classes to be taken of those `found` as folders of `split`: all, or the data set's list.

    Args:
        name: Of the data set.
        split: The folder, for the message.
        found: The names of the folders in it.
        surplus_allowed: Whether there may be others, as for a part of a data set that lies in the whole.

    Raises:
        LdregError: If any of the list is missing, or there are others that are not allowed; without a list,
            if there are more or fewer than the data set has.
    """
    expected = class_list(name)
    if expected is None:
        count = DATA_SETS[name].classes
        if count is not None and len(found) != count:
            raise LdregError(
                f"{split}: {len(found)} classes (first {min(found, default='none')!r}); {name} has {count}"
            )
        return sorted(found)
    missing = sorted(set(expected) - set(found))
    surplus = [] if surplus_allowed else sorted(set(found) - set(expected))
    if missing or surplus:
        told = [
            f"{len(some)} {what} (first {some[0]!r})"
            for what, some in (("missing", missing), ("surplus", surplus))
            if some
        ]
        raise LdregError(
            f"{split}: its classes are not {name}'s: {', '.join(told)}; expected the {len(expected)} of"
            f" {CLASS_LISTS / name}.txt"
        )
    return expected
