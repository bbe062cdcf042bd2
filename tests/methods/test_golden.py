"""The first losses of every method, kept: what a run computes does not change unnoticed.

Who means to change it runs this file and copies the rows that its failures print.
"""

import pytest
import torch

import ldreg.training.pretrain
from ldreg.catalogue.methods import METHODS
from ldreg.config.execution import Execution
from ldreg.training.step import TrainingStep

# Made by torch 2.15 in one thread of a CPU with AVX-512, which one limited to SSE follows to 2e-4.
GOLDEN = {
    ("simclr", "none"): (6.51331, 6.54784, 6.2472, 5.77012, 5.41384),
    ("simclr", "ldreg_l1"): (6.23858, 6.30295, 6.04545, 5.56695, 5.17887),
    ("simclr_tuned", "none"): (6.99304, 7.10674, 6.72654, 5.97901, 5.76756),
    ("simclr_tuned", "ldreg_l1"): (6.71831, 6.87203, 6.52904, 5.76402, 5.57943),
    ("byol", "none"): (4.39378, 3.78347, 3.01737, 2.57806, 2.33217),
    ("byol", "ldreg_l1"): (4.11362, 3.38424, 2.53512, 2.08904, 1.86609),
    ("moco", "none"): (22.2715, 22.2271, 22.0954, 22.158, 21.9911),
    ("moco", "ldreg_l1"): (21.9968, 21.9701, 21.8359, 21.9065, 21.7844),
    ("vicreg", "none"): (21.2567, 20.7229, 19.402, 18.2041, 17.199),
    ("vicreg", "ldreg_l1"): (20.982, 20.4912, 19.2353, 17.9634, 16.9294),
    ("barlow_twins", "none"): (10.774, 6.85222, 2.97005, 1.80555, 1.39306),
    ("barlow_twins", "ldreg_l1"): (10.4992, 6.6372, 2.79398, 1.61476, 1.2103),
    ("mae", "none"): (2.16158, 1.50163, 1.12395, 1.16093, 1.092),
    ("mae", "ldreg_l1"): (1.95685, 1.30781, 0.920115, 0.950915, 0.88671),
}


@pytest.mark.parametrize("regularizer", ["none", "ldreg_l1"])
@pytest.mark.parametrize("method", METHODS)
def test_losses_of_the_first_five_steps(tiny_spec, digits, monkeypatch, method, regularizer):
    losses = []

    class Recorded(TrainingStep):
        def __call__(self, *arguments, **options):
            result = super().__call__(*arguments, **options)
            losses.append(float(result.ssl_loss + result.term))
            return result

    monkeypatch.setattr(ldreg.training.pretrain, "TrainingStep", Recorded)
    # All digits make five batches of 256. Momentum, as its steps are smooth in the gradient: in AdamW's the
    # rounding of another CPU would decide on the signs of what is almost zero.
    spec = tiny_spec(
        method=method,
        regularizer=regularizer,
        train_images=None,
        batch_size=256,
        epochs=1,
        optimizer="sgd",
        base_lr=0.05,
    )
    ldreg.training.pretrain.pretrain(
        spec, digits, Execution(monitors=False), torch.device("cpu"), on_epoch=lambda row: None
    )
    found = tuple(float(f"{loss:.6g}") for loss in losses)
    expected = GOLDEN.get((method, regularizer), ())
    assert found == pytest.approx(expected, rel=1e-3), f"({method!r}, {regularizer!r}): {found},"
