"""The experiments in the plane at their full size, for one seed: figures 1 and 3."""

import json
import math

import numpy as np
import pytest
import torch
from skdim.id import DANCo

from ldreg import synthetic
from ldreg.lid import geometric_mean, lid_mom
from ldreg.regularizers import LDReg, MinLID


@pytest.fixture(scope="module")
def one():
    return synthetic.figure1([0])


@pytest.fixture(scope="module")
def three():
    return synthetic.figure3([0], targets=(1.0, 2.0))  # the hardest two


def mlid(points, k) -> float:
    """Geometric mean of the method-of-moments LIDs, by sorting all distances in numpy."""
    points = np.asarray(points)
    r = np.sort(np.linalg.norm(points[:, None] - points, axis=2), axis=1)[:, 1 : k + 1]
    near = r[:, :-1].mean(axis=1)
    return float(np.exp(np.log(near / (r[:, -1] - near)).mean()))


def square(n=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 2, generator=generator) - 0.5, generator


def test_the_size_of_figure_3_is_what_the_paper_needs() -> None:
    assert synthetic.TARGETS == (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
    assert synthetic.TARGET_K <= 20 and synthetic.POINTS >= 2000


def test_measured_mlid_is_within_a_twentieth_of_the_target(three) -> None:
    assert list(three["panels"]) == ["1.0", "2.0"]
    for target, panel in three["panels"].items():
        assert abs(panel["mlid"][0] - float(target)) < 0.05
        assert len(panel["points"]) == three["points"] == 2000
        assert mlid(panel["points"], three["k"]) == pytest.approx(panel["mlid"][0], abs=1e-3)


def test_gid_is_danco_s_of_the_points_shown(three) -> None:
    for panel in three["panels"].values():
        points = np.asarray(panel["points"])
        assert panel["gid"] == [pytest.approx(DANCo(random_state=0).fit(points).dimension_, abs=0.01)]
    assert [panel["gid"][0] for panel in three["panels"].values()] == pytest.approx([1.0, 2.0], abs=0.1)


def test_an_anchor_s_lid_falls_from_two_to_one_where_its_neighbours_collapse(one) -> None:
    assert one["panels"]["spread"]["lid"][0] == pytest.approx(2.0, abs=0.5)
    assert one["panels"]["collapsed"]["lid"][0] == pytest.approx(1.0, abs=0.25)


def test_clouds_have_the_papers_mlid_and_still_fill_the_plane(one) -> None:
    paper = {"1.1": 0.65, "1.3": 0.50, "1.5": 0.32, "1.9": 0.16}
    for target, distance in paper.items():
        cloud = one["panels"][f"cloud_{target}"]
        assert cloud["mlid"][0] == pytest.approx(float(target), abs=0.005)
        assert mlid(cloud["points"], one["k"]) == pytest.approx(cloud["mlid"][0], abs=1e-3)
        assert cloud["gid"][0] == pytest.approx(2.0, abs=0.1)
        assert cloud["fr_distance"][0] == pytest.approx(distance, abs=0.1)
        spread = np.linalg.eigvalsh(np.cov(np.asarray(cloud["points"]).T))
        assert spread[1] < 1.2 * spread[0]  # about the same in all directions


def test_ldreg_restores_the_local_dimension(one) -> None:
    restored = one["panels"]["restored"]
    (trace,) = restored["trace"]
    assert trace[0] == pytest.approx(1.1, abs=0.01) and trace[-1] == restored["mlid"][0]
    assert restored["mlid"][0] == pytest.approx(2.0, abs=0.1)
    assert min(np.diff(trace)) > -0.02 and len(trace) == 61
    assert restored["gid"][0] == pytest.approx(2.0, abs=0.1)


def test_collapse_leaves_the_points_around_it_alone() -> None:
    points, _ = square(2000)
    moved = synthetic.collapsed_near_origin(points)
    changed = (moved != points).any(dim=1)
    x, y = points[changed].abs().max(dim=0).values
    assert x < 0.3 and y < 0.12 and 0.1 < changed.float().mean() < 0.2  # 0.6 x 0.24 of the square
    assert torch.equal(moved[:, 0], points[:, 0])
    on_curve = 0.04 * (math.pi * moved[changed, 0] / 0.3).sin()
    assert torch.allclose(moved[changed, 1], on_curve, atol=1e-6)


def test_a_spiral_is_a_line_around_each_point_and_fills_a_disc() -> None:
    curve = synthetic.spiral(4000, torch.Generator().manual_seed(0))
    radius = curve.norm(dim=1)
    assert radius.max() <= 0.5
    assert (radius < 0.25).float().mean() == pytest.approx(0.25, abs=0.03)  # as the area
    assert geometric_mean(lid_mom(curve, k=20)) == pytest.approx(1.0, abs=0.05)


def test_features_are_the_coordinates_and_a_gaussian_kernel() -> None:
    points, generator = square(50)
    features = synthetic.fourier_features(points, generator, width=40000, frequency=5.0)
    assert features.shape == (50, 40002) and torch.equal(features[:, :2], points)
    waves = features[:, 2:]
    expected = torch.exp(-0.5 * (5.0 * torch.cdist(points, points)) ** 2)
    assert torch.allclose(waves @ waves.T, expected, atol=0.03)


def test_the_layer_starts_as_the_points_and_follows_its_regulariser() -> None:
    points, generator = square()
    features = synthetic.fourier_features(points, generator, width=256)
    before = float(geometric_mean(lid_mom(points, k=16)))
    ends = {}
    for regularizer in (LDReg(beta=1.0, k=16), MinLID(beta=1.0, k=16)):
        moved, losses = synthetic.train_layer(features, regularizer, steps=20, rate=0.003)
        assert losses[0] == pytest.approx(regularizer(points).item(), abs=1e-5) and len(losses) == 20
        assert losses[-1] < losses[0]
        ends[type(regularizer)] = float(geometric_mean(lid_mom(moved, k=16)))
    assert ends[MinLID] < before - 0.1 < before + 0.05 < ends[LDReg]


def test_danco_tells_a_surface_from_a_line_and_refuses_exact_lines() -> None:
    points, _ = square(1000)
    assert synthetic.global_dimension(points, 0) == pytest.approx(2.0, abs=0.1)
    assert synthetic.global_dimension(points * torch.tensor([1.0, 1e-4]), 0) == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ValueError, match="no dimension"):
        synthetic.global_dimension(points.repeat(2, 1), 0)


def test_one_seed_gives_the_same_file_each_time_and_several_their_numbers(tmp_path, monkeypatch) -> None:
    small = {"points": 200, "width": 32}
    monkeypatch.setattr(synthetic, "figure1", lambda seeds: figure1(seeds, **small))
    monkeypatch.setattr(synthetic, "figure3", lambda seeds: figure3(seeds, **small, steps=3))
    for figure in ("figure1", "figure3"):
        files = [tmp_path / f"{figure}-{place}.json" for place in range(3)]
        for path, seeds in zip(files, ([3], [3], [3, 4]), strict=True):
            synthetic.compute(figure, seeds, path)
        assert files[0].read_bytes() == files[1].read_bytes()
        alone, both = (json.loads(path.read_text()) for path in files[1:])
        assert both["figure"] == figure and both["seeds"] == [3, 4]
        for name, panel in both["panels"].items():
            first = alone["panels"][name]
            assert panel["points"] == first["points"]
            for key in panel.keys() - {"points"}:
                assert panel[key][:1] == first[key] and len(panel[key]) == 2
        name = {"figure1": "cloud_1.1", "figure3": "1.0"}[figure]
        assert both["panels"][name]["fr_distance"][0] != both["panels"][name]["fr_distance"][1]


figure1, figure3 = synthetic.figure1, synthetic.figure3
