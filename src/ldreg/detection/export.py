"""Export of encoders to detectron2: weights, a configuration with the paper's recipe, and a script."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ldreg.errors import LdregError
from ldreg.files import replacing, write_text

AUTHOR = "ldreg"  # detectron2 converts weights only if their author is Caffe2
COUNTER = "num_batches_tracked"  # a counter of batch norms, unused because their momentum is fixed
HEAD = "Res5ROIHeadsExtraNorm"  # name of the head in the released code of LDReg and MoCo
LAYER = re.compile(r"layer([1-4])\.(\d+)\.(.+)")
# Parts of a residual block: torchvision's names and detectron2's names.
PARTS = {
    **{f"conv{n}": f"conv{n}" for n in (1, 2, 3)},
    **{f"bn{n}": f"conv{n}.norm" for n in (1, 2, 3)},
    "downsample.0": "shortcut",
    "downsample.1": "shortcut.norm",
}
STEM = {"conv1": "stem.conv1", "bn1": "stem.conv1.norm"}
# Weights whose shapes identify a ResNet-50: the stem, and the last convolution of the last block.
SHAPES = {"stem.conv1.weight": (64, 3, 7, 7), "res5.2.conv3.weight": (2048, 512, 1, 1)}
RECIPE = """\
# Table 3 of the LDReg paper with detectron2 itself: Mask R-CNN, ResNet-50-C4, the 2x schedule of MoCo v1.
# What is not set here has detectron2's default. {script} holds the head that is named below:
#   DETECTRON2_DATASETS=<folder with coco/> python {script} --config-file {name} --num-gpus 4
VERSION: 2
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  WEIGHTS: "{weights}"
  MASK_ON: true
  # Encoders see RGB in [0, 1]; detectron2 reads 0 to 255. (The authors' file has a STD of 1.0 and so 0 to
  # 255, which the first batch norm undoes in training, and its precise statistics in testing.)
  PIXEL_MEAN: [0.0, 0.0, 0.0]
  PIXEL_STD: [255.0, 255.0, 255.0]
  BACKBONE:
    FREEZE_AT: 0 # nothing is frozen
  RESNETS:
    DEPTH: 50
    STRIDE_IN_1X1: false # torchvision's ResNets have the stride in the 3x3 convolution
    NORM: naiveSyncBN # synchronised batch norm; the authors' choice, as MoCo's
  RPN:
    PRE_NMS_TOPK_TEST: 6000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: {head} # a norm after res5
INPUT:
  FORMAT: RGB
  MIN_SIZE_TRAIN: [640, 672, 704, 736, 768, 800]
  MIN_SIZE_TEST: 800
DATASETS:
  TRAIN: [coco_2017_train]
  TEST: [coco_2017_val]
SOLVER:
  IMS_PER_BATCH: 16 # the text's; the authors' SimCLR configuration has 8, at the same rate
  BASE_LR: 0.02
  STEPS: [120000, 160000]
  MAX_ITER: 180000
TEST:
  PRECISE_BN:
    ENABLED: true
"""
SCRIPT = '''\
"""Trains and tests detectron2's Mask R-CNN as {name} says; `--help` lists detectron2's options.

DETECTRON2_DATASETS=<folder with coco/> python {script} --config-file {name} --num-gpus 4
"""

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.evaluation import COCOEvaluator
from detectron2.layers import get_norm
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads


@ROI_HEADS_REGISTRY.register()
class {head}(Res5ROIHeads):
    """detectron2's head of a C4 detector, with a norm after res5, whose last block ends in none."""

    @classmethod
    def _build_res5_block(cls, cfg):
        res5, width = super()._build_res5_block(cfg)
        return res5.append(get_norm(cfg.MODEL.RESNETS.NORM, width)), width


class Trainer(DefaultTrainer):
    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return COCOEvaluator(dataset_name, output_dir=cfg.OUTPUT_DIR)


def main(args):
    cfg = get_cfg()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    default_setup(cfg, args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        DetectionCheckpointer(model).resume_or_load(cfg.MODEL.WEIGHTS)
        return Trainer.test(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    launch(main, args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args=(args,))
'''


def detectron2_name(name: str) -> str | None:
    """Convert the name of a ResNet weight from torchvision to detectron2; None if there is no such weight.

    >>> detectron2_name("layer1.0.downsample.1.running_mean")
    'res2.0.shortcut.norm.running_mean'
    """
    layer = LAYER.fullmatch(name)
    where, rest = (f"res{int(layer[1]) + 1}.{layer[2]}.", layer[3]) if layer else ("", name)
    part, _, kind = rest.rpartition(".")
    names = PARTS if layer else STEM
    return f"{where}{names[part]}.{kind}" if part in names else None


def to_detectron2(state: Mapping[str, Tensor], where: str) -> dict[str, np.ndarray]:
    """Convert the weights of a ResNet-50 to float32 arrays with detectron2's names.

    Args:
        state: weights of the encoder with torchvision's names, as in encoder.safetensors.
        where: name of the file, for errors.

    Raises:
        LdregError: if these are not the weights of a ResNet-50 with the ImageNet stem. detectron2's C4 head
            supports no smaller ResNet.
    """
    arrays = {}
    for name, value in state.items():
        if name.endswith(COUNTER):
            continue
        renamed = detectron2_name(name)
        if renamed is None:
            raise LdregError(
                f"{where}: {name} is no weight of a ResNet-50; detectron2's C4 detector needs one"
            )
        arrays[renamed] = value.float().cpu().numpy()
    for name, shape in SHAPES.items():
        found = arrays[name].shape if name in arrays else "missing"
        if found != shape:
            raise LdregError(f"{where}: {name} is {found}, in a ResNet-50 for images of 3 channels {shape}")
    return arrays


def export_detectron2(encoder: Path, output: Path) -> tuple[Path, Path, Path]:
    """Write an encoder for detectron2, and beside it a configuration with the paper's recipe and a script.

    Args:
        encoder: the encoder.safetensors of a run with ResNet-50.
        output: file for the weights, `*.pkl`. detectron2 matches their names to the detector by heuristics.

    Returns:
        The paths of the weights, of the configuration, `*.yaml`, and of the training script, `*.py`.

    Raises:
        LdregError: if the suffix is not `.pkl`, or the file does not hold such an encoder.
    """
    if output.suffix != ".pkl":
        raise LdregError(f"{output}: {output.suffix!r} is not allowed; detectron2 knows its format by .pkl")
    try:
        arrays = to_detectron2(load_file(encoder), str(encoder))
    except FileNotFoundError as error:
        raise LdregError(f"{encoder}: no such file") from error
    except (OSError, SafetensorError) as error:
        raise LdregError(f"{encoder}: is no file of safetensors: {error}") from error
    with replacing(output) as temporary, temporary.open("wb") as file:
        pickle.dump({"model": arrays, "__author__": AUTHOR, "matching_heuristics": True}, file)
    recipe, script = output.with_suffix(".yaml"), output.with_suffix(".py")
    names = {"name": recipe.name, "script": script.name, "head": HEAD}
    write_text(recipe, RECIPE.format(weights=output.resolve(), **names))
    write_text(script, SCRIPT.format(**names))
    return output, recipe, script
