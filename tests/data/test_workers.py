import pytest
import torch
from torch.utils.data import DataLoader

from ldreg.data import workers
from ldreg.data.workers import collate_for, received
from ldreg.errors import LdregError
from ldreg.runtime.container import Memory


def test_small_shared_memory_is_gone_round_and_told(monkeypatch, capsys):
    monkeypatch.setattr(workers, "shared_memory_free", lambda: 64 * 2**20)
    assert collate_for(0) is None and capsys.readouterr().err == ""
    collate = collate_for(2)
    assert capsys.readouterr().err.startswith("/dev/shm has 64 MiB free, which is little for 2 workers: ")
    loader = DataLoader(torch.arange(6).view(3, 2), batch_size=None, num_workers=0, collate_fn=collate)
    assert torch.stack(list(received(loader))).tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("free", [None, 2**40])
def test_enough_shared_memory_is_used(monkeypatch, capsys, free):
    monkeypatch.setattr(workers, "shared_memory_free", lambda: free)
    assert collate_for(8) is None and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "words, told",
    [
        ("is killed by signal: Bus error. It is possible", "/dev/shm is full; "),
        ("is killed by signal: Killed. ", "it took more memory than there is; "),
        ("exited unexpectedly", "it took more memory than there is; "),
    ],
)
def test_a_killed_worker_is_told_as_such(monkeypatch, words, told):
    monkeypatch.setattr(
        workers, "memory", lambda: Memory(None, None, -1)
    )  # fewer kills than are counted later

    def loader():
        yield 1
        raise RuntimeError(f"DataLoader worker (pid 7) {words}")

    results = received(loader())
    assert next(results) == 1
    with pytest.raises(LdregError, match=f"^a process that decodes images was killed: {told}"):
        next(results)


def test_other_errors_keep_their_words():
    def loader():
        raise RuntimeError("sizes differ")
        yield

    with pytest.raises(RuntimeError, match="sizes differ"):
        next(received(loader()))
