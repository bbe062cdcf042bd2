"""The paper's experiments with points in the plane (figures 1 and 3), computed on a CPU.

All functions depend only on their seeds and, with one thread, return the same values in every run.
`ldreg.jobs.synthetic` writes the values, and `ldreg.exhibits.figures.plane` draws them. LID is estimated by
LDReg's method of moments. The global intrinsic dimension (GID) is that of scikit-dimension's DANCo with its
defaults (k = 10, at most as many dimensions as coordinates). In the plane DANCo chooses between one and two
dimensions, so a GID here is 1 or 2.

The trained layers are in `ldreg.plane.layers`. Every training step draws new points, and the results are
measured on points that were not used in training.

- Figure 3 trains a linear layer on the coordinates, as in the paper. It maps a square to a rectangle. The LID
  of a rectangle hardly depends on its height until the height is about the radius of a neighbourhood. LIDs
  between 1 and 2 therefore belong to thin rectangles and hold only for one k: mLID is closer to 2 for fewer
  neighbours, and closer to 1 for more. Training starts from a flat rectangle, because from a square the loss
  stays on a plateau for some seeds. The paper prints the loss as mean_i ln(LID_i / target), which has no
  minimum at the target. With absolute value bars around the mean it has one. With bars around each sample, as
  in `TargetLID`, the minimum over all linear maps is next to the target, for example at mLID 1.67 for a
  target of 1.6. The reason is that estimates of LID scatter by 20 %, and by more near an edge.
  `mlid_per_sample` is the mLID that this second loss reaches.
- Figure 1 d trains a layer on random Fourier features with LDReg, because no linear map of the coordinates
  spreads the arms of a spiral.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ldreg.lid import fisher_rao_distance, geometric_mean, lid_mom
from ldreg.plane.layers import (
    DiagonalLayer,
    FourierLayer,
    Loss,
    lid_to_target_loss,
    mlid_over_k,
    mlid_to_target_loss,
    train_layer,
)
from ldreg.plane.means import OBJECTIVES, ascend
from ldreg.regularizers import LDReg

POINTS = 2000
TARGETS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)  # figure 3
TARGET_K = 16  # small, because LID near the border is underestimated for large k; uniform points: mLID 1.98
CLOUD_MLIDS = (1.1, 1.3, 1.5, 1.9)  # figure 1 c
CLOUD_K = 20
TURNS = 5  # number of turns of the spiral
ANCHOR_POINTS, ANCHOR_K = 1000, 40  # figure 1 a and b; a larger k, because they show the LID of one point
STRIP = (0.3, 0.12)  # half length and half height of the region that collapses in figure 1 a
FREE_POINTS, FREE_STEPS, FREE_RATE = 500, 100, 0.003  # points that ascend a mean of their LIDs, by Adam
KS = (5, 10, 16, 20, 32, 64)  # neighbourhood sizes at which mLID is measured after training with one k
START_HEIGHT = 0.05  # height of the rectangle that figure 3 starts from, in widths
WIDTH, FREQUENCY = 512, 60.0  # Fourier features: how many, and radians per diameter of the spiral
DECIMALS = 7  # of stored coordinates

PanelValues = dict[str, Any]  # "points" (n, 2) and numbers, for one seed; lists of numbers for several


def figure1(
    seeds: Sequence[int], points: int = POINTS, width: int = WIDTH, steps: int = 100
) -> dict[str, Any]:
    """Compute figure 1: local collapse in the plane, and how LDReg reverses it.

    The panels are:

    - `collapsed` (a) and `spread` (b): `lid` of an anchor point at the origin. In `spread` the points are
      uniform; in `collapsed` those around the anchor have been moved onto a curve through it.
    - `cloud_1.1` ... `cloud_1.9` (c): points on a spiral that fills a disc, with Gaussian noise. `noise` is
      its standard deviation, in diameters of the disc, at which mLID is 1.1 ... 1.9.
    - `restored` (d): the first of these clouds, mapped by a layer that was trained with LDReg alone on other
      such clouds. The map folds the arms of the spiral over each other.
    - `uniform`: points of the unit square, for comparison.
    - `arithmetic`, `geometric` (appendix D, not drawn): how the rise of LID is shared among free points that
      begin as the first of these clouds and ascend that mean of their LIDs; see `ldreg.plane.means`.

    Clouds, `restored` and `uniform` have `mlid_over_k`: for each seed, the mLID at each of the `ks`.

    Args:
        seeds: seeds of the repetitions.
        points: number of points per cloud.
        width: number of Fourier features.
        steps: number of training steps.
    """
    each = [_figure1_of(seed, points, width, steps) for seed in seeds]
    settings = {"anchor_points": ANCHOR_POINTS, "anchor_k": ANCHOR_K, "points": points, "k": CLOUD_K}
    settings |= {"ks": list(KS), "features": width, "steps": steps}
    settings |= {
        "free_points": FREE_POINTS,
        "free_k": TARGET_K,
        "free_steps": FREE_STEPS,
        "free_rate": FREE_RATE,
    }
    return {"figure": "figure1", "seeds": list(seeds), **settings, "panels": _over_seeds(each)}


def figure3(
    seeds: Sequence[int], targets: Sequence[float] = TARGETS, points: int = POINTS, steps: int = 80
) -> dict[str, Any]:
    """Compute figure 3 (appendix A): a linear layer trained to a target LID, applied to the unit square.

    Each panel is named by its target, "1.0" to "2.0". It has the `height` of the learned rectangle relative
    to its width, `mlid_per_sample` (explained at the top of this module) and `mlid_over_k`: for each seed,
    the mLID at each of the `ks`. `uniform` describes the points before the layer, which all targets of a seed
    share.

    Args:
        seeds: seeds of the repetitions.
        targets: values of the target LID.
        points: number of points.
        steps: number of training steps.
    """
    each = []
    for seed in seeds:
        square = _square(points, Generator().manual_seed(seed))
        panels = {}
        for target in targets:
            layer, other = (
                _trained(loss(target, TARGET_K), points, steps, seed)
                for loss in (mlid_to_target_loss, lid_to_target_loss)
            )
            panels[f"{target:.1f}"] = {
                **cloud_values(layer(square).detach(), TARGET_K, seed),
                "height": layer.height(),
                "mlid_per_sample": float(geometric_mean(lid_mom(other(square).detach(), k=TARGET_K))),
            }
        each.append({**panels, "uniform": {"mlid_over_k": mlid_over_k(square, KS)}})
    settings = {"points": points, "k": TARGET_K, "ks": list(KS), "steps": steps}
    return {"figure": "figure3", "seeds": list(seeds), **settings, "panels": _over_seeds(each)}


def _figure1_of(seed: int, points: int, width: int, steps: int) -> dict[str, PanelValues]:
    """Compute the panels of figure 1 for one seed."""
    generator = Generator().manual_seed(seed)
    spread = _square(ANCHOR_POINTS, generator)
    panels = {
        name: {"points": cloud, "lid": float(lid_mom(torch.zeros(1, 2), cloud, ANCHOR_K))}
        for name, cloud in (("collapsed", collapsed_near_origin(spread)), ("spread", spread))
    }
    curve, normal = spiral(points, generator), torch.randn(points, 2, generator=generator)
    for mlid in CLOUD_MLIDS:
        noise = noise_for(curve, normal, mlid, CLOUD_K)
        panels[f"cloud_{mlid}"] = {**cloud_values(curve + noise * normal, CLOUD_K, seed), "noise": noise}
    collapsed = panels[f"cloud_{CLOUD_MLIDS[0]}"]
    layer = FourierLayer(generator, width, FREQUENCY)

    def draw() -> Tensor:
        return spiral(points, generator) + collapsed["noise"] * torch.randn(points, 2, generator=generator)

    train_layer(layer, draw, LDReg(beta=1.0, k=CLOUD_K), steps, rate=0.01)
    panels["restored"] = cloud_values(layer(collapsed["points"]).detach(), CLOUD_K, seed)
    panels["uniform"] = {"mlid_over_k": mlid_over_k(_square(points, generator), KS)}
    return panels | _free_points(seed)


def _free_points(seed: int) -> dict[str, PanelValues]:
    """Points of the most collapsed cloud that ascend the arithmetic and the geometric mean of their LIDs."""
    generator = Generator().manual_seed(seed)
    curve, normal = spiral(FREE_POINTS, generator), torch.randn(FREE_POINTS, 2, generator=generator)
    points = curve + noise_for(curve, normal, CLOUD_MLIDS[0], TARGET_K) * normal
    return {kind: ascend(points, kind, TARGET_K, FREE_STEPS, FREE_RATE) for kind in OBJECTIVES}


def _trained(loss: Loss, points: int, steps: int, seed: int) -> DiagonalLayer:
    """Train the layer of figure 3 on new squares; the first square of the seed is kept for measuring."""
    generator = Generator().manual_seed(seed)
    _square(points, generator)
    layer = DiagonalLayer(START_HEIGHT)
    train_layer(layer, partial(_square, points, generator), loss, steps, rate=0.1)
    return layer


def _square(points: int, generator: Generator) -> Tensor:
    """Draw uniform points (n, 2) from the unit square around the origin."""
    return torch.rand(points, 2, generator=generator) - 0.5


def _over_seeds(each: Sequence[dict[str, PanelValues]]) -> dict[str, PanelValues]:
    """Merge the panels of several seeds: keep the points of the first, and list the numbers of all."""
    panels = {}
    for name, first in each[0].items():
        panels[name] = {key: [panels[name][key] for panels in each] for key in first if key != "points"}
        if "points" in first:
            panels[name]["points"] = [[round(x, DECIMALS) for x in row] for row in first["points"].tolist()]
    return panels


def cloud_values(points: Tensor, k: int, seed: int) -> PanelValues:
    """Return a cloud (n, 2) with its mLID at k and at `KS`, its Fisher-Rao distance from LID 2, and its GID.

    The paper does not say between what its FR distance is measured. Here it is mean_i |ln(2 / LID_i)|, which
    is zero if the cloud is two-dimensional around every point.
    """
    lid = lid_mom(points, k=k)
    return {
        "points": points,
        "mlid": float(geometric_mean(lid)),
        "mlid_over_k": mlid_over_k(points, KS),
        "fr_distance": float(fisher_rao_distance(lid, 2.0).mean()),
        "gid": global_dimension(points, seed),
    }


def global_dimension(points: Tensor, seed: int) -> float:
    """Estimate the global intrinsic dimension of points (n, 2) by DANCo (Ceruti et al. 2014).

    Raises:
        ValueError: if the estimate is not finite, for example for duplicates or points exactly on lines.
    """
    from skdim.id import DANCo  # imported here, because it imports scikit-learn

    # DANCo draws reference clouds of its own with this seed.
    with np.errstate(divide="ignore", invalid="ignore"):  # a result that is not finite is refused below
        dimension = float(DANCo(random_state=seed).fit(points.double().numpy()).dimension_)
    if not math.isfinite(dimension):
        raise ValueError("DANCo gives these points no dimension: neighbours lie exactly on lines")
    return dimension


def collapsed_near_origin(points: Tensor) -> Tensor:
    """Move the points (n, 2) in a strip around the origin vertically onto a sine curve through it."""
    length, height = STRIP
    x, y = points.unbind(dim=1)
    inside = (x.abs() < length) & (y.abs() < height)
    return torch.stack([x, torch.where(inside, 0.04 * (2 * math.pi * x / (2 * length)).sin(), y)], dim=1)


def spiral(points: int, generator: Generator) -> Tensor:
    """Draw points (n, 2) with even density from an Archimedean spiral in the disc of diameter 1.

    The turns are equally far apart, so the cloud fills the disc evenly. Globally it is two-dimensional, with
    nearly the same spread in all directions, but the neighbours of each point are on a curve.
    """
    radius = torch.rand(points, generator=generator).sqrt()
    angle = 2 * math.pi * TURNS * radius
    return 0.5 * radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)


def noise_for(curve: Tensor, normal: Tensor, mlid: float, k: int) -> float:
    """Find by bisection the factor of the displacements `normal` (n, 2) at which the curve has this mLID."""
    low, high = math.log(1e-4), math.log(0.1)
    for _ in range(14):
        middle = (low + high) / 2
        below = geometric_mean(lid_mom(curve + math.exp(middle) * normal, k=k)) < mlid
        low, high = (middle, high) if below else (low, middle)
    return math.exp((low + high) / 2)
