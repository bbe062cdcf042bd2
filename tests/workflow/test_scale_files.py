"""The scale files that this project ships: how many runs each exhibit has, and which are shared."""

from pathlib import Path

import pytest

from ldreg.catalogue.backbones import WITH_PATCHES
from ldreg.catalogue.methods import METHODS
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"
# Counted by hand, without seeds. Figure 5: none, 3 betas and 4 ks, whose axes cross in one run. Table 13:
# none, LDReg and 4 betas of Min LID. Table 16: none, LDReg, and 2 betas each of Cov and Cov + Var.
CORE = {"table1_simclr": 2, "summary_simclr": 2, "figure3": 0, "figure5": 7, "claims": 7}
SMALL = {
    **CORE,
    "figure1": 0,
    "table1": 10,
    "table2": 2,
    "figure2a": 8,
    "figure2b": 4,
    "figure2cd": 8,
    "figure4": 4,
    "table12": 5,
    "table13": 6,
    "table14": 6,
    "table15": 6,
    "table16": 6,
    "summary": 10 + 6,
    **{
        "table4": 2,
        "table5": 2,
        "table6": 2,
        "table7": 2,
        "table8": 2,
        "table9": 2,
        "table10": 2,
        "table11": 4,
        "settings_simclr_vit": 2,
    },
    "significance": 10,
    "lid_in_batches": 2,
    "protocols": 2,
    "measures": 2,
}
RUNS = {
    "demo": {
        **SMALL,
        "table3": 2,
        "surface": 2 + 3 * 3 * 2,
        "accuracy_and_lid": 9 + 2 + 2 * 6 + 2 * 2 - 1,  # SimCLR's own LDReg is among the first nine
        "equal_cost": 3 + 4 + 1,
    },
    "cifar10": {**SMALL, "accuracy_and_lid": 25, "equal_cost": 3 + 4 + 1, "surface": 2 + 3 * 3 * 2},
    "cifar10_cpu": {"table1_simclr": 2, "summary_simclr": 2, "claims": 2, "protocols": 2},
    "imagenet": {
        **SMALL,
        "table2_encoders": 4,
        "table3_encoders": 6,
        "table2": 4,
        "table3": 6,
        "figure2b": 5,
        "table15": 7,  # MoCo has two betas
        "summary": 10 + 7,
        "accuracy_and_lid": 8 + 5 + 8 - 2 - 2 + 7 + 6 - 4,  # figure5, table12, figure2cd, table15, table16
        "equal_cost": 3 + 4 + 1,
    },
}
# What each exhibit adds to those before it, without seeds; the others add nothing. Figure 5 has Table 1's
# SimCLR; Table 12's L1 runs are Figure 5's; Table 14's usual batch is Table 1's; BYOL of Tables 3 and 16 with
# and without LDReg too.
ADDED = {
    "table1_simclr": 2,
    "figure5": 5,
    "table1": 8,
    "table2_encoders": 2,
    "figure2b": 3,
    "figure4": 2,
    "table12": 2,
    "table14": 4,
    "table15": 6,
    "table16": 4,
}
# With seeds. Figure 4 has two of Table 13's Min LIDs, with the first seed alone.
ADDED_BY_SCALE = {
    "demo": {"table13": 2, "surface": 12, "equal_cost": 2},
    "cifar10": {"table13": 4 * 3 - 2, "equal_cost": 2 * 3, "surface": 14},
    "cifar10_cpu": {},
    "imagenet": {"figure2b": 4, "table13": 2, "table15": 7, "equal_cost": 2},
}
# The core's SimCLR has two seeds more than what the demo's other exhibits have themselves.
WITH_TAKEN = {
    "demo": {
        **{"table1": 10 + 4, "figure2cd": 8 + 4, "table12": 5 + 4, "table13": 6 + 4, "table14": 6 + 4},
        **{"significance": 10 + 4, "summary": 10 + 6 + 4},
    }
}
SEEDS = {"demo": 3, "cifar10": 3, "cifar10_cpu": 1, "imagenet": 1}


@pytest.fixture(scope="module", params=RUNS)
def scale(request: pytest.FixtureRequest) -> Scale:
    return Scale.read(CONFIG / f"{request.param}.yaml")


def test_every_scale_file_is_tested() -> None:
    shared = {"methods", "augmentations", "exhibits"}
    assert {path.stem for path in CONFIG.glob("*.yaml")} - shared == set(RUNS)


def seeds(scale: Scale, exhibit: str) -> int:
    """Of the demo, what is on the core's runs has three and the rest one; Figure 4 draws one."""
    if exhibit == "figure4" or (scale.name, exhibit) == ("cifar10", "surface"):
        return 1
    on_core = (*CORE, "table4", "table5", "table9", "table10", "lid_in_batches", "measures", "protocols")
    return 1 if scale.name == "demo" and exhibit not in on_core else SEEDS[scale.name]


def test_number_of_runs(scale: Scale) -> None:
    expected = {name: count * seeds(scale, name) for name, count in RUNS[scale.name].items()}
    expected |= WITH_TAKEN.get(scale.name, {})
    own = [name for name in scale.exhibits if name != "claims_all"]
    assert {name: len(scale.runs_of(name)) for name in own} == expected
    before: set[str] = set()
    for name in own:
        added = set(scale.runs_of(name)) - before
        count = ADDED_BY_SCALE[scale.name].get(name, ADDED.get(name, 0) * seeds(scale, name))
        assert (name, len(added)) == (name, count)
        before |= added
    assert set(scale.runs) == before


@pytest.mark.parametrize(
    ("name", "runs"), [("demo", 21 + 31 + 14), ("cifar10", 3 * 38 + 6 + 14), ("imagenet", 44)]
)
def test_runs_in_all(name: str, runs: int) -> None:
    assert len(Scale.read(CONFIG / f"{name}.yaml").runs) == runs


def test_all_claims_are_tested_without_a_run_of_their_own(scale: Scale) -> None:
    """On every run of the paper's tables; the core's claims on those of Figure 5 and Table 1 alone."""
    core = scale.runs_of("figure5" if "figure5" in scale.exhibits else "table1_simclr")
    assert set(scale.runs_of("claims")) == set(core)
    if "claims_all" not in scale.exhibits:
        return
    assert "claims_all" not in scale.content.core and not scale.exhibits["claims_all"].runs
    others = {run for name in scale.exhibits if name != "claims_all" for run in scale.runs_of(name)}
    taken = scale.runs_of("claims_all")
    assert set(taken) <= others
    papers = ("table1", "table2", "table3", "figure2b", "figure5", *(f"table{n}" for n in range(12, 17)))
    assert all(set(scale.runs_of(name)) <= set(taken) for name in papers if name in scale.exhibits)
    first = next(iter(taken.values()))  # whose beta and k are the sweeps' base
    assert (first.method, first.backbone) == ("simclr", scale.content.run["backbone"])
    transfer = scale.exhibits["claims_all"].settings.get("transfer", [])
    assert list(scale.content.transfer.datasets if scale.content.transfer else []) == transfer
    assert scale.exhibits["claims_all"].settings.get("detection", False) == bool(scale.content.detection)


def test_shared_runs_appear_once(scale: Scale) -> None:
    specs = list(scale.runs.values())
    assert len({spec.hash for spec in specs}) == len(specs)
    plain = [spec for spec in specs if spec.regularizer == "none"]
    assert {(spec.beta, spec.k, spec.target, spec.acts_on) for spec in plain} == {
        (None, None, None, "representations")
    }
    # One baseline per seed of a method on a backbone, but for what an exhibit sweeps.
    where = [(s.method, s.backbone, s.jitter, s.batch_size, s.epochs, s.seed) for s in plain]
    assert len(set(where)) == len(where)


def test_the_core_is_simclr_alone(scale: Scale) -> None:
    assert {"table1_simclr", "claims"} <= set(scale.content.core) <= set(CORE)
    methods = {spec.method for name in scale.content.core for spec in scale.runs_of(name).values()}
    assert methods == {"simclr"}


def test_every_method_is_run_with_and_without_ldreg(scale: Scale) -> None:
    if scale.name == "cifar10_cpu":
        return
    arms = {(spec.method, spec.regularizer) for spec in scale.runs.values()}
    assert {(method, kind) for method in METHODS for kind in ("none", "ldreg_l1")} <= arms
    backbones = {
        (spec.method, spec.backbone) for spec in scale.runs.values() if spec.backbone in WITH_PATCHES
    }
    assert {method for method, _ in backbones} == {"simclr", "mae"}


def test_names_read_back(scale: Scale) -> None:
    for name, spec in scale.runs.items():
        assert scale.name_of(spec) == name
        assert scale.spec_of(name) == spec
