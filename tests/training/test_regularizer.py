"""A run's regulariser is built from its block in the catalogue."""

from collections.abc import Callable

import pytest

from ldreg.catalogue.regularizers import REGULARIZERS
from ldreg.config.run_spec import RunSpec
from ldreg.regularizers import Covariance, CovarianceVariance, LDReg, MinLID, TargetLID
from ldreg.training.regularizer import build_regularizer

EXPECTED = {
    "ldreg_l1": LDReg(0.1, 8, "l1"),
    "ldreg_l2": LDReg(0.1, 8, "l2"),
    "ldreg_per_sample": LDReg(0.1, 8, "per_sample"),
    "min_lid": MinLID(0.1, 8),
    "target_lid": TargetLID(0.1, 8, 1.5),
    "cov": Covariance(0.1),
    "cov_var": CovarianceVariance(0.1),
}


def test_every_regulariser_is_expected_here() -> None:
    assert {"none", *EXPECTED} == set(REGULARIZERS)


@pytest.mark.parametrize("name", EXPECTED)
def test_spec_gives_its_settings_to_the_class(name: str, tiny_spec: Callable[..., RunSpec]) -> None:
    own = {"beta": 0.1, "k": 8, "target": 1.5}
    spec = tiny_spec(regularizer=name, **{key: own[key] for key in REGULARIZERS[name].settings})
    assert repr(build_regularizer(spec)) == repr(EXPECTED[name])


def test_a_run_without_a_regulariser_has_none(tiny_spec: Callable[..., RunSpec]) -> None:
    assert build_regularizer(tiny_spec(regularizer="none")) is None
