"""Mistakes that a user can mend, each told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Location = tuple[str | int, ...]

# Of pydantic's messages, whose readers write YAML.
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


def unknown(where: str, name: Any, allowed: Iterable[Any]) -> LdregError:
    """The error for `name`, found at `where`, which is none of `allowed`."""
    names = [str(value) for value in allowed]
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return LdregError(f"{where}: {name!r} is unknown; {hint}allowed: {', '.join(names)}")


def check_once(key: str, names: Sequence[str]) -> None:
    """Refuse, for a validator of pydantic's, a list below `key` that names something twice.

    Raises:
        ValueError: Which `explain` tells.
    """
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise ValueError(f"{key}: {twice!r} is named twice; allowed: each once")


def dotted(location: Iterable[str | int]) -> str:
    """`("runs", 1, "beta")` as `runs[1].beta`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def explain(
    error: ValidationError, model: type[BaseModel], origin: Callable[[Location], tuple[str, Location]]
) -> LdregError:
    """One of pydantic's findings as one line: a misspelt key, for which another is missing, else the first.

    `origin` tells for a location within `model` which file it came from and where it stands there.
    """
    findings = error.errors()
    found = next((each for each in findings if each["type"] == "extra_forbidden"), findings[0])
    location, kind = found["loc"], found["type"]
    if kind == "value_error":  # from a validator of ours, whose message begins with the key's name
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
    message = found["msg"]
    for words, plain in _PLAIN.items():
        message = message.replace(words, plain)
    return LdregError(f"{where}: {found['input']!r} is not allowed; {message[0].lower() + message[1:]}")


def refuse_booleans(
    values: Any, model: type[BaseModel], origin: Callable[[Location], tuple[str, Location]], at: Location = ()
) -> None:
    """Refuse `yes`, `true` and so on where `model` has no truth value: pydantic would read them as 1 or 0.

    `origin` as for `explain`. Raises LdregError, also of what nested models hold.
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
                    f"{file}: {dotted(where)}: {str(each).lower()} is not allowed; it should be no truth"
                    f" value, as which YAML reads {word}"
                )
            nested: Any = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
            if nested is not None:
                refuse_booleans(each, nested, origin, place)


@cache
def _kinds(model: type[BaseModel]) -> dict[str, frozenset[Any]]:
    """The types that each field of a model is made of."""
    return {key: frozenset(_parts(field.annotation)) for key, field in model.model_fields.items()}


def _parts(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of: those of `tuple[int, ...] | None` are int and None's."""
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
    """Names allowed at the last part of `location`, following nested models."""
    for part in location[:-1]:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue  # an index or a mapping's key: the model that holds it goes on
        nested = [t for t in (field.annotation, *get_args(field.annotation)) if hasattr(t, "model_fields")]
        model = nested[0] if nested else model
    return list(model.model_fields)
