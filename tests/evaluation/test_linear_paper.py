"""The paper's linear evaluation against a plain loop, in float64, and on two ranks against one process."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from linear_paper_case import DATA, SETTINGS, SIZE, encoder
from torch import Tensor

from ldreg.data.views import make_view, view_seed
from ldreg.evaluation import linear_paper as module
from ldreg.evaluation.classifier import ClassifierSettings
from ldreg.evaluation.linear_paper import epoch_parts, linear_paper

CPU = torch.device("cpu")


@pytest.fixture
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def seeded(*counters: int) -> torch.Generator:
    return torch.Generator().manual_seed(view_seed(*counters) % 2**32)


@torch.no_grad()
def plain_loop(seed: int) -> tuple[Tensor, Tensor, list[float], list[float]]:
    """The protocol for `DATA` written out: one row after the other, statistics, softmax and LARS by hand."""
    settings, classes = SETTINGS, DATA.classes
    network = encoder()
    dim = network(make_view(DATA.train.images[:1], SIZE, settings.view, 0)).shape[1]
    weight = 0.01 * torch.randn(classes, dim, generator=seeded(seed, 0, 0, 6))
    bias = torch.zeros(classes)
    running_mean, running_variance = torch.zeros(dim), torch.ones(dim)
    moved = [torch.zeros_like(weight), torch.zeros_like(bias)]
    losses, accuracies = [], []
    images = len(DATA.train.labels)
    steps = math.ceil(images / settings.batch_size)
    for epoch in range(settings.epochs):
        order = torch.randperm(images, generator=seeded(seed, epoch, 0, 5)).tolist()
        of_epoch = []
        for step in range(steps):
            rows = order[step * settings.batch_size : (step + 1) * settings.batch_size]
            view = make_view(DATA.train.images[rows], SIZE, settings.view, view_seed(seed, epoch, step, 4))
            x, y = network(view), DATA.train.labels[rows]
            n = len(rows)
            mean = sum(x) / n
            variance = sum((row - mean) ** 2 for row in x) / n
            running_mean = 0.9 * running_mean + 0.1 * mean
            running_variance = 0.9 * running_variance + 0.1 * variance * n / (n - 1)
            x = (x - mean) / (variance + settings.norm_eps).sqrt()
            of_weight, of_bias, loss = torch.zeros_like(weight), torch.zeros_like(bias), 0.0
            for row, label in zip(x, y.tolist(), strict=True):
                p = (weight @ row + bias).softmax(dim=0)
                loss -= float(p[label].log()) / n
                p[label] -= 1
                of_weight += torch.outer(p, row) / n
                of_bias += p / n
            done = (epoch + step / steps) / settings.epochs
            start = settings.base_lr * settings.batch_size / 256
            end = start * settings.final_lr_factor
            lr = end + (start - end) * (1 + math.cos(math.pi * done)) / 2
            of_weight *= 0.001 * weight.norm() / of_weight.norm()
            moved = [0.9 * old + new for old, new in zip(moved, (of_weight, of_bias), strict=True)]
            weight, bias = weight - lr * moved[0], bias - lr * moved[1]
            of_epoch.append(loss)
        losses.append(sum(of_epoch) / steps)
        x = network(DATA.test.images.float() / 255).float().double()  # as extracted
        logits = (x - running_mean) / (running_variance + settings.norm_eps).sqrt() @ weight.T + bias
        accuracies.append(100 * (logits.argmax(dim=1) == DATA.test.labels).double().mean().item())
    return weight, bias, losses, accuracies


def test_the_whole_protocol_is_a_plain_loops(in_float64, monkeypatch):
    states = []
    begin = module.begin
    monkeypatch.setattr(module, "begin", lambda *about: states.append(begin(*about)) or states[0])
    found = linear_paper(encoder(), DATA, SIZE, SETTINGS, seed=3, device=CPU)
    weight, bias, losses, accuracies = plain_loop(seed=3)
    (state,) = states
    torch.testing.assert_close(state.classifier.weight.data, weight, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(state.classifier.bias.data, bias, rtol=1e-12, atol=1e-14)
    assert [row["loss"] for row in found["history"]] == pytest.approx(losses, rel=1e-12)
    assert [row["top1"] for row in found["history"]] == pytest.approx(accuracies)
    assert (state.classifier.weight - begin(6, 3, SETTINGS, 3, CPU).classifier.weight).abs().max() > 1e-3


def test_two_ranks_compute_what_one_process_does(tmp_path, in_float64):
    """Of 19 images two batches of 8, and the last of 3: shares of 4 and 4, of 2 and 1."""
    script = Path(__file__).parents[1] / "linear_paper_case.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*torchrun, script, tmp_path], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    one = linear_paper(encoder(), DATA, SIZE, SETTINGS, seed=3, device=CPU)
    for number in (0, 1):
        found = torch.load(tmp_path / f"rank{number}.pt")
        for row, expected in zip(found.pop("history"), one["history"], strict=True):
            assert row.pop("top5") is None
            assert row == pytest.approx({key: expected[key] for key in row}, rel=1e-12)
        assert found == {key: value for key, value in one.items() if key != "history"}


def test_the_last_epoch_is_the_result_and_the_best_one_is_told_by_name(monkeypatch):
    tops = iter([50.0, 90.0, 70.0])
    monkeypatch.setattr(
        module, "_row", lambda epoch, *_: {"epoch": epoch + 1, "loss": 1.0, "top1": next(tops), "top5": None}
    )
    found = linear_paper(encoder(), DATA, SIZE, ClassifierSettings(epochs=3, batch_size=8), 0, CPU)
    assert (found["top1"], found["epochs"]) == (70, 3)
    assert found["best_test_epoch"] == {"epoch": 2, "top1": 90, "top5": None}


def test_encoder_and_random_state_are_left_as_they_were():
    network = encoder().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = linear_paper(network, DATA, SIZE, SETTINGS, seed=0, device=CPU)
    assert torch.equal(torch.get_rng_state(), state) and network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    torch.manual_seed(6)
    assert linear_paper(network.eval(), DATA, SIZE, SETTINGS, seed=0, device=CPU) == first
    assert linear_paper(network, DATA, SIZE, SETTINGS, seed=1, device=CPU)["history"] != first["history"]


def test_defaults_are_the_papers_on_imagenet():
    settings = ClassifierSettings()
    assert (settings.epochs, settings.lr) == (90, 1.6)
    assert settings.lr_after(0) == 1.6 and settings.lr_after(90) == pytest.approx(1.6e-6)
    assert settings.lr_after(45) == pytest.approx(0.8, rel=1e-5)
    view = settings.view
    assert (view.crop_scale, view.interpolation, view.flip) == ((0.08, 1.0), "bicubic", 0.5)
    parts = epoch_parts(1_281_167, settings.batch_size, epoch=0, seed=0)
    assert [len(part.rows) for part in (parts[0], parts[-1])] == [4096, 3215] and len(parts) == 313


def test_weights_start_small_and_few_classes_have_no_top5():
    state = module.begin(2048, 1000, ClassifierSettings(), 0, CPU)
    assert float(state.classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.01)
    assert not state.classifier.bias.any()
    assert [group["adapt"] for group in state.optimizer.param_groups] == [True, False]
    assert {group["weight_decay"] for group in state.optimizer.param_groups} == {0}
    assert linear_paper(encoder(), DATA, SIZE, SETTINGS, seed=0, device=CPU)["top5"] is None


def test_divergence_is_told():
    class Broken(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            big = 1e30 if len(images) != len(DATA.test.labels) else 1.0
            return big * images.flatten(1) ** 2 * big

    with pytest.raises(FloatingPointError, match="linear evaluation diverged in epoch 1"):
        linear_paper(Broken(), DATA, SIZE, SETTINGS, seed=0, device=CPU)


def test_every_image_comes_once_an_epoch_but_one_that_would_be_alone():
    rows = [torch.cat([part.rows for part in epoch_parts(n, 8, epoch=1, seed=0)]) for n in (19, 17)]
    assert sorted(rows[0].tolist()) == list(range(19)) and len(rows[1]) == 16
    assert rows[0].tolist() != torch.cat([part.rows for part in epoch_parts(19, 8, 2, 0)]).tolist()
