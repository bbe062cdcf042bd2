"""Writing and reading files.

Every output is written to a temporary file that is then renamed, so an interrupted job leaves no half-written
file. Errors in YAML and JSON files are reported in one line.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from ldreg.errors import LdregError, NotWritableError

# Errors of the disk by their number, and what helps.
_CURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "allow writing there"),
}
_NAME_MAX = 255  # bytes of a file's name on Linux and macOS
_UMASK = os.umask(0)  # the umask can only be read by setting it
os.umask(_UMASK)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block ends without an error.

    Raises:
        NotWritableError: if the disk is full or does not allow the file; other errors are left as they are.
    """
    path = Path(path)
    # The suffix is kept, because writers such as matplotlib choose the format by it.
    ending = f".{os.getpid()}{path.suffix}"
    stem = shortened(f".{path.stem}", _NAME_MAX - len(os.fsencode(ending)))
    temporary = path.with_name(f"{stem}{ending}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # Some writers let only the owner read the file, but colleagues on a cluster must be able to read it.
        temporary.chmod(0o666 & ~_UMASK)
        os.replace(temporary, path)
    except Exception as error:
        if explained := _of_the_disk(path, error):
            raise explained from error
        raise
    finally:
        with suppress(OSError):  # of a disk that does not allow it, for example
            temporary.unlink(missing_ok=True)


def _of_the_disk(path: Path, error: Exception) -> NotWritableError | None:
    """The error in one line that names the file, if it is the disk's; safetensors tells its number."""
    told = re.search(r"\(os error (\d+)\)", str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    if number not in _CURES:
        return None
    cure = f"{_CURES[number]}, then give the same command again"
    explained = NotWritableError(f"{path}: cannot be written: {os.strerror(number)}; {cure}")
    explained.errno, explained.strerror = number, os.strerror(number)
    return explained


def shortened(name: str, most: int = _NAME_MAX) -> str:
    """Return `name` if it has at most `most` bytes, else its beginning and a hash of the whole.

    >>> shortened("seed0"), len(shortened("x" * 300))
    ('seed0', 255)
    """
    encoded = os.fsencode(name)
    if len(encoded) <= most:
        return name
    ending = f"-{hashlib.sha256(encoded).hexdigest()[:12]}"
    return encoded[: most - len(ending)].decode(errors="ignore") + ending


def expanded(folder: str) -> str:
    """Return the path of a folder with `~` and `$NAME` replaced, and without superfluous dots and slashes.

    A folder that exists under the name as it stands is taken, whatever characters it has.

    >>> expanded("./sets//imagenet/")
    'sets/imagenet'

    Raises:
        ValueError: if the path is empty, if a variable or a home folder is unknown, or if the path has a
            character that Snakemake reads as a pattern. The message says what is wrong.
    """
    if not folder.strip():
        raise ValueError("it should name a folder")
    path = folder
    if not os.path.isdir(folder):
        names = [braced or plain for plain, braced in re.findall(r"\$(?:(\w+)|\{([^}]*)\})", folder)]
        if unset := next((name for name in names if name not in os.environ), None):
            raise ValueError(f"the variable {unset} is not set")
        path = os.path.expanduser(os.path.expandvars(folder))
        if folder.startswith("~") and path.startswith("~"):
            raise ValueError("this home folder is unknown; write out the path")
    if found := next((each for each in path if each in "{}\x7f" or each < " "), None):
        raise ValueError(f"it should not contain {found!r}; make a link of another name to that folder")
    return str(Path(path))


def write_durably(path: Path, content: bytes) -> None:
    """Write `content` to `path` in one step, so that it survives a crash of the machine after the return.

    The content is on the disk before the file gets its name, and the name before this function returns.

    Raises:
        OSError: if the file cannot be written; the one before, if there is one, is then unchanged.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError:  # some network file systems do not support this for folders, and need it the less
        pass
    finally:
        os.close(folder)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` (UTF-8) in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy_text(source: Path, target: Path) -> Path:
    """Copy a text file in one step, unless `target` has the same content already; returns `target`."""
    text = source.read_text(encoding="utf-8")
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        write_text(target, text)
    return target


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def digest(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def yaml_text(comment: str, value: dict[str, Any]) -> str:
    """`value` as YAML below a comment line."""
    return f"# {comment}\n" + yaml.safe_dump(value, sort_keys=False)


def write_yaml(path: Path, comment: str, value: dict[str, Any]) -> None:
    """Write `value` to `path` below a comment line, unless the file has exactly this content already."""
    text = yaml_text(comment, value)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_json(path: Path, missing: str = "no such file") -> dict[str, Any]:
    """Return the mapping in a JSON file; `missing` is the error's text if there is no such file.

    Raises:
        LdregError: if the file is missing or is not valid JSON (the error names the line), or if its content
            is not a mapping.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LdregError(f"{path}: {missing}") from error
    except json.JSONDecodeError as error:
        raise LdregError(f"{path}: line {error.lineno}: not valid JSON: {error.msg}") from error
    except (OSError, ValueError, RecursionError) as error:  # a number of thousands of digits, for example
        raise LdregError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise LdregError(f"{path}: expected keys and values, found a {type(content).__name__}")
    return content


class _Twice(yaml.MarkedYAMLError):
    """A mapping of a YAML file has the same key twice."""


# libyaml's parser accepts the same files as PyYAML's own and is about eight times as fast, but some builds of
# PyYAML lack it.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _load_yaml(text: str) -> Any:
    """Return the content of a YAML text, in which no mapping may have the same key twice.

    PyYAML itself keeps the last of two equal keys without a warning. The check runs before merge keys (`<<`)
    are resolved, because overriding a merged key is intended.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        _refuse_twice(root, {})
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _refuse_twice(node: Any, seen: dict[int, bool]) -> None:
    """Raise `_Twice` at the first repeated key of a mapping, and refuse a collection that contains itself.

    `seen` holds the ids of visited nodes, and whether all that they contain has been visited too.
    """
    if not isinstance(node, yaml.CollectionNode):
        return
    if id(node) in seen:  # an alias is the same node object as its anchor
        if not seen[id(node)]:
            raise yaml.MarkedYAMLError(problem="an alias inside its own anchor", problem_mark=node.start_mark)
        return
    seen[id(node)] = False
    _refuse_twice_inside(node, seen)
    seen[id(node)] = True


def _refuse_twice_inside(node: Any, seen: dict[int, bool]) -> None:
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_twice(each, seen)
        return
    lines: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if first := lines.get((key.tag, key.value)):
                problem = f"{key.value}: given twice, first in line {first}; remove one"
                raise _Twice(problem=problem, problem_mark=key.start_mark)
            lines[key.tag, key.value] = key.start_mark.line + 1
        _refuse_twice(value, seen)


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping in a YAML file.

    Raises:
        LdregError: if the file is missing, if it is not valid YAML or has a key twice (the error names the
            line), or if its content is not a mapping.
    """
    try:
        content = _load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LdregError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LdregError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        kind = "" if isinstance(error, _Twice) else "not valid YAML: "
        raise LdregError(f"{path}: {line}{kind}{problem}") from error
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        # PyYAML's constructors raise these at values such as the date 2020-13-01.
        raise LdregError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else repr(content)
        raise LdregError(f"{path}: expected keys and values, found {found}")
    return content


def read_keys(path: Path, *keys: str) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML file, which must have all of `keys`.

    Raises:
        LdregError: if the file is missing, cannot be parsed or lacks a key; the error names the file.
    """
    if path.suffix == ".yaml":
        value = read_yaml(path)
    else:
        value = read_json(path, "no such file; the job that writes it has not finished")
    for key in keys:
        if key not in value:
            raise LdregError(f"{path}: key {key} is missing")
    return value
