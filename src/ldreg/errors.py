"""Errors that a user can correct, each reported in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Location = tuple[str | int, ...]

# Words of pydantic's messages, and what replaces them for a reader who writes YAML.
_PLAIN = {
    "Input should": "it should",
    "Tuple should": "it should",
    "Dictionary should": "it should",
    "a valid tuple": "a list",
    "a valid dictionary": "keys and values",
    " after validation": "",
}


class LdregError(Exception):
    """A user's mistake, in one line that names the file, the key, the value and what is allowed.

    The command line prints it without a traceback and exits with status 2.
    """


class NotWritableError(LdregError, OSError):
    """A file cannot be written, because the disk is full or does not allow it."""

    def __str__(self) -> str:
        return str(self.args[0])  # OSError would put its number before


def unknown(where: str, name: Any, allowed: Iterable[Any]) -> LdregError:
    """Return the error for an unknown `name` at `where`: it lists `allowed` and suggests the closest one."""
    names = [str(value) for value in allowed]
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return LdregError(f"{where}: {name!r} is unknown; {hint}allowed: {', '.join(names)}")


def check_once(key: str, names: Sequence[str]) -> None:
    """Check in a pydantic validator that no value occurs twice in the list `names` of the setting `key`.

    Raises:
        ValueError: if a value does. `explain` turns this error into one line for the user.
    """
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise ValueError(f"{key}: {twice!r} is named twice; allowed: each once")


def dotted(location: Iterable[str | int]) -> str:
    """Write a location as text: `("runs", 1, "beta")` becomes `runs[1].beta`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def explain(
    error: ValidationError, model: type[BaseModel], origin: Callable[[Location], tuple[str, Location]]
) -> LdregError:
    """Turn one of the problems that pydantic found into an error of one line.

    An unknown key comes first, because it is often a misspelling of a key that is reported as missing. If
    there is none, the first problem is taken. `origin` maps a location within `model` to the file that it
    came from and to its location in that file.
    """
    findings = error.errors()
    found = next((each for each in findings if each["type"] == "extra_forbidden"), findings[0])
    location = tuple(part for part in found["loc"] if part != "[key]")  # a wrong key is its own place
    kind = found["type"]
    if kind == "value_error":  # raised by one of our validators; its message begins with the key
        key, _, message = str(found["ctx"]["error"]).partition(": ")
        file, place = origin((*location, key))
        return LdregError(f"{file}: {dotted(place)}: {message}")
    file, place = origin(location)
    if kind == "extra_forbidden":
        where = ": ".join(filter(None, (file, dotted(place[:-1]))))
        return unknown(where, place[-1], _names_beside(model, location))
    where = f"{file}: {dotted(place)}"
    if kind == "missing":
        return LdregError(f"{where}: missing; it has no default")
    message = re.sub(" or instance of [A-Za-z]+", "", found["msg"])
    for words, plain in _PLAIN.items():
        message = message.replace(words, plain)
    return LdregError(f"{where}: {found['input']!r} is not allowed; {message[0].lower() + message[1:]}")


def refuse_booleans(
    values: Any, model: type[BaseModel], origin: Callable[[Location], tuple[str, Location]], at: Location = ()
) -> None:
    """Refuse booleans where `model` and its nested models expect none; pydantic would read them as 1 or 0.

    YAML reads `yes` and `on` as true, and `no` and `off` as false. `origin` is described in `explain`.

    Raises:
        LdregError: at the first such value.
    """
    if not isinstance(values, Mapping):
        return
    for key, value in values.items():
        kinds = _kinds(model).get(key, frozenset({Any}))
        for place, each in _leaves(value, (*at, key)):
            if isinstance(each, bool) and not kinds & {bool, Any}:
                file, where = origin(place)
                word = "yes, true or on" if each else "no, false or off"
                raise LdregError(
                    f"{file}: {dotted(where)}: {str(each).lower()} is not allowed; it should not be a"
                    f" truth value (YAML reads {word} as one)"
                )
            nested: Any = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
            if nested is not None:
                refuse_booleans(each, nested, origin, place)


@cache
def _kinds(model: type[BaseModel]) -> dict[str, frozenset[Any]]:
    """The types that each field of a model is made of."""
    return {key: frozenset(_parts(field.annotation)) for key, field in model.model_fields.items()}


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the types inside an annotation: for `tuple[int, ...] | None` these are int and NoneType."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for each in inner:
        yield from _parts(each)


def _leaves(value: Any, place: Location) -> Iterator[tuple[Location, Any]]:
    if not isinstance(value, (list, tuple)):
        yield place, value
        return
    for index, each in enumerate(value):
        yield from _leaves(each, (*place, index))


def _names_beside(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that are allowed in place of the last part of `location`, following nested models."""
    for part in location[:-1]:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue  # a list index or a key of a mapping: its values belong to the same model
        nested = [t for t in (field.annotation, *get_args(field.annotation)) if hasattr(t, "model_fields")]
        model = nested[0] if nested else model
    return list(model.model_fields)
