import ast
import pickle
import sys
import types

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from ldreg.detection.export import detectron2_name, export_detectron2
from ldreg.errors import LdregError
from ldreg.models.networks import build_backbone

BLOCKS = {"res2": 3, "res3": 4, "res4": 6, "res5": 3}
NORM = ("weight", "bias", "running_mean", "running_var")


def expected_shapes():
    """All of ResNet-50's entries in detectron2, and their shapes; written from its BottleneckBlock."""
    shapes = {"stem.conv1.weight": (64, 3, 7, 7)} | {f"stem.conv1.norm.{kind}": (64,) for kind in NORM}
    before = 64
    for number, (stage, blocks) in enumerate(BLOCKS.items()):
        inner, outer = 64 * 2**number, 256 * 2**number
        for block in range(blocks):
            convolutions = {
                "conv1": (inner, before, 1, 1),
                "conv2": (inner, inner, 3, 3),
                "conv3": (outer, inner, 1, 1),
            }
            if block == 0:
                convolutions["shortcut"] = (outer, before, 1, 1)
            for name, shape in convolutions.items():
                shapes[f"{stage}.{block}.{name}.weight"] = shape
                shapes |= {f"{stage}.{block}.{name}.norm.{kind}": shape[:1] for kind in NORM}
            before = outer
    return shapes


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A ResNet-50's state dict, and the three files made from it."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    encoder, _ = build_backbone("resnet50", channels=3)
    state = encoder.state_dict()
    for name, value in state.items():
        if name.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)  # else all of them would be alike
    save_file(state, folder / "encoder.safetensors")
    return state, *export_detectron2(folder / "encoder.safetensors", folder / "encoder.pkl")


def test_the_file_holds_all_weights_of_detectron2s_resnet50(exported):
    _, weights, *_ = exported
    content = pickle.loads(weights.read_bytes())
    assert content["matching_heuristics"] is True and content["__author__"] == "ldreg"
    assert {name: array.shape for name, array in content["model"].items()} == expected_shapes()
    assert {array.dtype for array in content["model"].values()} == {np.dtype("float32")}


def test_the_weights_loaded_back_are_the_encoders(exported):
    state, weights, *_ = exported
    model = pickle.loads(weights.read_bytes())["model"]

    def original(name):
        """torchvision's name of one of detectron2's, by rules of its own."""
        name = name.removeprefix("stem.")
        for number in (2, 3, 4, 5):
            name = name.replace(f"res{number}.", f"layer{number - 1}.")
        for number in (1, 2, 3):
            name = name.replace(f"conv{number}.norm.", f"bn{number}.")
        return name.replace("shortcut.norm", "downsample.1").replace("shortcut", "downsample.0")

    back = {original(name): torch.from_numpy(array) for name, array in model.items()}
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert back.keys() == kept.keys()
    assert all(torch.equal(back[name], kept[name]) for name in kept)
    encoder, _ = build_backbone("resnet50", channels=3)
    missing, unknown = encoder.load_state_dict(back, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing) and not unknown


def test_the_recipe_is_the_papers(exported):
    _, weights, recipe, _ = exported
    content = yaml.safe_load(recipe.read_text())
    assert content["MODEL"]["WEIGHTS"] == str(weights.resolve())
    solver = {"IMS_PER_BATCH": 16, "BASE_LR": 0.02, "STEPS": [120_000, 160_000], "MAX_ITER": 180_000}
    assert content["SOLVER"] == solver
    resnet = {"DEPTH": 50, "STRIDE_IN_1X1": False, "NORM": "naiveSyncBN"}
    assert content["MODEL"]["RESNETS"] == resnet
    assert content["MODEL"]["ROI_HEADS"]["NAME"] == "Res5ROIHeadsExtraNorm"
    assert content["MODEL"]["BACKBONE"]["FREEZE_AT"] == 0 and content["INPUT"]["FORMAT"] == "RGB"


def test_the_script_defines_the_head_that_the_recipe_names_and_stands_alone(exported):
    *_, recipe, script = exported
    text = recipe.read_text()
    assert script.name in text and recipe.name in script.read_text()
    tree = ast.parse(script.read_text())
    head = yaml.safe_load(text)["MODEL"]["ROI_HEADS"]["NAME"]
    (defined,) = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == head]
    assert [ast.unparse(each) for each in defined.decorator_list] == ["ROI_HEADS_REGISTRY.register()"]
    imported = [each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
    assert not [each for each in ast.walk(tree) if isinstance(each, ast.Import)]
    assert {module.partition(".")[0] for module in imported} == {"detectron2"}


def test_the_head_puts_a_norm_after_res5(exported, monkeypatch):
    """Run against stand-ins of what it takes from detectron2."""
    *_, script = exported

    class Registry:
        def register(self):
            return lambda kind: setattr(self, "kind", kind) or kind

    class Res5ROIHeads:
        @classmethod
        def _build_res5_block(cls, cfg):
            return nn.Sequential(nn.Conv2d(3, 8, 1)), 8

    registry = Registry()
    known = {
        "ROI_HEADS_REGISTRY": registry,
        "Res5ROIHeads": Res5ROIHeads,
        "get_norm": lambda norm, width: {"BN": nn.BatchNorm2d}[norm](width),
        "DefaultTrainer": object,
    }
    for each in ast.walk(ast.parse(script.read_text())):
        if isinstance(each, ast.ImportFrom):
            module = types.ModuleType(each.module)
            for alias in each.names:
                setattr(module, alias.name, known.get(alias.name))
            monkeypatch.setitem(sys.modules, each.module, module)
    monkeypatch.setitem(sys.modules, "detectron2", types.ModuleType("detectron2"))
    exec(compile(script.read_text(), str(script), "exec"), {"__name__": "script"})
    resnets = types.SimpleNamespace(NORM="BN")
    cfg = types.SimpleNamespace(MODEL=types.SimpleNamespace(RESNETS=resnets))
    res5, width = registry.kind._build_res5_block(cfg)
    assert width == 8 and isinstance(res5[-1], nn.BatchNorm2d) and next(iter(res5.state_dict())) == "0.weight"


def test_names_that_are_no_resnets_have_none():
    assert detectron2_name("layer3.5.bn2.running_var") == "res4.5.conv2.norm.running_var"
    assert detectron2_name("bn1.bias") == "stem.conv1.norm.bias"
    for name in ("fc.weight", "0.weight", "layer5.0.conv1.weight", "layer1.0.conv4.weight"):
        assert detectron2_name(name) is None


@pytest.mark.parametrize(
    ("backbone", "channels", "message"),
    [
        ("small_cnn", 1, "0.weight is no weight of a ResNet-50"),
        ("resnet18", 3, "res5.2.conv3.weight is missing"),
        ("resnet50", 1, r"stem.conv1.weight is \(64, 1, 7, 7\)"),
    ],
)
def test_other_encoders_are_refused(tmp_path, backbone, channels, message):
    encoder, _ = build_backbone(backbone, channels)
    save_file(encoder.state_dict(), tmp_path / "encoder.safetensors")
    with pytest.raises(LdregError, match=f"encoder.safetensors: {message}"):
        export_detectron2(tmp_path / "encoder.safetensors", tmp_path / "out.pkl")
    assert not list(tmp_path.glob("out.*"))


def test_files_that_will_not_do_are_told(tmp_path):
    with pytest.raises(LdregError, match="encoder: no such file"):
        export_detectron2(tmp_path / "encoder", tmp_path / "out.pkl")
    (tmp_path / "encoder").write_text("text")
    with pytest.raises(LdregError, match="encoder: is no file of safetensors"):
        export_detectron2(tmp_path / "encoder", tmp_path / "out.pkl")
    with pytest.raises(LdregError, match=r"'\.pth' is not allowed"):
        export_detectron2(tmp_path / "encoder", tmp_path / "out.pth")
