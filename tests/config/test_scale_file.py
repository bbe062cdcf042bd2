import pytest
from pydantic import ValidationError

from ldreg.config.execution import Execution


def test_jobs_are_told_how_to_run() -> None:
    plain = "--gpus 0 --nodes 1 --workers 0 --precision float32 --corrupt-images stop"
    assert Execution().pretrain_options == plain
    assert Execution().step_options == Execution(monitors=False).step_options == plain
    assert Execution().measure_options == "--gpus 0 --workers 0 --corrupt-images stop"
    many = Execution(
        gpus=4,
        nodes=2,
        workers=8,
        precision="fp16",
        micro_batch=256,
        accumulation="plain",
        monitors=False,
        corrupt_images="skip",
    )
    assert many.pretrain_options == (
        "--gpus 4 --nodes 2 --workers 8 --precision fp16 --corrupt-images skip"
        " --micro-batch 256 --accumulation plain --no-monitors"
    )
    assert many.measure_options == "--gpus 1 --workers 8 --corrupt-images skip"


def test_a_run_that_is_longer_than_a_slot_goes_on_in_the_next_ones() -> None:
    sliced = Execution(hours=28, slot=4, checkpoint_minutes=0.5)
    assert sliced.pretrain_options.endswith(" --checkpoint-minutes 0.5 --budget 4h")
    assert (sliced.limit(28), sliced.limit(3), sliced.retries(28), sliced.retries(29)) == (4, 3, 7, 8)
    whole = Execution(hours=28)
    assert (whole.limit(28), whole.retries(28)) == (28, None)
    assert "--budget" not in whole.pretrain_options


def test_several_nodes_need_an_allocation_that_holds_all_tasks() -> None:
    assert Execution(gpus=4, threads=32).cluster_resources == {}
    assert Execution(gpus=4, nodes=2, threads=32).cluster_resources == {
        "mpi": "srun",
        "nodes": 2,
        "tasks": 8,
        "tasks_per_gpu": 0,
        "cpus_per_task": 8,
    }
    assert Execution(nodes=2).cluster_resources["tasks"] == 2  # a rank per node on CPUs


@pytest.mark.parametrize("wrong", [{"nodes": 0}, {"micro_batch": 0}, {"accumulation": "some"}, {"gpu": 1}])
def test_mistakes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Execution(**wrong)
