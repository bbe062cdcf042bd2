"""Leases: who waits for whom, and when a holder counts as gone."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ldreg.files import write_json
from ldreg.runtime import lease
from ldreg.runtime.lease import describe_self, leased, read_lease
from ldreg.runtime.process import has_ended

HOLD = """
import sys, time
from pathlib import Path
from ldreg.runtime.lease import leased
with leased(Path(sys.argv[1]), "training", print):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held(tmp_path: Path):
    """A lease that a process of this machine holds, and the process."""
    path = tmp_path / "run/.pretrain.json"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield path, process
        process.kill()


def test_a_holder_that_is_killed_is_replaced_at_once_and_was_named(held) -> None:
    path, process = held
    told = []

    def tell(line: str) -> None:
        told.append(line)
        process.kill()
        process.wait()

    with leased(path, "more", tell, expiry=600) as waited:
        assert waited and read_lease(path)["job"] == "more"
    assert len(told) == 1 and f"waiting for training, which process {process.pid} on" in told[0]
    assert list(path.parent.iterdir()) == []


def test_a_free_lease_is_taken_without_waiting_and_given_back(tmp_path: Path) -> None:
    with leased(tmp_path / "run/.a.json", "a", pytest.fail) as waited:
        assert not waited and not has_ended(read_lease(tmp_path / "run/.a.json"))
    assert list((tmp_path / "run").iterdir()) == []


def elsewhere(path: Path, count: int) -> None:
    write_json(path, describe_self("training") | {"host": "another", "machine": "another", "count": count})


def test_a_holder_on_another_machine_is_gone_when_its_counter_stands_still(tmp_path: Path) -> None:
    path, told = tmp_path / ".pretrain.json", []
    elsewhere(path, 7)
    with leased(path, "more", told.append, expiry=0.2) as waited:
        assert waited
    assert "on another has been doing since" in told[0] and len(told) == 1


def test_a_holder_on_another_machine_that_counts_is_waited_for(tmp_path: Path) -> None:
    path, entered = tmp_path / ".pretrain.json", threading.Event()
    elsewhere(path, 0)

    def wait() -> None:
        with leased(path, "more", lambda line: None, expiry=5.0):
            entered.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    for count in range(1, 4):
        elsewhere(path, count)
        assert not entered.wait(0.1)
    path.unlink()
    waiter.join(60)
    assert entered.is_set()


def test_a_holder_with_the_id_of_an_ended_process_has_ended() -> None:
    mine = describe_self("training")
    assert has_ended(mine) is False and has_ended(mine | {"start": "1"}) is True
    assert has_ended(mine | {"namespace": "of another container"}) is None


def test_a_lease_that_a_cleaner_removes_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    path = tmp_path / ".pretrain.json"
    with leased(path, "a", pytest.fail):
        path.unlink()
        for _ in range(200):
            if read_lease(path):
                break
            time.sleep(0.05)
        assert read_lease(path)["job"] == "a"


def test_a_lease_that_is_cut_short_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / ".pretrain.json"
    path.write_text('{"host": "a", "pi')
    with leased(path, "a", pytest.fail) as waited:
        assert not waited
