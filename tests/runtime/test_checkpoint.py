"""A checkpoint counts as a whole or not at all, and the one before it stays until then."""

import errno
import json
import os

import pytest
import torch

from ldreg.errors import LdregError
from ldreg.runtime.checkpoint import Checkpoint
from ldreg.runtime.packing import same_bits
from ldreg.runtime.slices import SliceEnded

IDENTITY = {"spec": "a", "settings": {"epochs": 2}}


@pytest.fixture
def two(tmp_path, monkeypatch):
    """A checkpoint of step 2 beside that of step 1, as after a kill before the latter is deleted."""
    checkpoint = Checkpoint(tmp_path, "pretrain", IDENTITY)
    checkpoint.extra = {"run": "abc"}
    assert checkpoint.save(1, state(1), {"own": 1})
    monkeypatch.setattr(Checkpoint, "_delete", lambda *arguments: None)
    assert checkpoint.save(2, state(2), {"own": 2})
    monkeypatch.undo()
    return checkpoint


def state(step):
    return {"weights": torch.full((3, 2), float(step)), "history": [{"loss": 0.1, "top1": None}]}


def reopened(tmp_path, identity=IDENTITY):
    checkpoint = Checkpoint(tmp_path, "pretrain", identity)
    return checkpoint, checkpoint.load()


def test_the_newest_one_is_found_with_all_that_it_holds(two, tmp_path, capsys):
    checkpoint, found = reopened(tmp_path)
    assert (found.step, found.own, checkpoint.extra) == (2, {"own": 2}, {"run": "abc"})
    assert same_bits(found.shared["weights"], state(2)["weights"])
    assert found.shared["history"] == state(2)["history"]
    assert capsys.readouterr().err == f"{two.folder}: goes on after step 2\n"


def test_the_one_before_is_deleted_and_nothing_else_stays(two, tmp_path):
    (two.folder / ".3.999.json").write_text("half")
    assert two.save(3, state(3), {})
    assert {path.name for path in two.folder.iterdir()} == {"3.json", "3.safetensors"}
    two.remove()
    assert list(tmp_path.iterdir()) == []


def test_time_is_cumulative(tmp_path):
    checkpoint = Checkpoint(tmp_path, "pretrain", IDENTITY)
    checkpoint._seconds = 3600.0
    checkpoint.save(1, {}, {})
    assert 3600 < reopened(tmp_path)[0].seconds < 3660


def truncated(path):
    path.write_bytes(path.read_bytes()[:-5])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, flipped, os.unlink])
@pytest.mark.parametrize("name", ["2.json", "2.safetensors"])
def test_a_damaged_one_is_named_and_the_one_before_is_taken(two, tmp_path, capsys, damage, name):
    damage(two.folder / name)
    assert reopened(tmp_path)[1].step == 1
    told = capsys.readouterr().err.splitlines()
    if (damage, name) != (os.unlink, "2.json"):  # without its JSON there is no checkpoint
        assert told.pop(0).startswith(f"{two.folder}/2.json: ignored: ")
    assert told == [f"{two.folder}: goes on after step 1"]


def test_every_flipped_bit_is_seen(tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path, "pretrain", IDENTITY)
    checkpoint.save(1, state(1), {})
    for name in ("1.json", "1.safetensors"):
        path = checkpoint.folder / name
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            found = reopened(tmp_path)[1]
            # White space between two values of JSON may be altered without altering the content.
            same = found and json.loads(path.read_bytes()) == json.loads(whole)
            assert found is None or same, (name, place)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "other", [{"spec": "b", "settings": {"epochs": 2}}, {**IDENTITY, "precision": "bf16"}]
)
def test_another_job_takes_no_part_of_it(two, tmp_path, other):
    checkpoint, found = reopened(tmp_path, other)
    assert found is None and checkpoint.folder != two.folder
    checkpoint.folder.parent.joinpath(two.folder.name).rename(checkpoint.folder)
    assert reopened(tmp_path, other)[1] is None, "not even under its name"


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_full_disk_costs_a_warning_and_the_one_before_stays(two, tmp_path, monkeypatch, capsys, full_at):
    synced = []

    def full(descriptor):
        synced.append(descriptor)
        if len(synced) > 2 * (full_at - 1):  # each file is synchronised itself, and then its folder
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert not two.save(3, state(3), {})
    assert capsys.readouterr().err == (
        f"warning: {two.folder}/3.json: the checkpoint cannot be written: No space left on device;"
        " that of step 2 stays\n"
    )
    assert {path.name.partition(".")[0] for path in two.folder.iterdir()} == {"1", "2"}
    assert reopened(tmp_path)[1].step == 2
    assert two.save(4, state(4), {})


def test_resuming_on_another_number_of_ranks_is_told(two, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ldreg.runtime.checkpoint.world_size", lambda: 2)
    found = reopened(tmp_path)[1]
    assert found.own is None and found.owns == [{"own": 2}]
    assert "goes on after step 2, on 2 rank(s) instead of 1: rounding may differ" in capsys.readouterr().err


def test_a_failure_ends_retries_at_once_until_a_new_start(tmp_path):
    checkpoint = Checkpoint(tmp_path, "pretrain", IDENTITY)
    with pytest.raises(ZeroDivisionError), checkpoint.attempt(1):
        raise ZeroDivisionError("diverged in epoch 3")
    message = "^not tried again, because the attempt before failed: ZeroDivisionError: diverged in epoch 3$"
    with pytest.raises(LdregError, match=message), checkpoint.attempt(2):
        pytest.fail("it is tried again")
    with checkpoint.attempt(1):
        assert not list(checkpoint.folder.iterdir())


def test_the_end_of_a_slice_is_no_failure(tmp_path):
    checkpoint = Checkpoint(tmp_path, "pretrain", IDENTITY)
    with pytest.raises(SliceEnded), checkpoint.attempt(1):
        checkpoint.save(1, {}, {})
        raise SliceEnded("budget", "after step 1 of 2")
    with checkpoint.attempt(2):
        assert checkpoint.load().step == 1


def test_the_one_before_stays_until_the_new_one_can_be_read_back(two, tmp_path, monkeypatch, capsys):
    def corrupting(path, content):
        path.write_bytes(content[:-1] + b"?")

    with monkeypatch.context() as patch:
        patch.setattr("ldreg.runtime.checkpoint.write_durably", corrupting)
        assert not two.save(3, state(3), {})
    assert "3.safetensors does not hold what was written; that of step 2 stays" in capsys.readouterr().err
    assert reopened(tmp_path)[1].step == 2
