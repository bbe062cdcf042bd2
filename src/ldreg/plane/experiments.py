"""The paper's experiments with points in the plane: the numbers behind figures 1 and 3, on a CPU.

Pure functions of their seeds, the same on every run with one thread. `ldreg.jobs.synthetic` writes what they
return, and `ldreg.exhibits.figures.plane` draws it. All LIDs are LDReg's method of moments; GID is
scikit-dimension's DANCo with its defaults (k = 10, at most as many dimensions as coordinates). In the plane
DANCo weighs one dimension against two and reports whichever fits better, so a GID here is 1 or 2.

What is learned is in `ldreg.plane.layers`; each step draws new points and what is shown are points that no
step has seen.

- Figure 3: a linear layer on the coordinates, as in the paper. It turns a square into a rectangle, whose LID
  hardly depends on its height until that is about the radius of a neighbourhood: a ribbon. LIDs between 1 and
  2 belong to ribbons about as thin as a neighbourhood; so they hold for one k: with fewer neighbours mLID is
  nearer 2, with more nearer 1. Training starts from a flat rectangle:
  from a square not every seed leaves the plateau. The paper prints the loss as mean_i ln(LID_i / target),
  which has no minimum at the target. With bars around the mean it does; with bars around each sample, the
  form of `TargetLID`, the minimum over all linear maps lies beside it, as estimates of LID scatter by 20 %
  and by more near a ribbon's edge: at mLID 1.67 for a target of 1.6. `mlid_per_sample` holds where that ends.
- Figure 1 d: LDReg itself, on a layer from random Fourier features, since no linear map of the coordinates
  spreads a spiral's arms.
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
from ldreg.regularizers import LDReg

POINTS = 2000
TARGETS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)  # figure 3
TARGET_K = 16  # at the border LIDs read low, less so for small k: uniform points have mLID 1.98 here
CLOUD_MLIDS = (1.1, 1.3, 1.5, 1.9)  # figure 1 c
CLOUD_K = 20
TURNS = 5  # of the spiral
ANCHOR_POINTS, ANCHOR_K = 1000, 40  # figure 1 a and b: one LID, so more neighbours for a steadier one
STRIP = (0.3, 0.12)  # half length and half height of the region that collapses in figure 1 a
KS = (5, 10, 16, 20, 32, 64)  # at which mLID is shown, beside the one k that was trained
START_HEIGHT = 0.05  # height of the rectangle that figure 3 starts from, in widths
WIDTH, FREQUENCY = 512, 60.0  # Fourier features: how many, and radians per diameter of the spiral
DECIMALS = 7  # of stored coordinates

PanelValues = dict[str, Any]  # "points" (n, 2) and numbers, for one seed; lists of numbers for several


def figure1(
    seeds: Sequence[int], points: int = POINTS, width: int = WIDTH, steps: int = 100
) -> dict[str, Any]:
    """Figure 1: local collapse in the plane, and LDReg undoing it.

    - `collapsed`, `spread` (a, b): `lid` of an anchor at the origin, with the points around it fallen onto a
      curve through it, and among the uniform points before that.
    - `cloud_1.1` ... `cloud_1.9` (c): points on a spiral that fills a disc, with Gaussian noise of a standard
      deviation (`noise`, in diameters of the disc) at which mLID is 1.1 ... 1.9.
    - `restored` (d): the first of these clouds through a layer trained on LDReg alone, on other such clouds.
      The map folds the arms over each other.
    - `uniform`: points of the unit square, for comparison.

    Clouds, `restored` and `uniform` have `mlid_over_k`, a list for each seed, at the `ks`.
    """
    each = [_figure1_of(seed, points, width, steps) for seed in seeds]
    settings = {"anchor_points": ANCHOR_POINTS, "anchor_k": ANCHOR_K, "points": points, "k": CLOUD_K}
    settings |= {"ks": list(KS), "features": width, "steps": steps}
    return {"figure": "figure1", "seeds": list(seeds), **settings, "panels": _over_seeds(each)}


def figure3(
    seeds: Sequence[int], targets: Sequence[float] = TARGETS, points: int = POINTS, steps: int = 80
) -> dict[str, Any]:
    """Figure 3 (appendix A): points of the unit square through a linear layer trained on target LID.

    Panels are named by their target, "1.0" ..., with the `height` of the learned rectangle in widths,
    `mlid_per_sample` (see the top of this module) and `mlid_over_k`, a list for each seed, at the `ks`;
    `uniform` holds the points before any layer, the same for all targets of a seed.
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
    """The panels of one seed."""
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
    return panels


def _trained(loss: Loss, points: int, steps: int, seed: int) -> DiagonalLayer:
    """Figure 3's layer, trained on the seed's squares after the first, which is measured."""
    generator = Generator().manual_seed(seed)
    _square(points, generator)
    layer = DiagonalLayer(START_HEIGHT)
    train_layer(layer, partial(_square, points, generator), loss, steps, rate=0.1)
    return layer


def _square(points: int, generator: Generator) -> Tensor:
    """Uniform points (n, 2) of the unit square around the origin."""
    return torch.rand(points, 2, generator=generator) - 0.5


def _over_seeds(each: Sequence[dict[str, PanelValues]]) -> dict[str, PanelValues]:
    """Panels of several seeds as one: the points of the first, every number as a list."""
    panels = {}
    for name, first in each[0].items():
        panels[name] = {key: [panels[name][key] for panels in each] for key in first if key != "points"}
        if "points" in first:
            panels[name]["points"] = [[round(x, DECIMALS) for x in row] for row in first["points"].tolist()]
    return panels


def cloud_values(points: Tensor, k: int, seed: int) -> PanelValues:
    """A cloud (n, 2) with its mLID at k and over k, its mean Fisher-Rao distance from LID 2, and its GID.

    The paper leaves open what its FR distance refers to: here mean_i |ln(2 / LID_i)|, zero for a cloud that
    is two-dimensional around every point.
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
    """Global intrinsic dimension of (n, 2) points by DANCo (Ceruti et al. 2014); see the top of this module.

    Raises:
        ValueError: where DANCo finds none, as for points that lie exactly on lines or are duplicates.
    """
    from skdim.id import DANCo  # late: it brings scikit-learn, which nothing else here needs

    # The seed is that of DANCo's own reference clouds.
    with np.errstate(divide="ignore", invalid="ignore"):  # what comes of it is refused below
        dimension = float(DANCo(random_state=seed).fit(points.double().numpy()).dimension_)
    if not math.isfinite(dimension):
        raise ValueError("DANCo gives these points no dimension: neighbours lie exactly on lines")
    return dimension


def collapsed_near_origin(points: Tensor) -> Tensor:
    """Points (n, 2) with those in a strip around the origin moved up or down onto a sine through it."""
    length, height = STRIP
    x, y = points.unbind(dim=1)
    inside = (x.abs() < length) & (y.abs() < height)
    return torch.stack([x, torch.where(inside, 0.04 * (2 * math.pi * x / (2 * length)).sin(), y)], dim=1)


def spiral(points: int, generator: Generator) -> Tensor:
    """Points (n, 2) scattered evenly along an Archimedean spiral in the disc of diameter 1.

    Its turns are equally far apart, so that the cloud fills the disc evenly: two-dimensional from afar, with
    nearly the same spread in all directions, while each point's neighbours lie on a curve.
    """
    radius = torch.rand(points, generator=generator).sqrt()
    angle = 2 * math.pi * TURNS * radius
    return 0.5 * radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)


def noise_for(curve: Tensor, normal: Tensor, mlid: float, k: int) -> float:
    """Factor of the displacements `normal` (n, 2) at which the noisy curve has this mLID, by bisection."""
    low, high = math.log(1e-4), math.log(0.1)
    for _ in range(14):
        middle = (low + high) / 2
        below = geometric_mean(lid_mom(curve + math.exp(middle) * normal, k=k)) < mlid
        low, high = (middle, high) if below else (low, middle)
    return math.exp((low + high) / 2)
