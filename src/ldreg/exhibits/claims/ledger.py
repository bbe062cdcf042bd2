"""The ledger of claims: what the paper says, how our runs test it, and the verdict."""

import json
from collections import Counter
from typing import Any, NamedTuple

import pandas as pd

from ldreg.exhibits.claims.claim import Claim
from ldreg.exhibits.claims.declared import NOT_TESTED, VERDICTS, LedgerSettings
from ldreg.exhibits.claims.evidence import read_evidence
from ldreg.exhibits.claims.paper_claims import CLAIMS, METRICS_OF_CLAIMS
from ldreg.exhibits.claims.verdicts import ONE_SEED, Result
from ldreg.exhibits.output.estimates import effect, lid_note, rank_note
from ldreg.exhibits.output.labels import printed
from ldreg.exhibits.output.markup import Block, Cell, markdown
from ldreg.exhibits.runs.run_table import ExhibitSpec, check_keys, describe, load_runs, settings_of
from ldreg.exhibits.stats.intervals import LEVEL


class Entry(NamedTuple):
    """A claim and the result of its test in one context."""

    claim: Claim
    context: str
    result: Result


def ledger(exhibit: ExhibitSpec) -> dict[str, str]:
    """Every claim with its test, estimate, interval, verdict and the paper's number, as Markdown and JSON."""
    settings = settings_of(exhibit, LedgerSettings)
    frame = load_runs(exhibit, METRICS_OF_CLAIMS, settings)
    check_keys(exhibit, frame, settings.base)
    evidence = read_evidence(frame, settings, exhibit.paper, exhibit.path.parent)
    found = [Entry(claim, *tested) for claim in CLAIMS for tested in claim.test(evidence)]
    # Sections come in the order of the runs; comparisons of methods come last.
    order = [context.label for context in evidence.contexts]
    sections = dict.fromkeys(label for label in order if any(entry.context == label for entry in found))
    sections |= dict.fromkeys(entry.context for entry in found)
    opening = _opening(exhibit, frame, settings, found)
    content = {
        "exhibit": exhibit.exhibit,
        "scale": exhibit.scale,
        "seeds": int(frame["seed"].nunique()),
        "level": LEVEL,
        "remarks": opening,
        "claims": [line for claim in CLAIMS for line in _json(claim, found)],
    }
    return {
        "md": _markdown(exhibit, opening, found, list(sections)),
        "json": json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }


def _opening(exhibit: ExhibitSpec, frame: pd.DataFrame, settings: LedgerSettings, found: list[Entry]) -> str:
    where = f"the {exhibit.scale} scale: {describe(frame)}"
    parts = [f"These are the claims of the paper, tested on the runs of {where}."]
    parts.append("A statement marked as ours is not the paper's but this project's.")
    if frame["seed"].nunique() == 1:
        parts.append("One seed has no interval, so nothing can be decided.")
    elif any(entry.result.verdict == ONE_SEED for entry in found):
        parts.append("Some settings have one seed, which has no interval, so nothing can be decided there.")
    if not settings.scale_of_paper:
        parts.append("The paper uses ImageNet and larger encoders, so a verdict holds for this scale alone.")
    parts += [
        "Runs are paired by seed.",
        "Intervals are 95 % t-intervals over seeds. Each is for its own claim and not adjusted for the "
        "number "
        "of claims: of twenty effects that are truly zero, about one would get an interval that excludes "
        f"zero. There are {len(found)} tests here.",
        "Inconclusive means that the interval is too wide to decide, not that there is no effect.",
        f"Linear accuracy is measured by protocol {settings.linear}.",
        lid_note(settings),
        rank_note(settings),
    ]
    return " ".join(parts)


def _markdown(exhibit: ExhibitSpec, opening: str, found: list[Entry], sections: list[str]) -> str:
    parts = [f"## {exhibit.title or exhibit.exhibit}", opening]
    if len(sections) > 1:
        parts.append(markdown(_overview(found)))
    header = ("claim", "verdict", "here [95 % interval]", "seeds", "paper")
    for section in sections:
        rows = [_row(entry) for entry in found if entry.context == section]
        parts.append(markdown(Block(section, header, [rows])))
    tested = {entry.claim.id for entry in found}
    untested = [
        f"- {claim.marked} ({claim.source}): {NOT_TESTED}, needs {claim.needs}"
        for claim in CLAIMS
        if claim.id not in tested
    ]
    if untested:
        parts += ["### Not tested: these runs do not include what is needed", "\n".join(untested)]
    details = [_detail(claim, found) for claim in CLAIMS if claim.id in tested]
    if details:
        parts += ["### How each was tested", "\n".join(details)]
    return "\n\n".join(parts) + "\n"


def _overview(found: list[Entry]) -> Block:
    """Each claim once, with its verdict, or with the count of each verdict where there are several."""
    rows = []
    for claim in CLAIMS:
        verdicts = [entry.result.verdict for entry in found if entry.claim is claim]
        counts = Counter(verdict.partition(" (")[0] for verdict in verdicts)
        several = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        short = (verdicts or [NOT_TESTED])[0] if len(verdicts) < 2 else several
        rows.append([Cell(claim.marked), Cell(claim.source), Cell(short)])
    return Block("All claims", ("claim", "where in the paper", "verdict"), [rows], words=3)


def _row(entry: Entry) -> list[Cell]:
    result = entry.result
    theirs = "not given" if result.paper.value is None else printed(result.paper.value, signed=True)
    estimate = effect(result.estimate, result.unit)
    texts = (entry.claim.marked, result.verdict, estimate, str(result.estimate.n), theirs)
    return [Cell(text) for text in texts]


def _detail(claim: Claim, found: list[Entry]) -> str:
    """What was estimated and how it was tested: one line, or one for each context where there are several."""
    entries = [entry for entry in found if entry.claim is claim]
    tests = dict.fromkeys(entry.result.test for entry in entries)
    if len(entries) == 1:
        (entry,) = entries
        about = f"Estimate: {entry.result.quantity}. Test: {entry.result.test}."
        values = f": {entry.result.paper.words}" if entry.result.paper.words else ""
        return f"- **{claim.marked}**, {entry.context}. {about} Paper ({claim.source}){values}."
    shared = f" Test: {next(iter(tests))}." if len(tests) == 1 else ""
    lines = [f"- **{claim.marked}**.{shared} Paper: {claim.source}."]
    for _, context, result in entries:
        own = "" if shared else f". Test: {result.test}"
        values = f". Paper: {result.paper.words}" if result.paper.words else ""
        lines.append(f"  - {context}: {result.quantity}{own}{values}.")
    return "\n".join(lines)


def _json(claim: Claim, found: list[Entry]) -> list[dict[str, Any]]:
    about = {"id": claim.id, "claim": claim.marked, "source": claim.source, "ours": claim.ours}
    lines = [{**about, **_tested(entry)} for entry in found if entry.claim is claim]
    return lines or [{**about, "verdict": NOT_TESTED, "reason": f"needs {claim.needs}"}]


def _tested(entry: Entry) -> dict[str, Any]:
    result = entry.result
    estimate = result.estimate
    return {
        "context": entry.context,
        "verdict": result.verdict,
        "test": result.test,
        "quantity": result.quantity,
        "unit": result.unit,
        "estimate": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "seeds": estimate.n,
        "paper": result.paper.value,
        "paper_values": result.paper.words,
    }
