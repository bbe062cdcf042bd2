"""The claims ledger: what the paper says, how the runs at hand test it, and the verdict."""

import json
from typing import Any

import pandas as pd

from ldreg.exhibits.data import Exhibit, check_keys, describe, load_runs, settings_of
from ldreg.exhibits.groups import contexts
from ldreg.exhibits.labels import name, printed
from ldreg.exhibits.markup import Block, Cell, markdown
from ldreg.exhibits.reported import Reported
from ldreg.exhibits.settings import LedgerSettings
from ldreg.exhibits.statistics import LEVEL
from ldreg.exhibits.tables import effect
from ldreg.exhibits.verdicts import Claim, Result, judge

CLAIMS = (
    Claim("mlid_rises", "LDReg raises mLID", "abstract; Table 1; Figure 2 (a, d)", "raises", "mlid"),
    Claim(
        "rank_rises",
        "LDReg raises effective rank",
        "abstract; Table 1; Figure 2 (c)",
        "raises",
        "effective_rank",
    ),
    Claim("accuracy_rises", "LDReg raises linear accuracy", "abstract; Table 1", "raises", "linear_top1"),
    Claim("accuracy_kept", "LDReg does not lower linear accuracy", "Table 1", "keeps", "linear_top1"),
    Claim(
        "rank_falls_with_beta",
        "larger beta lowers effective rank",
        "Figure 5 (c)",
        "falls",
        "effective_rank",
        "beta",
    ),
    Claim(
        "rank_falls_with_k", "larger k lowers effective rank", "Figure 5 (d)", "falls", "effective_rank", "k"
    ),
    Claim(
        "accuracy_stable_over_beta",
        "linear accuracy is stable over beta",
        "Figure 5 (a)",
        "stable",
        "linear_top1",
        "beta",
    ),
    Claim(
        "accuracy_stable_over_k",
        "linear accuracy is stable over k",
        "Figure 5 (b)",
        "stable",
        "linear_top1",
        "k",
    ),
)
NOT_TESTED = "not tested"
Ledger = list[tuple[Claim, str, Result | None]]  # claim, context, what its test gave


def ledger(exhibit: Exhibit) -> dict[str, str]:
    """Every claim with its test, estimate, interval, verdict and the paper's number, as Markdown and JSON."""
    settings = settings_of(exhibit, LedgerSettings)
    frame = load_runs(exhibit, tuple(dict.fromkeys(claim.metric for claim in CLAIMS)), settings)
    check_keys(exhibit, frame, settings.base)
    paper = Reported(exhibit.paper, settings)
    found = contexts(frame)
    entries: Ledger = []
    for claim in CLAIMS:
        results = [(context.label, judge(claim, context, paper, settings)) for context in found]
        tested = [(claim, label, result) for label, result in results if result is not None]
        entries += tested or [(claim, "", None)]
    opening = _opening(exhibit, frame, settings)
    content = {
        "exhibit": exhibit.exhibit,
        "scale": exhibit.scale,
        "seeds": int(frame["seed"].nunique()),
        "level": LEVEL,
        "remarks": opening,
        "claims": [_json(*entry) for entry in entries],
    }
    return {
        "md": _markdown(exhibit, opening, entries),
        "json": json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }


def _opening(exhibit: Exhibit, frame: pd.DataFrame, settings: LedgerSettings) -> str:
    where = f"the {exhibit.scale} scale: {describe(frame)}"
    parts = [f"The paper's claims as they stand, tested on the runs of {where}."]
    if frame["seed"].nunique() == 1:
        parts.append("One seed has no interval, so nothing can be decided.")
    if not settings.scale_of_paper:
        parts.append(
            "The paper's own setting is ImageNet with larger encoders: a verdict holds for this scale alone."
        )
    parts += [
        "Runs are paired by seed.",
        "Intervals are 95 % t-intervals over seeds, each for its own claim and not adjusted for the number "
        "of claims: of twenty effects that are truly zero, about one would get an interval without zero.",
        "Inconclusive means that the interval is too wide to say, not that there is no effect.",
        f"mLID: {settings.mlid}.",
        f"Effective rank: eigenvalues of the {name(settings.effective_rank)}.",
    ]
    return " ".join(parts)


def _markdown(exhibit: Exhibit, opening: str, entries: Ledger) -> str:
    header = ("claim of the paper", "verdict", "here [95 % interval]", "seeds", "paper")
    parts = [f"## {exhibit.title or exhibit.exhibit}", opening]
    for context in dict.fromkeys(label for _, label, result in entries if result):
        rows = [_row(claim, result) for claim, label, result in entries if label == context and result]
        parts.append(markdown(Block(context, header, [rows])))
    untested = [
        f"- {claim.text} ({claim.source}): {NOT_TESTED}" for claim, _, result in entries if not result
    ]
    if untested:
        parts += ["### Not tested: the runs of this scale do not include what is needed", "\n".join(untested)]
    details = [_detail(claim, label, result) for claim, label, result in entries if result]
    if details:
        parts += ["### How each was tested", "\n".join(details)]
    return "\n\n".join(parts) + "\n"


def _row(claim: Claim, result: Result) -> list[Cell]:
    theirs = "not given" if result.paper is None else printed(result.paper, signed=True)
    texts = (claim.text, result.verdict, effect(result.estimate, result.unit), str(result.estimate.n), theirs)
    return [Cell(text) for text in texts]


def _detail(claim: Claim, context: str, result: Result) -> str:
    stands = f"Paper ({claim.source})" + (f": {result.paper_values}" if result.paper_values else "")
    return f"- **{claim.text}**, {context}. Estimate: {result.quantity}. Test: {result.test}. {stands}."


def _json(claim: Claim, context: str, result: Result | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": claim.id, "claim": claim.text, "source": claim.source}
    if result is None:
        return {**entry, "verdict": NOT_TESTED}
    estimate = result.estimate
    return {
        **entry,
        "context": context,
        "verdict": result.verdict,
        "test": result.test,
        "quantity": result.quantity,
        "unit": result.unit,
        "estimate": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "seeds": estimate.n,
        "paper": result.paper,
        "paper_values": result.paper_values,
    }
