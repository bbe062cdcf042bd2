"""Every claim can come out supported, inconclusive and contradicted, and names its place in the paper."""

import re

import pytest
from ledgers import BASE
from outcomes import BY_SEED, MAKERS

from ldreg.exhibits.claims.declared import LedgerSettings
from ldreg.exhibits.claims.evidence import read_evidence
from ldreg.exhibits.claims.paper_claims import CLAIMS, METRICS_OF_CLAIMS
from ldreg.exhibits.runs.run_table import load_runs, read_exhibit, settings_of

BY_ID = {claim.id: claim for claim in CLAIMS}


def results_of(runs, claim: str, **settings):
    """The results of one claim on all runs made so far."""
    exhibit = read_exhibit(runs.spec("ledger", **{"base": BASE, **settings}))
    found = settings_of(exhibit, LedgerSettings)
    frame = load_runs(exhibit, METRICS_OF_CLAIMS, found)
    evidence = read_evidence(frame, found, exhibit.paper, exhibit.path.parent)
    return [result for _, result in BY_ID[claim].test(evidence)]


@pytest.mark.parametrize("outcome", BY_SEED)
@pytest.mark.parametrize("claim", BY_ID)
def test_a_claim_can_come_out_in_each_way(runs, claim: str, outcome: str) -> None:
    settings = MAKERS[claim](runs, outcome, BY_SEED[outcome])
    (result,) = results_of(runs, claim, **settings)
    assert result.verdict == outcome
    assert result.estimate.n == 3


def test_every_claim_names_its_place_and_ours_are_marked() -> None:
    for claim in CLAIMS:
        where = r"section \d|appendix [A-I]" if not claim.ours else r"Figure|Table"
        assert re.search(where, claim.source), claim.id
        assert claim.marked.endswith(" (ours)") == claim.ours
    assert {claim.id for claim in CLAIMS if claim.ours} == {"accuracy_kept", "accuracy_rises_with_jitter"}
