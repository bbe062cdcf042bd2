"""What is declared can be loaded, has a label, and fits what the rest of the project expects of it."""

import hashlib
from typing import Any

import pytest

from ldreg.catalogue.backbones import BACKBONES, STAND_INS
from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.implementation import Implementation
from ldreg.catalogue.methods import METHODS
from ldreg.catalogue.optimizers import OPTIMIZERS
from ldreg.catalogue.regularizers import LIKE_LDREG, REGULARIZERS
from ldreg.config.run_spec import RunSpec
from ldreg.exhibits.output.labels import name

CATALOGUES = (REGULARIZERS, METHODS, BACKBONES, OPTIMIZERS, DATA_SETS)
LABELLED = [
    each for catalogue in (REGULARIZERS, METHODS, BACKBONES, DATA_SETS) for each in catalogue.values()
]


def implementations(block: Any) -> list[Implementation]:
    values = [*vars(block).values(), *(block.layout or () if hasattr(block, "layout") else ())]
    return [value for value in values if isinstance(value, Implementation)]


@pytest.mark.parametrize("block", [*LABELLED, *OPTIMIZERS.values()], ids=lambda block: block.key)
def test_code_that_a_block_names_is_there(block: Any) -> None:
    for implementation in implementations(block):
        assert callable(implementation.load())


@pytest.mark.parametrize("block", LABELLED, ids=lambda block: block.key)
def test_tables_show_the_label(block: Any) -> None:
    assert name(block.key) == block.label != ""


def test_keys_are_unique_over_all_catalogues() -> None:
    keys = [key for catalogue in CATALOGUES for key in catalogue]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("block", [*METHODS.values(), *REGULARIZERS.values()], ids=lambda block: block.key)
def test_needed_settings_are_settings_of_a_run_without_a_default(block: Any) -> None:
    for key in block.settings:
        assert RunSpec.model_fields[key].default is None


def test_small_backbones_stand_for_the_papers() -> None:
    assert set(STAND_INS.values()) <= set(BACKBONES) - set(STAND_INS)


def test_what_can_be_tested_in_ldregs_place_is_set_by_beta_and_k() -> None:
    assert LIKE_LDREG == ("ldreg_l1", "ldreg_l2", "ldreg_per_sample", "min_lid")


@pytest.mark.parametrize("data_set", DATA_SETS.values(), ids=lambda data_set: data_set.key)
def test_a_data_set_is_of_one_kind(data_set: Any) -> None:
    if data_set.arrays is not None:
        assert data_set.classes is not None and data_set.layout is None and data_set.part_of is None
    if data_set.layout is not None:
        assert len(data_set.unpacked) == 1
    if data_set.class_list is not None:
        assert len(data_set.class_list) == hashlib.sha256().digest_size * 2
    assert data_set.part_of is None or data_set.part_of in DATA_SETS
