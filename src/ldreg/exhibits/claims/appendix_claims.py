"""The claims of the paper's appendices, in its order."""

from functools import partial

from ldreg.exhibits.claims.claim import LID_ERROR, MIN_LID, PAIR, PLANE, RIVALS, SWEEP, Claim
from ldreg.exhibits.claims.estimate_claims import batches_degrade, tf32_matters
from ldreg.exhibits.claims.pair_claims import costs_no_time
from ldreg.exhibits.claims.plane_claims import arithmetic_mean_lifts_few, targets_are_reached
from ldreg.exhibits.claims.rival_claims import (
    beats_global_terms,
    forms_alike,
    global_terms_raise_rank,
    helps_at_every_batch_size,
    min_lid_lowers,
)
from ldreg.exhibits.claims.sweep_claims import collapses_completely, falls, stable

falls_by_min_lid = partial(falls, axis="beta", regularizer="min_lid", table="table13")

APPENDIX_CLAIMS = (
    Claim(
        "targets_are_reached",
        "points can be drawn to a target LID",
        "appendix A; Figure 3",
        PLANE,
        targets_are_reached,
    ),
    Claim(
        "arithmetic_mean_lifts_few",
        "the arithmetic mean as objective raises the LID of fewer samples than the geometric",
        "appendix D",
        f"{PLANE}; figure1.json with free points, as `ldreg synthetic figure1` now writes it",
        arithmetic_mean_lifts_few,
    ),
    Claim(
        "costs_no_time",
        "LDReg costs no significant time",
        "appendix F; Table 4",
        f"{PAIR}, trained and timed here in the same way",
        costs_no_time,
    ),
    Claim(
        "forms_alike",
        "the L1 and the L2 form give similar accuracies",
        "section 6, appendix G.1; Table 12",
        "runs of both forms at the same beta and k that share seeds",
        forms_alike,
    ),
    Claim(
        "min_lid_lowers_mlid",
        "Min LID lowers mLID at every weight",
        "appendix G.2; Table 13",
        "runs with Min LID and without a regulariser that share seeds",
        min_lid_lowers,
    ),
    Claim(
        "min_lid_lowers_accuracy",
        "Min LID lowers linear accuracy as its weight grows",
        "appendix G.2; Table 13",
        MIN_LID,
        partial(falls_by_min_lid, metric="linear_top1"),
    ),
    Claim(
        "min_lid_lowers_rank",
        "Min LID lowers effective rank as its weight grows",
        "appendix G.2; Table 13",
        MIN_LID,
        partial(falls_by_min_lid, metric="effective_rank"),
    ),
    Claim(
        "min_lid_collapses",
        "Min LID of weight 10 makes representations collapse completely",
        "appendix G.2; Table 13",
        "runs with Min LID at beta 10, on a data set whose number of classes is known",
        collapses_completely,
    ),
    Claim(
        "accuracy_stable_over_beta",
        "linear accuracy is stable over beta",
        "appendix G.3; Figure 5 (a)",
        SWEEP.format("beta"),
        partial(stable, metric="linear_top1", axis="beta"),
    ),
    Claim(
        "accuracy_stable_over_k",
        "linear accuracy is stable over k",
        "appendix G.3; Figure 5 (b)",
        SWEEP.format("k"),
        partial(stable, metric="linear_top1", axis="k"),
    ),
    Claim(
        "rank_falls_with_beta",
        "larger beta lowers effective rank",
        "appendix G.3; Figure 5 (c)",
        SWEEP.format("beta"),
        partial(falls, metric="effective_rank", axis="beta"),
    ),
    Claim(
        "rank_falls_with_k",
        "larger k lowers effective rank",
        "appendix G.3; Figure 5 (d)",
        SWEEP.format("k"),
        partial(falls, metric="effective_rank", axis="k"),
    ),
    Claim(
        "helps_at_every_batch_size",
        "LDReg raises linear accuracy at every batch size",
        "appendix G.3; Table 14",
        "runs with and without LDReg that share seeds, at two or more batch sizes and with equal other "
        "settings except k",
        helps_at_every_batch_size,
    ),
    Claim(
        "global_terms_raise_rank",
        "Cov or Cov + Var can raise effective rank",
        "appendix G.4; Table 16",
        "runs with Cov or Cov + Var and without a regulariser that share seeds",
        global_terms_raise_rank,
    ),
    Claim(
        "global_terms_do_not_raise_mlid",
        "Cov and Cov + Var do not raise mLID as LDReg does",
        "appendix G.4; Table 16",
        RIVALS,
        partial(beats_global_terms, metric="mlid"),
    ),
    Claim(
        "global_terms_do_not_raise_accuracy",
        "Cov and Cov + Var do not raise linear accuracy as LDReg does",
        "appendix G.4; Table 16",
        RIVALS,
        partial(beats_global_terms, metric="linear_top1"),
    ),
    Claim(
        "batches_degrade",
        "LIDs estimated in smaller mini-batches are less accurate",
        "appendix H",
        LID_ERROR,
        batches_degrade,
    ),
    Claim(
        "tf32_matters",
        "TF32 changes LID significantly",
        "appendix I",
        f"a GPU that has TF32 (NVIDIA Ampere or later), and made on it {LID_ERROR}",
        tf32_matters,
    ),
)
