"""A data set that stays files, on a small tree of real JPEGs: 3 classes, sizes and modes of all kinds."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.functional import pil_to_tensor, resized_crop

from ldreg import cli, pretrain
from ldreg.config import Evaluation, Execution
from ldreg.data import folder, loader
from ldreg.data.augment import draw, finish_view, make_view, view_seed
from ldreg.data.datasets import balanced_rows, load, prepare
from ldreg.data.loader import Share, load_eval_views, load_views, random_crops
from ldreg.errors import LdregError
from ldreg.evaluate.features import extract
from ldreg.measure import measure
from ldreg.networks import build_backbone
from ldreg.spec import RunSpec, ViewSettings

CPU = torch.device("cpu")
CLASSES = ("ant", "bee", "cat")
COUNTS = {"train": 10, "val": 6}
CROP = ViewSettings(crop_scale=(0.08, 1), crop_ratio=(3 / 4, 4 / 3), interpolation="bicubic", flip=0.5)
COLOR = {
    "jitter": 0.8,
    "brightness": 0.8,
    "contrast": 0.8,
    "saturation": 0.8,
    "hue": 0.2,
    "grayscale": 0.2,
    "blur": 0.5,
    "solarize": 0.2,
}
EVERYTHING = CROP.model_copy(update=COLOR)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root whose `imagenet` holds `CLASSES`, `COUNTS` images each, prepared."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for label in CLASSES:
            place = root / "imagenet" / split / label
            place.mkdir(parents=True)
            for i in range(count):
                write_image(place / f"{label}_{i}.JPEG", generator)
    train = root / "imagenet" / "train"
    with Image.open(train / "ant" / "ant_3.JPEG") as image:
        image.convert("L").save(train / "ant" / "ant_3.JPEG")
        image.convert("CMYK").save(train / "bee" / "bee_0.JPEG")
        image.convert("RGBA").save(train / "cat" / "more.png")
    (train / "cat" / "notes.txt").write_text("no image")
    prepare("imagenet", root)
    return root


def write_image(path: Path, generator: np.random.Generator) -> None:
    """A smooth picture, between 40 and 90 pixels wide and high."""
    coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    width, height = generator.integers(40, 91, 2).tolist()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(prepared, tmp_path / "data")


@pytest.fixture
def spec(tiny_spec: Callable[..., RunSpec]) -> RunSpec:
    """One epoch of 3 steps of 8 images."""
    return tiny_spec(
        dataset="imagenet",
        train_images=None,
        image_size=32,
        views=(EVERYTHING, CROP),
        batch_size=8,
        epochs=1,
    )


# Listing


def test_files_and_labels_are_image_folders(prepared: Path) -> None:
    data = load("imagenet", prepared)
    assert data.name == "imagenet" and data.classes == 3
    assert data.train.channels == 3
    for split, name in ((data.train, "train"), (data.test, "val")):
        theirs = ImageFolder(str(prepared / "imagenet" / name))
        assert [*zip(split.images.paths, split.labels.tolist(), strict=True)] == theirs.samples
        assert split.labels.dtype == torch.int64 and len(split.images) == len(theirs)
    assert folder.EXTENSIONS == IMG_EXTENSIONS


def test_manifest_says_what_there_is(prepared: Path) -> None:
    manifest = json.loads((prepared / "imagenet" / "dataset.json").read_text())
    assert manifest["name"] == "imagenet" and manifest["classes"] == 3
    assert (manifest["train_images"], manifest["test_images"]) == (31, 18)
    assert load("imagenet", prepared).digest == manifest["digest"]
    names = sorted(path.name for path in (prepared / "imagenet").iterdir())
    assert names == ["dataset.json", "files.json", "train", "val"]


def test_command_prepares(root: Path) -> None:
    for name in ("dataset.json", "files.json"):
        (root / "imagenet" / name).unlink()
    assert cli.main(["data", "imagenet", "--output", str(root / "imagenet" / "dataset.json")]) == 0
    assert len(load("imagenet", root).train.images) == 31


def test_loading_looks_at_no_image(root: Path) -> None:
    shutil.rmtree(root / "imagenet" / "train")
    assert len(load("imagenet", root).train.images) == 31


def test_subset_is_that_of_balanced_rows(prepared: Path) -> None:
    whole, part = load("imagenet", prepared), load("imagenet", prepared, train_images=7)
    rows = balanced_rows(whole.train.labels, 7)
    assert part.train.images.names == [whole.train.images.names[row] for row in rows]
    assert torch.bincount(part.train.labels).tolist() == [3, 2, 2]
    assert len(part.test.images) == 18 and part.digest == whole.digest


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("change", [grow, lambda path: path.rename(path.with_name("b.JPEG")), Path.unlink])
def test_digest_sees_names_and_sizes(root: Path, change: Callable[[Path], object]) -> None:
    before = load("imagenet", root).digest
    prepare("imagenet", root)
    assert load("imagenet", root).digest == before
    change(root / "imagenet" / "val" / "bee" / "bee_1.JPEG")
    prepare("imagenet", root)
    assert load("imagenet", root).digest != before


# Errors of the folder


def refused(root: Path) -> str:
    with pytest.raises(LdregError) as caught:
        prepare("imagenet", root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("split", ["train", "val"])
def test_missing_tree_is_told_with_key_and_layout(root: Path, split: str) -> None:
    shutil.rmtree(root / "imagenet" / split)
    message = refused(root)
    assert message.startswith(f"{root / 'imagenet' / split}: no such folder")
    assert "execution.data" in message and f"{split}/CLASS/*.JPEG" in message


def test_missing_root_is_told_and_not_made(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("gone", "other"), [("train", "val"), ("val", "train")])
def test_class_of_one_split_alone_is_named(root: Path, gone: str, other: str) -> None:
    for label in ("bee", "cat"):
        shutil.rmtree(root / "imagenet" / gone / label)
    assert refused(root) == f"{root / 'imagenet' / gone}: class 'bee' is missing, which {other} has"


def test_flat_split_and_empty_class_are_told(root: Path) -> None:
    for path in (root / "imagenet" / "train" / "cat").iterdir():
        path.rename(path.with_suffix(".txt"))
    assert refused(root).startswith(f"{root / 'imagenet' / 'train' / 'cat'}: holds no image")
    for label in CLASSES:
        shutil.rmtree(root / "imagenet" / "train" / label)
    assert refused(root).startswith(f"{root / 'imagenet' / 'train'}: holds no folder")


def test_link_to_nothing_is_named(root: Path) -> None:
    link = root / "imagenet" / "val" / "cat" / "gone.JPEG"
    link.symlink_to("nowhere")
    assert refused(root) == f"{link}: cannot be read (No such file or directory)"


def test_read_only_folder_says_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (root / "imagenet" / "dataset.json").read_bytes()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a superuser may write everywhere
    message = refused(root)
    assert (
        message.startswith(f"{root / 'imagenet'}: cannot be written") and "links to train and val" in message
    )
    assert (root / "imagenet" / "dataset.json").read_bytes() == before


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    "damage", [cut_in_half, Path.unlink, lambda path: path.write_text(path.read_text().replace("bee_1", "b"))]
)
def test_damaged_list_is_named(root: Path, damage: Callable[[Path], object]) -> None:
    damage(root / "imagenet" / "files.json")
    with pytest.raises(LdregError, match=r"files\.json: .*ldreg data imagenet$"):
        load("imagenet", root)


# Views


def theirs(paths: list[str], settings: ViewSettings, seed: int, first: int, size: int) -> Tensor:
    """Crops and flips as torchvision makes them of PIL images, at the drawn places in whole pixels."""
    views = []
    for place, path in enumerate(paths, start=first):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        drawn = draw(settings, 1, seed, place, aspect=image.width / image.height)
        left, top, width, height = (drawn.crop[0] * torch.tensor([image.width, image.height] * 2)).tolist()
        width, height = max(1, round(width)), max(1, round(height))
        # Rounding both size and place may leave a crop one pixel outside.
        left, top = min(round(left), image.width - width), min(round(top), image.height - height)
        mode = InterpolationMode(settings.interpolation)
        view = pil_to_tensor(resized_crop(image, top, left, height, width, [size, size], mode))
        views.append(view.flip(-1) if drawn.flip[0] else view)
    return torch.stack(views)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_are_torchvisions_to_the_pixel(prepared: Path, interpolation: str) -> None:
    images = load("imagenet", prepared).train.images
    settings = CROP.model_copy(update={"interpolation": interpolation})
    made = random_crops(Share(images, seeds=(5, 6), first=3), size=24, views=(settings, settings))
    assert made.dtype == torch.uint8 and made.shape == (31, 2, 24, 24, 3)
    for view, seed in enumerate((5, 6)):
        assert torch.equal(made[:, view].permute(0, 3, 1, 2), theirs(images.paths, settings, seed, 3, 24))


def test_the_rest_happens_as_for_images_in_memory(prepared: Path) -> None:
    images = load("imagenet", prepared).train.images
    (view,) = next(load_views([Share(images, (5,))], 24, (EVERYTHING,), 0, CPU))
    crops = theirs(images.paths, EVERYTHING, 5, 0, 24)
    torch.testing.assert_close(view, make_view(crops, 24, ViewSettings(**COLOR), seed=5), atol=1e-6, rtol=0)
    torch.testing.assert_close(view, finish_view(crops, EVERYTHING, seed=5), atol=1e-6, rtol=0)
    assert (view - crops / 255).abs().amax(dim=(1, 2, 3)).gt(0.01).sum() > 15


def test_batches_do_not_depend_on_workers_or_chunks(
    prepared: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load("imagenet", prepared).train.images
    expected = list(pretrain.batches(images, spec, epoch=1, steps=3))
    assert [len(views) for views in expected] == [2, 2, 2]
    for first, second in expected:
        assert first.shape == second.shape == (8, 3, 32, 32) and first.dtype == torch.float32
        assert first.is_contiguous(memory_format=torch.channels_last)
    for workers, chunk in ((0, 3), (1, 64), (2, 3)):
        monkeypatch.setattr(loader, "CHUNK", chunk)
        made = list(pretrain.batches(images, spec, 1, 3, workers, CPU))
        for views, others in zip(made, expected, strict=True):
            assert all(map(torch.equal, views, others)), workers


def test_ranks_share_the_batch_of_one_process(
    prepared: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load("imagenet", prepared).train.images
    expected = list(pretrain.batches(images, spec, epoch=0, steps=3))
    monkeypatch.setattr(pretrain, "world_size", lambda: 2)
    ranks = []
    for number in (0, 1):
        monkeypatch.setattr(pretrain, "rank", lambda number=number: number)
        ranks.append(list(pretrain.batches(images, spec, 0, 3)))
    for step, views in enumerate(expected):
        for index, view in enumerate(views):
            union = torch.cat([made[step][index] for made in ranks])
            torch.testing.assert_close(union, view, atol=1e-6, rtol=0)


def test_epochs_steps_and_views_differ(prepared: Path, spec: RunSpec) -> None:
    images = load("imagenet", prepared).train.images
    spec = spec.model_copy(update={"views": (CROP, CROP)})
    views = [view for epoch in (0, 1) for pair in pretrain.batches(images, spec, epoch, 3) for view in pair]
    assert torch.pdist(torch.cat(views).flatten(1)).min() > 0.1


@pytest.mark.parametrize("size", [32, 224])
def test_evaluation_is_torchvisions_resize_and_central_crop(prepared: Path, size: int) -> None:
    images = load("imagenet", prepared).test.images
    made = torch.cat(list(load_eval_views(images, size, batch_size=7, workers=0, device=CPU)))
    shorter = {32: 37, 224: 256}[size]
    for path, view in zip(images.paths, made, strict=True):
        with Image.open(path) as image:
            expected = pil_to_tensor(CenterCrop(size)(Resize(shorter)(image.convert("RGB"))))
        assert torch.equal(view, expected / 255)


def test_features_are_in_order_and_leave_the_random_state(prepared: Path) -> None:
    images = load("imagenet", prepared).test.images
    torch.manual_seed(0)
    encoder, _ = build_backbone("small_cnn", 3)
    state = torch.get_rng_state()
    features = extract(encoder, images, 32, CPU, batch_size=5, workers=1)
    assert torch.equal(torch.get_rng_state(), state)
    encoder.eval()
    with torch.no_grad():
        expected = encoder(next(load_eval_views(images, 32, 18, 0, CPU)))
    torch.testing.assert_close(features, expected)


# Errors of images


def write_text(path: Path) -> None:
    path.write_text("no image")


@pytest.mark.parametrize("damage", [cut_in_half, write_text, Path.unlink])
@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_image_is_named(root: Path, workers: int, damage: Callable[[Path], object]) -> None:
    path = root / "imagenet" / "train" / "bee" / "bee_5.JPEG"
    damage(path)
    images = load("imagenet", root).train.images
    for load_all in (
        lambda: list(load_views([Share(images, (0,))], 16, (CROP,), workers, CPU)),
        lambda: list(load_eval_views(images, 16, 10, workers, CPU)),
    ):
        with pytest.raises(LdregError, match=rf"^{path}: the image cannot be read \(.+\)") as caught:
            load_all()
        assert "\n" not in str(caught.value)


def test_rotation_is_refused(prepared: Path, spec: RunSpec) -> None:
    views = (CROP.model_copy(update={"rotation": 5.0}), CROP)
    with pytest.raises(LdregError, match=r"^rotation: "):
        train(spec.model_copy(update={"views": views}), prepared)


# The whole way


def train(spec: RunSpec, root: Path, workers: int = 0):
    data = load("imagenet", root, spec.train_images)
    execution = Execution(workers=workers)
    return pretrain.pretrain(spec, data, execution, CPU, on_epoch=lambda row: None)


def test_pretraining_and_measuring_do_not_depend_on_workers(prepared: Path, spec: RunSpec) -> None:
    encoder, history = train(spec, prepared)
    other, _ = train(spec, prepared, workers=2)
    assert all(map(torch.equal, encoder.state_dict().values(), other.state_dict().values()))
    assert len(history) == 1 and 0 <= history[0]["knn_top1"] <= 100

    data = load("imagenet", prepared)
    settings = Evaluation(linear_epochs=2, linear_batch_size=8, knn_k=3, lid_ks=(4,), lid_batch_rows=8)
    measured = measure(encoder, data, 32, settings, CPU)
    assert measured["dimensionality"]["rows"] == 18 and measured["dimensionality"]["dim"] == 128
    assert measured == measure(encoder, data, 32, settings, CPU, workers=1)


def test_knn_monitor_takes_a_balanced_part_of_a_large_split(
    prepared: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(encoder, images, *args, **options):
        seen.append((images.names, options["workers"]))
        return extract(encoder, images, *args, **options)

    monkeypatch.setattr(pretrain, "extract", spy)
    monkeypatch.setattr(pretrain, "KNN_IMAGES", 28)
    train(spec, prepared, workers=1)
    assert seen == [(load("imagenet", prepared, train_images=28).train.images.names, 1)]


def test_seeds_of_views_are_those_of_images_in_memory(prepared: Path, spec: RunSpec) -> None:
    """Data sets of both kinds draw alike: the first crop of epoch 2, step 1, view 1."""
    images = load("imagenet", prepared).train.images
    spec = spec.model_copy(update={"views": (EVERYTHING, CROP)})
    order = torch.randperm(31, generator=torch.Generator().manual_seed(view_seed(0, 2, 0, 2) % 2**32))
    made = list(pretrain.batches(images, spec, epoch=2, steps=3))[1][1]
    expected = theirs(images[order[8:16]].paths, CROP, view_seed(0, 2, 1, 1), 0, 32)
    assert torch.equal(made, expected / 255)
