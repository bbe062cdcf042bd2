"""The paper's experiments with points in the plane: the numbers behind figures 1 and 3, on a CPU.

Pure functions of their seeds, the same on every run with one thread; `compute` writes what
`ldreg.exhibits.synthetic_figures` draws. All LIDs are LDReg's method of moments; GID is scikit-dimension's
DANCo with its defaults (k = 10, at most as many dimensions as coordinates). In the plane DANCo weighs one
dimension against two and reports whichever fits better, so a GID here is 1 or 2.

What is learned (figure 3, figure 1 d) is a **linear layer on random Fourier features** of the points (Rahimi
& Recht 2007). A linear layer on the coordinates themselves, as the paper's wording may mean, cannot do it. A
linear map keeps a uniform cloud uniform, so that LID stays at 2 and the loss is flat, until the cloud is a
ribbon narrower than a neighbourhood; and the ribbon of the least mean |ln(LID / 1.6)| was found at mLID 1.68.
Features narrower than a neighbourhood let each small region move by itself. What this finds for low targets
are small rings and clusters rather than lines: LID is a matter of distances alone.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ldreg.files import write_text
from ldreg.lid import fisher_rao_distance, geometric_mean, lid_mom
from ldreg.regularizers import LDReg, TargetLID

POINTS = 2000
TARGETS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)  # figure 3
TARGET_K = 16  # at the border LIDs read low, less so for small k: uniform points have mLID 1.98 here
CLOUD_MLIDS = (1.1, 1.3, 1.5, 1.9)  # figure 1 c
CLOUD_K = 20
TURNS = 5  # of the spiral
ANCHOR_POINTS, ANCHOR_K = 1000, 40  # figure 1 a and b: one LID, so more neighbours for a steadier one
STRIP = (0.3, 0.12)  # half length and half height of the region that collapses in figure 1 b
WIDTH, FREQUENCY = 2048, 100.0  # Fourier features: how many, and radians per side of the square
DECIMALS = 6  # of stored coordinates

Panel = dict[str, Any]  # "points" (n, 2) and numbers, for one seed; lists of numbers for several


def compute(figure: str, seeds: Sequence[int], path: str | Path) -> None:
    """Write the JSON of "figure1" or "figure3": {"figure", "seeds", "k", ..., "panels": {name: panel}}.

    A panel holds the "points" of the first seed, to be drawn, and each number as a list, seed by seed.
    """
    content = {"figure1": figure1, "figure3": figure3}[figure](seeds)
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


def figure1(seeds: Sequence[int], points: int = POINTS, width: int = WIDTH) -> dict[str, Any]:
    """Figure 1: local collapse in the plane, and LDReg undoing it.

    - `spread`, `collapsed` (a, b): `lid` of an anchor at the origin, among uniform points, and after those
      around it have fallen onto a curve through it.
    - `cloud_1.1` ... `cloud_1.9` (c): points on a spiral that fills a disc, with Gaussian noise of a standard
      deviation (`noise`, in diameters of the disc) at which mLID is 1.1 ... 1.9.
    - `restored` (d): the first of these clouds after 60 steps on LDReg alone, with the `trace` of mLID. L1
      has no upper bound: with more steps mLID passes 2, since points can move nearly one by one.
    """
    each = [_figure1_of(seed, points, width) for seed in seeds]
    settings = {"anchor_points": ANCHOR_POINTS, "anchor_k": ANCHOR_K, "points": points, "k": CLOUD_K}
    return {"figure": "figure1", "seeds": list(seeds), **settings, "panels": _over_seeds(each)}


def figure3(
    seeds: Sequence[int],
    targets: Sequence[float] = TARGETS,
    points: int = POINTS,
    width: int = WIDTH,
    steps: int = 200,
) -> dict[str, Any]:
    """Figure 3 (appendix A): uniform points of the unit square, through a layer trained on target LID.

    Panels are named by their target, "1.0" ...; all targets of a seed start from the same points.
    """
    each = []
    for seed in seeds:
        generator = Generator().manual_seed(seed)
        square = torch.rand(points, 2, generator=generator) - 0.5
        features = fourier_features(square, generator, width)
        panels = {}
        for target in targets:
            regularizer = TargetLID(beta=1.0, k=TARGET_K, target=target)
            moved, _ = train_layer(features, regularizer, steps, rate=0.005)
            panels[f"{target:.1f}"] = measured(moved, TARGET_K, seed)
        each.append(panels)
    settings = {"points": points, "k": TARGET_K, "features": width, "steps": steps}
    return {"figure": "figure3", "seeds": list(seeds), **settings, "panels": _over_seeds(each)}


def _figure1_of(seed: int, points: int, width: int) -> dict[str, Panel]:
    """The panels of one seed."""
    generator = Generator().manual_seed(seed)
    spread = torch.rand(ANCHOR_POINTS, 2, generator=generator) - 0.5
    panels = {
        name: {"points": cloud, "lid": float(lid_mom(torch.zeros(1, 2), cloud, ANCHOR_K))}
        for name, cloud in (("spread", spread), ("collapsed", collapsed_near_origin(spread)))
    }
    curve, normal = spiral(points, generator), torch.randn(points, 2, generator=generator)
    for mlid in CLOUD_MLIDS:
        noise = noise_for(curve, normal, mlid, CLOUD_K)
        panels[f"cloud_{mlid}"] = {**measured(curve + noise * normal, CLOUD_K, seed), "noise": noise}
    start = panels[f"cloud_{CLOUD_MLIDS[0]}"]["points"]
    features = fourier_features(start, generator, width)
    moved, losses = train_layer(features, LDReg(beta=1.0, k=CLOUD_K), steps=60, rate=0.001)
    panels["restored"] = measured(moved, CLOUD_K, seed)
    panels["restored"]["trace"] = [math.exp(-loss) for loss in losses] + [panels["restored"]["mlid"]]
    return panels


def _over_seeds(each: Sequence[dict[str, Panel]]) -> dict[str, Panel]:
    """Panels of several seeds as one: the points of the first, every number as a list."""
    panels = {}
    for name, first in each[0].items():
        points = [[round(value, DECIMALS) for value in row] for row in first["points"].tolist()]
        numbers = {key: [panels[name][key] for panels in each] for key in first if key != "points"}
        panels[name] = {"points": points, **numbers}
    return panels


def measured(points: Tensor, k: int, seed: int) -> Panel:
    """A cloud (n, 2) with its mLID, its mean Fisher-Rao distance from LID 2, and its GID.

    The paper leaves open what its FR distance refers to: here mean_i |ln(2 / LID_i)|, zero for a cloud that
    is two-dimensional around every point.
    """
    lid = lid_mom(points, k=k)
    return {
        "points": points,
        "mlid": float(geometric_mean(lid)),
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


def fourier_features(
    points: Tensor, generator: Generator, width: int = WIDTH, frequency: float = FREQUENCY
) -> Tensor:
    """(n, 2 + width): the coordinates, then sqrt(2 / width) cos(w . x + b) (Rahimi & Recht 2007).

    w ~ N(0, frequency^2) and b ~ U(0, 2 pi). Their inner product approaches a Gaussian kernel of standard
    deviation 1 / frequency, about a fifth of the radius of a neighbourhood here.
    """
    directions = frequency * torch.randn(2, width, generator=generator)
    phases = 2 * math.pi * torch.rand(width, generator=generator)
    waves = (points @ directions + phases).cos()
    return torch.cat([points, math.sqrt(2 / width) * waves], dim=1)


def train_layer(
    features: Tensor, regularizer: Callable[[Tensor], Tensor], steps: int, rate: float
) -> tuple[Tensor, list[float]]:
    """Train a linear layer from features (n, 2 + width) to the plane on a regulariser alone.

    It starts by passing the coordinates through. Adam, all points in each step, cosine decay from `rate` to
    zero. As in training, gradients reach the query rows alone.

    Returns:
        Where the points end up (n, 2), and the loss before each step.
    """
    layer = nn.Linear(features.shape[1], 2, bias=False)
    nn.init.eye_(layer.weight)
    optimizer = torch.optim.Adam(layer.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        loss = regularizer(layer(features))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return layer(features).detach(), losses
