"""Quotas and limits of control groups, of both versions, as a container sees them."""

import os

import pytest

from ldreg.runtime import container
from ldreg.runtime.container import Memory, available_cpus, memory, told_of_kill


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """`groups(membership, files)`: this process in these control groups, on a machine of 8 processors."""

    def made(membership, files):
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "membership").write_text(membership)
        monkeypatch.setattr(container, "_ROOT", tmp_path / "cgroup")
        monkeypatch.setattr(container, "_MEMBERSHIP", tmp_path / "membership")
        monkeypatch.setattr(container, "_MACHINE", tmp_path / "vmstat")
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8))

    return made


V2 = "0::/pods/one\n"
V1 = "9:cpu,cpuacct:/one\n4:memory:/one\n0::/\n"


@pytest.mark.parametrize(
    "membership, files, cpus",
    [
        (V2, {"pods/one/cpu.max": "250000 100000"}, 2),
        (V2, {"pods/one/cpu.max": "max 100000", "pods/cpu.max": "400000 100000"}, 4),
        (V2, {"pods/one/cpu.max": "50000 100000"}, 1),
        (V2, {"pods/one/cpu.max": "max 100000"}, 8),
        (V2, {"cpu.max": "300000 100000"}, 3),  # the group's path is that outside of the container
        (V2, {"pods/one/cpu.max": "1600000 100000"}, 8),
        (V2, {"pods/one/cpu.max": "nonsense"}, 8),
        (
            V1,
            {"cpu,cpuacct/one/cpu.cfs_quota_us": "200000", "cpu,cpuacct/one/cpu.cfs_period_us": "100000"},
            2,
        ),
        (V1, {"cpu/one/cpu.cfs_quota_us": "-1", "cpu/one/cpu.cfs_period_us": "100000"}, 8),
        ("", {"x": ""}, 8),
    ],
)
def test_a_quota_counts_as_so_many_processors(groups, membership, files, cpus):
    groups(membership, files)
    assert available_cpus() == cpus


V2_MEMORY = {"memory.max": str(2**31), "memory.peak": str(2**30), "memory.events": "oom 4\noom_kill 3\n"}
V1_MEMORY = {
    "memory.limit_in_bytes": str(2**31),
    "memory.max_usage_in_bytes": str(2**30),
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
}


@pytest.mark.parametrize(
    "membership, files",
    [
        (V2, {f"pods/one/{name}": text for name, text in V2_MEMORY.items()}),
        (V2, {"pods/one/memory.max": "max", **{f"pods/{name}": text for name, text in V2_MEMORY.items()}}),
        (V1, {f"memory/one/{name}": text for name, text in V1_MEMORY.items()}),
    ],
)
def test_a_kill_for_memory_is_told_with_the_groups_numbers(groups, membership, files):
    groups(membership, files)
    assert memory() == Memory(2**31, 2**30, 3)
    assert told_of_kill(Memory(2**31, 0, 2)).startswith(
        "it took more memory than there is; this container or job may take 2 GiB, of which 1 GiB were in use"
        " at most; processes killed for memory since the start: 1; "
    )
    assert told_of_kill(Memory(2**31, 0, 3)).startswith("most often because memory was short; ")


def test_without_a_limit_the_machines_own_count_is_read(groups, tmp_path):
    groups(V2, {"pods/one/memory.max": "max"})
    assert memory() == Memory(None, None, 0)
    (tmp_path / "vmstat").write_text("pgfault 7\noom_kill 1\n")
    assert memory() == Memory(None, None, 1)
    assert told_of_kill(Memory(None, None, 0)).startswith("it took more memory than there is; ")
