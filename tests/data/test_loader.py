"""From image files to views, to the pixel, and the whole way through pretraining and measuring."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, InterpolationMode, Resize, functional
from torchvision.transforms.functional import pil_to_tensor, resized_crop

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec, ViewSettings
from ldreg.config.scale_file import Evaluation
from ldreg.data import batches, loader
from ldreg.data.datasets import Split, load
from ldreg.data.loader import TEST_VIEWS, Share, load_eval_views, load_views, random_crops
from ldreg.data.views import draw, finish_view, make_view, view_seed
from ldreg.errors import LdregError
from ldreg.evaluation import features
from ldreg.evaluation.features import extract
from ldreg.evaluation.measure import measure
from ldreg.models.networks import build_backbone
from ldreg.training import pretrain

CPU = torch.device("cpu")
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


def all_views(split: Split, spec: RunSpec, epoch: int, workers: int = 0) -> list[tuple[Tensor, ...]]:
    """The views of each of an epoch's 3 batches, as far as they are this rank's."""
    return [batch.inputs for batch in batches.batches(split, spec, epoch, 3, workers, CPU)]


# Draws for images of any size


@pytest.mark.parametrize(("aspect", "expected"), [(4.0, (0.25, 0, 0.5, 1)), (0.25, (0, 0.4375, 1, 0.125))])
def test_image_too_oblong_for_a_crop_shows_its_middle(aspect: float, expected: tuple[float, ...]) -> None:
    crop = draw(ViewSettings(crop_ratio=(2, 2)), 5, seed=0, aspect=aspect).crop
    torch.testing.assert_close(crop, torch.tensor(expected).double().expand(5, 4))


def test_aspect_changes_an_images_own_crop_and_nothing_else() -> None:
    square, mixed = draw(EVERYTHING, 8, 5), draw(EVERYTHING, 8, 5, aspect=torch.tensor([1.0, 2.0] * 4))
    assert torch.equal(square.crop[::2], mixed.crop[::2])
    assert (square.crop[1::2] != mixed.crop[1::2]).any(1).all()
    for name in vars(square).keys() - {"crop"}:
        assert torch.equal(getattr(square, name), getattr(mixed, name)), name


@pytest.mark.parametrize("channels", [1, 3])
def test_finishing_cut_images_draws_what_a_whole_view_draws(channels: int) -> None:
    images = torch.randint(0, 256, (32, channels, 8, 8), dtype=torch.uint8)
    whole = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "rotation": 0.0, "flip": 0.0}
    expected = make_view(images, 8, EVERYTHING.model_copy(update=whole), seed=5, first=7)
    assert torch.equal(finish_view(images, EVERYTHING, seed=5, first=7), expected)


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
def test_crops_are_torchvisions_to_the_pixel(tree: Path, interpolation: str) -> None:
    images = load("imagenet", tree).train.images
    settings = CROP.model_copy(update={"interpolation": interpolation})
    made, corrupt = random_crops(Share(images, seeds=(5, 6), first=3), size=24, views=(settings, settings))
    assert corrupt == {}
    assert made.dtype == torch.uint8 and made.shape == (31, 2, 24, 24, 3)
    for view, seed in enumerate((5, 6)):
        assert torch.equal(made[:, view].permute(0, 3, 1, 2), theirs(images.paths, settings, seed, 3, 24))


def test_the_rest_happens_as_for_images_in_memory(tree: Path) -> None:
    images = load("imagenet", tree).train.images
    (view,) = next(load_views([Share(images, (5,))], 24, (EVERYTHING,), 0, CPU))
    crops = theirs(images.paths, EVERYTHING, 5, 0, 24)
    torch.testing.assert_close(view, make_view(crops, 24, ViewSettings(**COLOR), seed=5), atol=1e-6, rtol=0)
    torch.testing.assert_close(view, finish_view(crops, EVERYTHING, seed=5), atol=1e-6, rtol=0)
    assert (view - crops / 255).abs().amax(dim=(1, 2, 3)).gt(0.01).sum() > 15


def test_batches_do_not_depend_on_workers_or_chunks(
    tree: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = load("imagenet", tree).train
    expected = all_views(split, spec, epoch=1)
    assert [len(views) for views in expected] == [2, 2, 2]
    for first, second in expected:
        assert first.shape == second.shape == (8, 3, 32, 32) and first.dtype == torch.float32
        assert first.is_contiguous(memory_format=torch.channels_last)
    for workers, chunk in ((0, 3), (1, 64), (2, 3)):
        monkeypatch.setattr(loader, "CHUNK", chunk)
        made = all_views(split, spec, 1, workers)
        for views, others in zip(made, expected, strict=True):
            assert all(map(torch.equal, views, others)), workers


def test_ranks_share_the_batch_of_one_process(
    tree: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = load("imagenet", tree).train
    expected = all_views(split, spec, epoch=0)
    monkeypatch.setattr(batches, "world_size", lambda: 2)
    ranks = []
    for number in (0, 1):
        monkeypatch.setattr(batches, "rank", lambda number=number: number)
        ranks.append(all_views(split, spec, 0))
    for step, views in enumerate(expected):
        for index, view in enumerate(views):
            union = torch.cat([made[step][index] for made in ranks])
            torch.testing.assert_close(union, view, atol=1e-6, rtol=0)


def test_epochs_steps_and_views_differ(tree: Path, spec: RunSpec) -> None:
    split = load("imagenet", tree).train
    spec = spec.model_copy(update={"views": (CROP, CROP)})
    views = [view for epoch in (0, 1) for pair in all_views(split, spec, epoch) for view in pair]
    assert torch.pdist(torch.cat(views).flatten(1)).min() > 0.1


@pytest.mark.parametrize("size", [32, 224])
def test_evaluation_is_torchvisions_resize_and_central_crop(tree: Path, size: int) -> None:
    images = load("imagenet", tree).test.images
    made = torch.cat(list(load_eval_views(images, size, batch_size=7, workers=0, device=CPU)))
    shorter = {32: 37, 224: 256}[size]
    for path, view in zip(images.paths, made, strict=True):
        with Image.open(path) as image:
            expected = pil_to_tensor(CenterCrop(size)(Resize(shorter)(image.convert("RGB"))))
        assert torch.equal(view, expected / 255)


def authors_view(image: Image.Image, size: int) -> Image.Image:
    """By torchvision's functions, as LDReg's code composes them: a central crop of both sides, squashed."""
    height, width = int(image.height * 0.875), int(image.width * 0.875)
    cropped = functional.center_crop(image, [height, width])
    return functional.resize(cropped, [size, size], InterpolationMode.BICUBIC)


@pytest.mark.parametrize("size", [32, 224])
def test_the_authors_view_is_their_crop_and_resize(tree: Path, size: int) -> None:
    images = load("imagenet", tree).test.images
    made = torch.cat(list(load_eval_views(images, size, 7, 0, CPU, test_view="authors")))
    for path, view in zip(images.paths, made, strict=True):
        with Image.open(path) as image:
            expected = pil_to_tensor(authors_view(image.convert("RGB"), size))
        assert torch.equal(view, expected / 255)


def test_both_views_by_hand() -> None:
    """A picture of 16 x 8 pixels, each column of one grey: its central 14 x 7, squashed, or 7 x 7."""
    columns = np.arange(0, 160, 10, dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(columns[None, :, None], (8, 16, 3)).copy())
    # Shorter side 8 stays 8 for a view of 7: columns 4 to 10, half a pixel rounded to even.
    proportional = np.asarray(TEST_VIEWS["torchvision"](image, 7))
    assert proportional[0, :, 0].tolist() == columns[4:11].tolist()
    # 14 columns, 1 to 14, on 7: the middle of each pair lies between two columns.
    squashed = np.asarray(TEST_VIEWS["authors"](image, 7))
    assert squashed[3, 1:-1, 0].tolist() == pytest.approx([35, 55, 75, 95, 115], abs=1)


def test_features_are_in_order_and_leave_the_random_state(tree: Path) -> None:
    images = load("imagenet", tree).test.images
    torch.manual_seed(0)
    encoder, _ = build_backbone("small_cnn", 3)
    state = torch.get_rng_state()
    features = extract(encoder, images, 32, CPU, batch_size=5, workers=1)
    assert torch.equal(torch.get_rng_state(), state)
    encoder.eval()
    with torch.no_grad():
        expected = encoder(next(load_eval_views(images, 32, 18, 0, CPU)))
    torch.testing.assert_close(features, expected)


def test_rotation_is_refused(tree: Path, spec: RunSpec) -> None:
    views = (CROP.model_copy(update={"rotation": 5.0}), CROP)
    with pytest.raises(LdregError, match=r"^augmentations\.yaml: rotation: 5\.0 is not allowed"):
        train(spec.model_copy(update={"views": views}), tree)


# The whole way


def train(spec: RunSpec, root: Path, workers: int = 0):
    data = load("imagenet", root, spec.train_images)
    execution = Execution(workers=workers)
    return pretrain.pretrain(spec, data, execution, CPU, on_epoch=lambda row: None)


def test_pretraining_and_measuring_do_not_depend_on_workers(tree: Path, spec: RunSpec) -> None:
    encoder, history = train(spec, tree)
    other, _ = train(spec, tree, workers=2)
    assert all(map(torch.equal, encoder.state_dict().values(), other.state_dict().values()))
    assert len(history) == 1 and 0 <= history[0]["knn_top1"] <= 100

    data = load("imagenet", tree)
    settings = Evaluation(linear_epochs=2, linear_batch_size=8, knn_k=3, lid_ks=(4,), lid_batch_rows=8)
    measured = measure(encoder, data, 32, settings, CPU)
    assert measured["dimensionality"]["rows"] == 18 and measured["dimensionality"]["dim"] == 128
    assert measured == measure(encoder, data, 32, settings, CPU, workers=1)


def test_knn_monitor_takes_a_balanced_part_of_a_large_split(
    tree: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(encoder, images, *args, **options):
        seen.append((images.names, options["workers"]))
        return extract(encoder, images, *args, **options)

    monkeypatch.setattr(features, "extract", spy)
    monkeypatch.setattr(pretrain, "KNN_IMAGES", 28)
    train(spec, tree, workers=1)
    assert seen == [(load("imagenet", tree, train_images=28).train.images.names, 1)]


def test_seeds_of_views_are_those_of_images_in_memory(tree: Path, spec: RunSpec) -> None:
    """Data sets of both kinds draw alike: the first crop of epoch 2, step 1, view 1."""
    split = load("imagenet", tree).train
    spec = spec.model_copy(update={"views": (EVERYTHING, CROP)})
    order = torch.randperm(31, generator=torch.Generator().manual_seed(view_seed(0, 2, 0, 2) % 2**32))
    made = all_views(split, spec, epoch=2)[1][1]
    expected = theirs(split.images[order[8:16]].paths, CROP, view_seed(0, 2, 1, 1), 0, 32)
    assert torch.equal(made, expected / 255)
