"""The classes that a data set must have, listed in `config/classes/NAME.txt`.

A list is sorted and has one class per line; lines with `#` are comments. A data set without a list may have
any classes; for some only their number is fixed.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.errors import LdregError

CLASS_LISTS = Path(__file__).resolve().parents[3] / "config" / "classes"
# Where an ldreg installed without its checkout finds them: in the copied configuration of the workflow.
COPIED_LISTS = Path("config") / "classes"


def class_list(name: str) -> list[str] | None:
    """Return the classes of the data set `name` in the order of their labels; None if it has no list.

    Raises:
        LdregError: if the list is missing or has been edited.
    """
    expected = DATA_SETS[name].class_list
    if expected is None:
        return None
    path = _list_of(name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LdregError(
            f"{path}: cannot be read ({error.strerror}); copy the folder config of ldreg's repository here"
        ) from error
    classes = [line for line in lines if line and not line.startswith("#")]
    # An edited list would silently define another data set.
    if (found := class_digest(classes)) != expected:
        raise LdregError(f"{path}: digest {found} where {expected} is expected; git checkout {path}")
    return classes


def _list_of(name: str) -> Path:
    file = f"{name}.txt"
    return CLASS_LISTS / file if (CLASS_LISTS / file).is_file() else COPIED_LISTS / file


def class_digest(classes: Sequence[str]) -> str:
    """Return the SHA-256 of the sorted names joined by newlines, as 64 hexadecimal digits.

    >>> class_digest(["bee", "ant"]) == hashlib.sha256(b"ant\\nbee").hexdigest()
    True
    """
    return hashlib.sha256("\n".join(sorted(classes)).encode()).hexdigest()


def check_classes(name: str, split: Path, found: Sequence[str], surplus_allowed: bool) -> list[str]:
    """Return the classes to use of those that are folders of `split`: the data set's list, or all.

    Args:
        name: key of the data set.
        split: folder of the split, for error messages.
        found: names of the folders in it.
        surplus_allowed: whether other folders are allowed. They are, for example, if a selection of classes
            is read from the folder of the whole data set.

    Raises:
        LdregError: if a class of the list is missing or another folder is not allowed. Without a list, if the
            number of classes is wrong.
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
        problems = [
            f"{len(some)} {what} (first {some[0]!r})"
            for what, some in (("missing", missing), ("surplus", surplus))
            if some
        ]
        raise LdregError(
            f"{split}: its classes are not {name}'s: {', '.join(problems)}; expected the {len(expected)} of"
            f" {_list_of(name)}"
        )
    return expected
