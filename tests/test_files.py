"""JSON and YAML are read with errors in one line that names the file."""

import errno

import pytest

from ldreg.errors import LdregError, NotWritableError
from ldreg.files import read_json, read_yaml, replacing, write_json


def test_read_json_gives_what_write_json_wrote(tmp_path) -> None:
    content = {"mlid": 4.75, "there": None, "lid": [{"k": 16}]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n"a": 1,\n}', "line 3: not valid JSON: "),
        (b"[1]", "expected keys and values, found a list"),
        (b"\xff", "cannot be read: "),
    ],
)
def test_read_json_names_what_is_wrong(tmp_path, content: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(LdregError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_read_json_of_a_missing_file_says_what_the_caller_knows(tmp_path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(LdregError, match=r"a\.json: no such file$"):
        read_json(path)
    with pytest.raises(LdregError, match=r"a\.json: not measured yet$"):
        read_json(path, "not measured yet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na:\n", "line 3: a: given twice, first in line 1; remove one"),
        ("exhibits:\n  figure5: {runs: []}\n  figure5:\n", "line 3: figure5: given twice, first in line 2;"),
        ("runs:\n  - {beta: 1, beta: 2}\n", "line 2: beta: given twice, first in line 2; remove one"),
        ("a: [1\n", "line 2: not valid YAML: "),
    ],
)
def test_a_key_given_twice_is_refused(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(LdregError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_what_is_said_over_merged_keys_is_meant(tmp_path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {k: 1, beta: 2}\nb: &b {<<: *a, k: 3}\nc: {<<: *b, beta: 4}\nd: *b\n")
    content = read_yaml(path)
    assert content["b"] == content["d"] == {"k": 3, "beta": 2}
    assert content["c"] == {"k": 3, "beta": 4}


def test_a_file_whose_name_just_fits_can_be_written(tmp_path) -> None:
    path = tmp_path / f"{'ä' * 125}.json"  # 255 bytes
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1} and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room, then"),
        (OSError(errno.EROFS, "Read-only"), "Read-only file system; allow writing there, then"),
        # What safetensors says of a full disk.
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on device; make"),
    ],
)
def test_a_disk_that_takes_no_more_is_told_by_the_file_and_leaves_nothing(tmp_path, error, told) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(NotWritableError) as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert str(caught.value).startswith(f"{path}: cannot be written: {told}")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_other_errors_of_a_writer_stay_what_they_are(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.json"):
        _ = 1 / 0
