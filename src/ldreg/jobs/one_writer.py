"""One writer at a time in the folder of a run, for each job; the second waits for the first."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ldreg.catalogue.measurements import PRETRAINED
from ldreg.config.result_paths import asked, scale_of_spec
from ldreg.config.run_spec import read_spec
from ldreg.errors import LdregError
from ldreg.files import read_json
from ldreg.runtime.lease import leased, wait_until_free
from ldreg.runtime.ranks import is_rank

PRETRAIN = "pretrain"


@contextmanager
def one_writer(spec_path: Path, job: str, ranks: int, tell: Callable[[str], None]) -> Iterator[bool]:
    """Keep other processes from doing the same job on the same run while the block runs.

    A job whose Snakemake was killed may still be running when the next Snakemake starts it again. The second
    waits here and, if the first was a pretraining that has finished meanwhile, finds it made. Of a job's
    ranks, rank 0 holds the lease; the process that starts them waits only. A measurement also waits for a
    pretraining of its run.

    Args:
        spec_path: as for `ldreg.jobs.shared.open_run`.
        job: its name.
        ranks: how many processes the job consists of.
        tell: receives a line that names the holder.

    Yields:
        Whether another process finished the same job while this one waited.

    Raises:
        LdregError: the spec is missing or broken.
    """
    run, spec = read_spec(asked(spec_path))
    scale = scale_of_spec(asked(spec_path))
    folder = scale / "runs" / run if scale else spec_path.parent
    lease = folder / f".{job}.json"
    if is_rank() and int(os.environ.get("RANK", 0)) > 0:
        yield False
        return
    if job != PRETRAIN:
        wait_until_free(folder / f".{PRETRAIN}.json", tell)
    if ranks > 1 and not is_rank():
        waited = wait_until_free(lease, tell)
        yield waited and job == PRETRAIN and _is_trained(folder, spec.hash)
        return
    with leased(lease, f"{job} of {run}", tell) as waited:
        yield waited and job == PRETRAIN and _is_trained(folder, spec.hash)


def _is_trained(folder: Path, spec_hash: str) -> bool:
    """Whether the outputs of pretraining are complete and of this spec; summary.json is written last."""
    if not all((folder / name).is_file() for name in PRETRAINED):
        return False
    try:
        return read_json(folder / "summary.json").get("spec_hash") == spec_hash
    except LdregError:
        return False
