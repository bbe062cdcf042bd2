"""Evidence for each claim of the ledger that makes it supported, inconclusive or contradicted.

A maker takes the runs, the outcome and three numbers by seed. They support a claim that something is above 0,
leave it open or contradict it. It writes runs and files, and returns settings of the ledger.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ledgers import BASE, LDREG, add, pair, write

ZERO = (0.0, 0.0, 0.0)
BY_SEED = {"supported": (4.0, 5.0, 6.0), "inconclusive": (1.0, 2.0, 3.0), "contradicted": (-4.0, -5.0, -6.0)}
# The same for a claim that something is within +-1: 0 +- 0.5, 0 +- 1.5, 2.4 +- 0.5.
WITHIN = {"supported": (-0.2, 0.0, 0.2), "inconclusive": (-0.6, 0.0, 0.6), "contradicted": (2.2, 2.4, 2.6)}
HOW = {"device": "cpu", "world_size": 1, "threads": 1, "precision": "float32"}
Maker = Callable[[Any, str, Sequence[float]], dict[str, Any]]


def effect_of_ldreg(metric: str, runs: Any, outcome: str, up: Sequence[float], bound: float = 0.0) -> dict:
    pair(runs, [bound + each for each in up], metric)
    return {}


def slope_over(
    axis: str, values: Sequence[float], unit: Callable[[float], float], metric: str, sign: int,
    runs: Any, outcome: str, up: Sequence[float], **spec: Any,
) -> dict:  # fmt: skip
    """A metric that changes by `sign` times `up` for each unit of the axis."""
    for value in values:
        add(runs, [sign * each * unit(value) for each in up], metric, **{**LDREG, **spec, axis: value})
    return {}


def within_a_point(axis: str, runs: Any, outcome: str, up: Sequence[float]) -> dict:
    add(runs, ZERO, "top1", **LDREG)
    add(runs, WITHIN[outcome], "top1", **{**LDREG, axis: 2 * BASE.get(axis, 1)})
    return {}


def two_forms(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    add(runs, ZERO, "top1", **LDREG)
    add(runs, WITHIN[outcome], "top1", **{**LDREG, "regularizer": "ldreg_l2"})
    return {}


def methods(high: str, low: str, metric: str, runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """One method has more of a metric than the other."""
    add(runs, ZERO, metric, method=low)
    add(runs, up, metric, method=high)
    return {}


def byol_is_low(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """By 10 % and `up` per cent more."""
    for seed, each in enumerate(up):
        runs.add(seed, mlid=100.0, method="simclr")
        runs.add(seed, mlid=90.0 - each, method="byol")
    runs.add(len(up), mlid=100.0, method="simclr")  # a seed that BYOL lacks
    return {}


def byol_gains(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    for method, factors in (("simclr", ZERO), ("byol", up)):
        for seed, each in enumerate(factors):
            runs.add(seed, mlid=5.0, method=method)
            runs.add(seed, mlid=5.0 * math.exp(0.1 * each), method=method, **LDREG)
    return {}


def course(sign: int, bound: float, late: bool, runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """mLID of unregularised runs that changes, over all epochs or the last half, by these per cent."""
    for seed, each in enumerate(up):
        history(runs.add(seed), bound + sign * each, late)
    return {}


def courses(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    for seed, each in enumerate(up):
        history(runs.add(seed), -10.0, late=True)
        history(runs.add(seed, **LDREG), -10.0 + each, late=True)
    return {}


def history(folder: Any, change: float, late: bool) -> None:
    """Eight epochs, over which, or over the last four of which, ln mLID is a line."""
    first = 5 if late else 1
    slope = math.log1p(change / 100) / (8 - first)
    lines = [f"{epoch},{12 * math.exp(slope * max(epoch - first, 0))}" for epoch in range(1, 9)]
    (folder / "history.csv").write_text("\n".join(["epoch,mlid_mle_32", *lines]) + "\n")


def transferred(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    for seed, each in enumerate(up):
        for folder, gain in ((runs.add(seed), 0.0), (runs.add(seed, **LDREG), each)):
            write(folder, "transfer/mnist.json", {"metric": "top1", "top1": 50.0 + gain})
    return {"transfer": ["mnist"]}


def detected(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    for seed, each in enumerate(up):
        for folder, gain in ((runs.add(seed), 0.0), (runs.add(seed, **LDREG), each)):
            write(folder, "detection.json", {kind: {"ap": 30.0 + gain} for kind in ("box", "mask")})
    return {"detection": True}


def timed(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """5 % more time, less `up` per cent."""
    for seed, each in enumerate(up):
        write(runs.add(seed), "summary.json", {**HOW, "wall_seconds": 100.0})
        write(runs.add(seed, **LDREG), "summary.json", {**HOW, "wall_seconds": 105.0 - each})
    return {}


def longer(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    pair(runs, ZERO, "top1")
    pair(runs, up, "top1", epochs=80, batch_size=512)
    return {}


def settings_of_one_method(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """Five settings of rising rank, with which accuracy agrees in 1, 0.8 and 1 of all pairs, or disagrees."""
    agree = [(1, 2, 3, 4, 5), (2, 1, 3, 4, 5), (1, 2, 3, 4, 5)]
    oppose = [order[::-1] for order in agree]
    orders = {"supported": agree, "contradicted": oppose, "inconclusive": [agree[0], oppose[0], agree[1]]}
    for seed, order in enumerate(orders[outcome]):
        for place, top1 in enumerate(order):
            spec = {**LDREG, "beta": 0.1 * place} if place else {}
            runs.add(seed, rank=10.0 + place, top1=90.0 + top1, **spec)
    return {}


def settings_of_two_methods(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """(rank, accuracy) without and with LDReg of SimCLR, then of BYOL.

    Within the methods all pairs agree and across them none or few do; or the other way round.
    """
    yes = [((10, 90), (11, 91)), ((20, 80), (21, 81))], [((10, 90), (11, 91)), ((20, 90), (21, 90.5))]
    no = [((10, 90), (11, 89)), ((20, 95), (21, 94))], [((10, 90), (11, 89)), ((20, 89.5), (21, 89.2))]
    by_seed = {"supported": (*yes, yes[0]), "contradicted": (*no, no[0]), "inconclusive": (*yes, no[0])}
    for seed, both in enumerate(by_seed[outcome]):
        for method, places in zip(("simclr", "byol"), both, strict=True):
            for (rank, top1), spec in zip(places, ({}, LDREG), strict=True):
                runs.add(seed, rank=float(rank), top1=float(top1), method=method, **spec)
    return {}


def min_lid_on_mlid(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    add(runs, ZERO)
    add(runs, [-each for each in up], regularizer="min_lid", beta=0.1, k=16)
    return {}


def guessing(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """A point above guessing among ten classes, less `up`."""
    for seed, each in enumerate(up):
        runs.add(seed, top1=11.0 - each, regularizer="min_lid", beta=10.0, k=16)
    return {}


def batch_sizes(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    pair(runs, (9.0, 9.5, 10.0), "top1")
    pair(runs, up, "top1", batch_size=64)
    return {}


def global_term_on_rank(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    add(runs, ZERO, "rank", method="byol")
    add(runs, up, "rank", method="byol", regularizer="cov", beta=0.1)
    return {}


def against_global_terms(metric: str, runs: Any, outcome: str, up: Sequence[float]) -> dict:
    add(runs, ZERO, metric, method="byol")
    add(runs, ZERO, metric, method="byol", regularizer="cov_var", beta=0.1)
    add(runs, up, metric, method="byol", **LDREG)
    return {}


def batch_errors(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """The error falls by `up` for each doubling of the mini-batch; at another k it does not."""
    folders = [runs.add(seed) for seed in range(len(up))]
    for folder, each in zip(folders, up, strict=True):
        entries = [
            {"estimator": "mom", "k": k, "batch_rows": 2**power, "rms": 99.0 - each * power * (k == 16)}
            for k in (8, 16)
            for power in (5, 6, 7)
        ]
        write(folder, "lid_error.json", {"entries": entries})
    return {"lid_errors": [str(folder) for folder in folders]}


def tf32(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """LID changes by 5 % and half of `up` more."""
    folders = [runs.add(seed) for seed in range(len(up))]
    for folder, each in zip(folders, up, strict=True):
        change = {"k": 16, "rms": math.log1p(0.05 + each / 200)}
        write(folder, "lid_error.json", {"entries": [], "tf32": [change]})
    return {"lid_errors": [str(folder) for folder in folders]}


def plane(runs: Any, panels: dict[str, Any], targets: dict[str, Any]) -> dict:
    """Files of points in the plane, beside a run that nothing is claimed of."""
    runs.add(0)
    (runs.root / "exhibits").mkdir(exist_ok=True)
    for figure, content in (("figure1", panels), ("figure3", targets)):
        write(runs.root / "exhibits", f"{figure}.json", {"seeds": [0, 1, 2], "k": 20, "panels": content})
    return {"plane": True}


def clouds(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    """GID is above mLID, and the distance falls with mLID, by `up`."""
    low = {"gid": [1.1 + each for each in up], "mlid": [1.1] * 3, "fr_distance": [9.0] * 3}
    high = {"gid": [2.0] * 3, "mlid": [1.9] * 3, "fr_distance": [9.0 - each for each in up]}
    return plane(runs, {"cloud_1.9": high, "cloud_1.1": low}, {"1.0": {"mlid": [1.0, 1.01, 1.02]}})


def free_points(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    few = {"half_of_rise": [0.2 - each / 100 for each in up], "risen": [0.9] * 3}
    many = {"half_of_rise": [0.2] * 3, "risen": [1.0] * 3}
    cloud = {"gid": [2.0] * 3, "mlid": [1.1] * 3, "fr_distance": [0.7] * 3}
    panels = {"cloud_1.1": cloud, "arithmetic": few, "geometric": many}
    return plane(runs, panels, {"1.0": {"mlid": [1.0, 1.01, 1.02]}})


def targets(runs: Any, outcome: str, up: Sequence[float]) -> dict:
    cloud = {"gid": [2.0] * 3, "mlid": [1.1] * 3, "fr_distance": [0.7] * 3}
    mlid = [1.2 + 0.05 * each for each in WITHIN[outcome]]
    return plane(runs, {"cloud_1.1": cloud}, {"1.2": {"mlid": mlid}})


OVER_BETA = partial(slope_over, "beta", (0.01, 0.1, 1.0), math.log10)
OVER_K = partial(slope_over, "k", (8, 16, 32), math.log2)
OVER_JITTER = partial(slope_over, "jitter", (0.2, 0.6, 1.0), float)
PLAIN = {"regularizer": "none", "beta": None, "k": None}

MAKERS: dict[str, Maker] = {
    "plane_collapses_locally": clouds,
    "distance_tracks_collapse": clouds,
    "mlid_rises_in_training": partial(course, 1, 0.0, False),
    "mlid_declines_late": partial(course, -1, -1.0, True),
    "mlid_rises": partial(effect_of_ldreg, "mlid"),
    "decline_alleviated": courses,
    "byol_gains_most": byol_gains,
    "mlid_rises_with_jitter": partial(OVER_JITTER, "mlid", 1, **PLAIN),
    "accuracy_rises_with_jitter": partial(OVER_JITTER, "top1", 1, **PLAIN),
    "byol_rank_highest": partial(methods, "byol", "simclr", "rank"),
    "byol_mlid_much_lower": byol_is_low,
    "tuned_rank_below_byol": partial(methods, "byol", "simclr_tuned", "rank"),
    "mae_rank_lowest": partial(methods, "byol", "mae", "rank"),
    "rank_rises": partial(effect_of_ldreg, "rank"),
    "accuracy_rises": partial(effect_of_ldreg, "top1"),
    "accuracy_kept": partial(effect_of_ldreg, "top1", bound=-0.5),
    "transfer_rises": transferred,
    "detection_rises": detected,
    "longer_gains_more": longer,
    "rank_informs_within": settings_of_one_method,
    "rank_informs_less_across": settings_of_two_methods,
    "targets_are_reached": targets,
    "arithmetic_mean_lifts_few": free_points,
    "costs_no_time": timed,
    "forms_alike": two_forms,
    "min_lid_lowers_mlid": min_lid_on_mlid,
    "min_lid_lowers_accuracy": partial(OVER_BETA, "top1", -1, regularizer="min_lid"),
    "min_lid_lowers_rank": partial(OVER_BETA, "rank", -1, regularizer="min_lid"),
    "min_lid_collapses": guessing,
    "accuracy_stable_over_beta": partial(within_a_point, "beta"),
    "accuracy_stable_over_k": partial(within_a_point, "k"),
    "rank_falls_with_beta": partial(OVER_BETA, "rank", -1),
    "rank_falls_with_k": partial(OVER_K, "rank", -1),
    "helps_at_every_batch_size": batch_sizes,
    "global_terms_raise_rank": global_term_on_rank,
    "global_terms_do_not_raise_mlid": partial(against_global_terms, "mlid"),
    "global_terms_do_not_raise_accuracy": partial(against_global_terms, "top1"),
    "batches_degrade": batch_errors,
    "tf32_matters": tf32,
}
