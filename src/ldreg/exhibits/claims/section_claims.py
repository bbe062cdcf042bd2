"""The claims of the paper's sections 1 and 6, in its order, and ours about the same figures and tables."""

from functools import partial

from ldreg.exhibits.claims.claim import COURSES, FIGURE2, PAIR, PLANE, Claim
from ldreg.exhibits.claims.course_claims import decline_alleviated, declines_late, rises_in_training
from ldreg.exhibits.claims.method_claims import (
    byol_gains_most,
    byol_mlid_much_lower,
    byol_rank_highest,
    mae_rank_lowest,
    tuned_rank_below_byol,
)
from ldreg.exhibits.claims.pair_claims import detects_better, raises, transfers_better
from ldreg.exhibits.claims.plane_claims import distance_tracks_collapse, plane_collapses_locally
from ldreg.exhibits.claims.rank_claims import rank_informs_less_across, rank_informs_within
from ldreg.exhibits.claims.rival_claims import longer_gains_more
from ldreg.exhibits.claims.sweep_claims import rises_with_jitter

JITTER = "unregularised runs at two or more strengths of colour jitter and with equal other settings"

SECTION_CLAIMS = (
    Claim(
        "plane_collapses_locally",
        "points can fill the plane globally and collapse locally",
        "section 1; Figure 1 (c)",
        PLANE,
        plane_collapses_locally,
    ),
    Claim(
        "distance_tracks_collapse",
        "the Fisher-Rao distance grows with the degree of collapse",
        "section 1; Figure 1 (c)",
        PLANE,
        distance_tracks_collapse,
    ),
    Claim(
        "mlid_rises_in_training",
        "mLID rises over the course of training",
        "section 6.1; Figure 2 (a)",
        f"unregularised runs, with {COURSES}",
        rises_in_training,
    ),
    Claim(
        "mlid_declines_late",
        "mLID of contrastive methods without LDReg falls slightly late in training",
        "section 6.1; Figure 2 (a)",
        f"unregularised runs of SimCLR, SimCLR-Tuned or BYOL, with {COURSES} of the last half",
        declines_late,
    ),
    Claim(
        "mlid_rises",
        "LDReg raises mLID",
        "abstract; section 6.1; Figure 2 (a, d); Tables 1, 15",
        PAIR,
        partial(raises, metric="mlid"),
    ),
    Claim(
        "decline_alleviated",
        "LDReg alleviates the late decline of mLID",
        "section 6.1; Figure 2 (a)",
        f"{PAIR}, with {COURSES} of the last half",
        decline_alleviated,
    ),
    Claim(
        "byol_gains_most",
        "LDReg raises mLID most for BYOL",
        "section 6.1; Figure 2 (a, d); Table 1",
        "runs of BYOL and of another method of Figure 2, each with and without LDReg and with the same seeds",
        byol_gains_most,
    ),
    Claim(
        "mlid_rises_with_jitter",
        "stronger colour jitter raises mLID",
        "section 6.1; Figure 2 (b)",
        JITTER,
        partial(rises_with_jitter, metric="mlid"),
    ),
    Claim(
        "accuracy_rises_with_jitter",
        "linear accuracy rises with stronger colour jitter, as mLID does",
        "Figure 2 (b)",
        JITTER,
        partial(rises_with_jitter, metric="linear_top1"),
        ours=True,
    ),
    Claim(
        "byol_rank_highest",
        "BYOL does not collapse globally: its effective rank is the highest",
        "section 6.1; Figure 2 (c); Table 1",
        FIGURE2.format("BYOL"),
        byol_rank_highest,
    ),
    Claim(
        "byol_mlid_much_lower",
        "BYOL collapses locally: its mLID is much lower than that of the others",
        "section 6.1; Figure 2 (d); Table 1",
        FIGURE2.format("BYOL"),
        byol_mlid_much_lower,
    ),
    Claim(
        "tuned_rank_below_byol",
        "SimCLR-Tuned has a lower effective rank than BYOL with the same views",
        "section 6.1; Figure 2 (c); Table 1",
        "unregularised runs of SimCLR-Tuned and BYOL with the same views that share seeds",
        tuned_rank_below_byol,
    ),
    Claim(
        "mae_rank_lowest",
        "MAE has the lowest effective rank",
        "section 6.1; Figure 2 (c); Table 1",
        FIGURE2.format("MAE"),
        mae_rank_lowest,
    ),
    Claim(
        "rank_rises",
        "LDReg raises effective rank",
        "abstract; section 6.1; Figure 2 (c); Tables 1, 15",
        PAIR,
        partial(raises, metric="effective_rank"),
    ),
    Claim(
        "accuracy_rises",
        "LDReg raises linear accuracy",
        "abstract; section 6.2, appendix G.4; Tables 1, 15",
        PAIR,
        partial(raises, metric="linear_top1"),
    ),
    Claim(
        "accuracy_kept",
        "LDReg lowers linear accuracy by less than a margin, if at all",
        "Tables 1, 15",
        PAIR,
        partial(raises, metric="linear_top1", keeps=True),
        ours=True,
    ),
    Claim(
        "transfer_rises",
        "LDReg raises accuracy on other data sets",
        "section 6.2; Table 2",
        f"{PAIR}, tested on the data sets that the exhibit's setting `transfer` names",
        transfers_better,
    ),
    Claim(
        "detection_rises",
        "LDReg raises average precision in detection",
        "section 6.2; Table 3",
        f"{PAIR}, fine-tuned as detectors, and the exhibit's setting `detection`",
        detects_better,
    ),
    Claim(
        "longer_gains_more",
        "LDReg raises linear accuracy more in longer training",
        "section 6.2; Tables 2, 3",
        f"{PAIR}, at two or more numbers of epochs, with equal other settings except the batch size",
        longer_gains_more,
    ),
    Claim(
        "rank_informs_within",
        "within a method, accuracy goes with effective rank",
        "section 6.2; Table 1",
        "runs of one method and encoder in three or more settings, each with all seeds",
        rank_informs_within,
    ),
    Claim(
        "rank_informs_less_across",
        "across methods, accuracy goes less with effective rank than within",
        "section 6.2; Table 1",
        f"{PAIR}, of two or more methods on one encoder",
        rank_informs_less_across,
    ),
)
