import pytest
import torch

from ldreg.errors import LdregError
from ldreg.launch import check_gpus, torchrun


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_too_few_gpus_are_told_with_the_key_that_sets_them(two_gpus):
    for gpus in (0, 1, 2):
        check_gpus(gpus)
    with pytest.raises(
        LdregError, match=r"^execution.gpus: 4, but this machine shows 2; .*execution=\{gpus: 0\}"
    ):
        check_gpus(4)


def test_torchrun_starts_a_rank_per_gpu_and_passes_the_arguments_on(tmp_path, capfd):
    with (tmp_path / "terminal.txt").open("w") as terminal:
        assert torchrun(2, ["pretrain", "--help"], terminal) == 0
    assert capfd.readouterr().out.count("usage: ") == 2


def test_torchrun_reports_failure_and_what_the_ranks_say_reaches_the_terminal(tmp_path):
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert torchrun(2, ["nonsense"], terminal) != 0
    assert "invalid choice: 'nonsense'" in path.read_text()
