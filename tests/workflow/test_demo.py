"""The demo's core, made as `make demo` makes it: minutes on two cores, so `make test-all` alone runs it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldreg.exhibits import RENDERERS
from ldreg.workflow.scale import Scale

Workflow = Any  # tests/workflow/conftest.py
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_the_core_is_made_and_shows_what_the_paper_claims_first(
    fresh_workflow: Callable[[Path], Workflow], tmp_path: Path
) -> None:
    """On real images LDReg raises mLID and effective rank; a second call has nothing to do."""
    workflow = fresh_workflow(tmp_path)
    done = workflow.run("core", scale=None)
    assert done.returncode == 0, done.stdout + done.stderr
    scale = Scale.read(REPOSITORY / "config/demo.yaml")
    for name in scale.content.core:
        for suffix in RENDERERS[scale.exhibits[name].renderer].suffixes:
            assert workflow.path(f"results/demo/exhibits/{name}.{suffix}").stat().st_size > 0
    claims = json.loads(workflow.path("results/demo/exhibits/claims.json").read_text())["claims"]
    verdicts = {claim["id"]: claim["verdict"] for claim in claims}
    assert verdicts["mlid_rises"] == verdicts["rank_rises"] == "supported"
    assert workflow.jobs("core", scale=None) == {}
