"""The claims of the paper: each with its place in the paper and its test."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ldreg.exhibits.claims.evidence import MONITOR, Evidence
from ldreg.exhibits.claims.global_claims import (
    collapses_locally,
    plane_collapses_locally,
    targets_are_reached,
)
from ldreg.exhibits.claims.pair_claims import (
    costs_no_time,
    decline_goes_away,
    detects_better,
    raises,
    transfers_better,
)
from ldreg.exhibits.claims.rival_claims import (
    beats_global_terms,
    byol_gains_most,
    forms_alike,
    helps_at_every_batch_size,
    min_lid_lowers,
)
from ldreg.exhibits.claims.sweep_claims import falls, rises_with_jitter, stable
from ldreg.exhibits.claims.verdicts import Results


@dataclass(frozen=True)
class Claim:
    """A statement of the paper; `source`: its place there; `needs`: the runs or files that its test needs."""

    id: str
    text: str
    source: str
    needs: str
    test: Callable[[Evidence], Results]


PAIR = "runs with and without LDReg that share seeds"
SWEEP = "runs with LDReg at two or more values of {} and with equal other settings"
MIN_LID = "runs with Min LID at two or more values of beta and with equal other settings"
JITTER = "unregularised runs at two or more strengths of colour jitter and with equal other settings"
COV = "runs with LDReg, with Cov or Cov + Var, and without a regulariser that share seeds"

PLANE = "the numbers of Figures 1 and 3, which are read if the exhibit's setting `plane` is true"

CLAIMS = (
    Claim(
        "collapses_locally",
        "representations have fewer dimensions locally (mLID) than globally (effective rank)",
        "abstract; Table 1",
        "unregularised runs",
        collapses_locally,
    ),
    Claim(
        "plane_collapses_locally",
        "points can fill the plane globally and collapse locally",
        "Figure 1 (c)",
        PLANE,
        plane_collapses_locally,
    ),
    Claim(
        "targets_are_reached",
        "points can be drawn to a target LID",
        "appendix A; Figure 3",
        PLANE,
        targets_are_reached,
    ),
    Claim(
        "mlid_rises",
        "LDReg raises mLID",
        "abstract; Tables 1, 15; Figure 2 (a, d)",
        PAIR,
        partial(raises, metric="mlid"),
    ),
    Claim(
        "rank_rises",
        "LDReg raises effective rank",
        "abstract; Tables 1, 15; Figure 2 (c)",
        PAIR,
        partial(raises, metric="effective_rank"),
    ),
    Claim(
        "accuracy_rises",
        "LDReg raises linear accuracy",
        "abstract; Tables 1, 15",
        PAIR,
        partial(raises, metric="linear_top1"),
    ),
    Claim(
        "accuracy_kept",
        "LDReg does not lower linear accuracy",
        "Tables 1, 15",
        PAIR,
        partial(raises, metric="linear_top1", keeps=True),
    ),
    Claim(
        "rank_falls_with_beta",
        "larger beta lowers effective rank",
        "Figure 5 (c)",
        SWEEP.format("beta"),
        partial(falls, metric="effective_rank", axis="beta"),
    ),
    Claim(
        "rank_falls_with_k",
        "larger k lowers effective rank",
        "Figure 5 (d)",
        SWEEP.format("k"),
        partial(falls, metric="effective_rank", axis="k"),
    ),
    Claim(
        "accuracy_stable_over_beta",
        "linear accuracy is stable over beta",
        "Figure 5 (a)",
        SWEEP.format("beta"),
        partial(stable, metric="linear_top1", axis="beta"),
    ),
    Claim(
        "accuracy_stable_over_k",
        "linear accuracy is stable over k",
        "Figure 5 (b)",
        SWEEP.format("k"),
        partial(stable, metric="linear_top1", axis="k"),
    ),
    Claim(
        "decline_goes_away",
        "with LDReg the late decline of mLID over epochs goes away",
        "Figure 2 (a)",
        f"{PAIR}, with {MONITOR} in history.csv for at least three epochs of the last half",
        decline_goes_away,
    ),
    Claim(
        "byol_gains_most",
        "LDReg raises mLID most for BYOL",
        "Table 1; Figure 2 (a, d)",
        "runs of BYOL and of another method of Figure 2, each with and without LDReg and with the same seeds",
        byol_gains_most,
    ),
    Claim(
        "mlid_rises_with_jitter",
        "stronger colour jitter raises mLID",
        "Figure 2 (b)",
        JITTER,
        partial(rises_with_jitter, metric="mlid"),
    ),
    Claim(
        "accuracy_rises_with_jitter",
        "linear accuracy rises with stronger colour jitter, as mLID does",
        "Figure 2 (b)",
        JITTER,
        partial(rises_with_jitter, metric="linear_top1"),
    ),
    Claim(
        "transfer_rises",
        "LDReg raises accuracy on other data sets",
        "Table 2",
        f"{PAIR}, tested on the data sets that the exhibit's setting `transfer` names",
        transfers_better,
    ),
    Claim(
        "detection_rises",
        "LDReg raises average precision in detection",
        "Table 3",
        f"{PAIR}, fine-tuned as detectors, and the exhibit's setting `detection`",
        detects_better,
    ),
    Claim(
        "costs_no_time",
        "LDReg costs no significant time",
        "Table 4",
        f"{PAIR}, trained and timed here in the same way",
        costs_no_time,
    ),
    Claim(
        "forms_alike",
        "the L1 and the L2 form give similar accuracies",
        "Table 12",
        "runs of both forms at the same beta and k that share seeds",
        forms_alike,
    ),
    Claim(
        "min_lid_lowers_mlid",
        "Min LID lowers mLID at every weight",
        "Table 13",
        "runs with Min LID and without a regulariser that share seeds",
        min_lid_lowers,
    ),
    Claim(
        "min_lid_lowers_accuracy",
        "Min LID lowers linear accuracy as its weight grows",
        "Table 13",
        MIN_LID,
        partial(falls, metric="linear_top1", axis="beta", regularizer="min_lid", table="table13"),
    ),
    Claim(
        "min_lid_lowers_rank",
        "Min LID lowers effective rank as its weight grows",
        "Table 13",
        MIN_LID,
        partial(falls, metric="effective_rank", axis="beta", regularizer="min_lid", table="table13"),
    ),
    Claim(
        "helps_at_every_batch_size",
        "LDReg raises linear accuracy at every batch size",
        "Table 14",
        "runs with and without LDReg that share seeds, at two or more batch sizes and with equal other "
        "settings except k",
        helps_at_every_batch_size,
    ),
    Claim(
        "global_terms_do_not_raise_mlid",
        "Cov and Cov + Var do not raise mLID as LDReg does",
        "Table 16",
        COV,
        partial(beats_global_terms, metric="mlid"),
    ),
    Claim(
        "global_terms_do_not_raise_accuracy",
        "Cov and Cov + Var do not raise linear accuracy as LDReg does",
        "Table 16",
        COV,
        partial(beats_global_terms, metric="linear_top1"),
    ),
)
METRICS_OF_CLAIMS = ("mlid", "effective_rank", "linear_top1")
