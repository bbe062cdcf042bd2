import pytest

from ldreg.errors import LdregError
from ldreg.runtime.launch import srun_command, start_ranks


def test_torchrun_starts_a_rank_per_gpu_and_passes_the_arguments_on(tmp_path):
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert start_ranks(2, 1, ["pretrain", "--help"], terminal) == 0
    assert path.read_text().count("usage: ") == 2


def test_torchrun_leaves_our_options_to_us(tmp_path):
    """`--log` is the beginning of several of torchrun's own."""
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        arguments = ["pretrain", "nonsense.yaml", "--data", "x", "--log", str(tmp_path / "log.txt")]
        assert start_ranks(2, 1, arguments, terminal) == 2
    assert path.read_text().startswith("error: ") and path.read_text().count("\n") == 1
    assert "nonsense" in path.read_text() and "nonsense" in (tmp_path / "log.txt").read_text()


def test_a_rank_that_fails_without_a_word_is_told_in_one_line(tmp_path):
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert start_ranks(2, 1, ["nonsense"], terminal) == 1
    assert path.read_text().startswith("error: a rank failed, torchrun ended with status ")
    assert path.read_text().count("\n") == 1


def test_options_that_a_platform_presets_do_not_reach_torchrun(tmp_path, monkeypatch):
    """With two nodes torchrun would wait for the second one for ever."""
    monkeypatch.setenv("PET_NNODES", "2")
    monkeypatch.setenv("PET_NODE_RANK", "1")
    path = tmp_path / "terminal.txt"
    with path.open("w") as terminal:
        assert start_ranks(2, 1, ["pretrain", "--help"], terminal) == 0
    assert path.read_text().count("usage: ") == 2


def test_several_nodes_are_started_by_srun_where_it_granted_them(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(LdregError, match=r"^execution.nodes: 2, but this is no SLURM job; "):
        srun_command(4, 2)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert srun_command(4, 2)[:4] == ["srun", "--nodes=2", "--ntasks=8", "--ntasks-per-node=4"]
    assert "--ntasks-per-node=1" in srun_command(0, 2)
