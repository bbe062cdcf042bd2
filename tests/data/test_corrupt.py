"""Images whose bytes are broken: a job stops at them, or skips and counts them."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec, ViewSettings
from ldreg.config.scale_file import Evaluation
from ldreg.data import decode, loader
from ldreg.data.datasets import Split, load
from ldreg.data.decode import CorruptImageError, CorruptImages, read_image
from ldreg.data.loader import Share, load_eval_views, load_views
from ldreg.errors import LdregError
from ldreg.evaluation.measure import measure
from ldreg.training.pretrain import pretrain

CPU = torch.device("cpu")
CROP = ViewSettings(crop_scale=(0.08, 1), crop_ratio=(3 / 4, 4 / 3), interpolation="bicubic", flip=0.5)
VIEW = CROP.model_copy(update={"jitter": 0.8, "brightness": 0.8, "hue": 0.2, "blur": 0.5})
ROWS = torch.tensor([17, 0, 30, 9, 15, 2, 16, 28])  # of the training split, in two batches


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("no image")


DAMAGES = {cut_in_half: r"image file is truncated.*", empty: "an empty file", write_text: "no image"}


def train_split(root: Path) -> Split:
    return load("imagenet", root).train


def views(
    root: Path, workers: int = 0, corrupt: CorruptImages | None = None, rows: Tensor = ROWS
) -> list[list[Tensor]]:
    """Two views of two batches of `rows`, the second at place 4 of its global batch."""
    images = train_split(root).images
    shares = [Share(images[rows[:4]], (1, 2)), Share(images[rows[4:]], (3, 4), first=4)]
    return list(load_views(shares, 24, (VIEW, CROP), workers, CPU, split=images, corrupt=corrupt))


def evaluation(root: Path, workers: int = 0, corrupt: CorruptImages | None = None) -> Tensor:
    images = load("imagenet", root).test.images
    return torch.cat(list(load_eval_views(images, 24, 5, workers, CPU, corrupt)))


def spoil(root: Path, row: int, damage: Callable[[Path], object] = cut_in_half) -> str:
    """Break the training image at `row`; returns its path."""
    path = train_split(root).images.paths[row]
    damage(Path(path))
    return path


# Stop


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_image_stops_and_is_named(
    tree_copy: Path, workers: int, damage: Callable[[Path], object]
) -> None:
    path = spoil(tree_copy, 15, damage)
    images = train_split(tree_copy).images
    for load_all in (
        lambda: views(tree_copy, workers),
        lambda: list(load_eval_views(images, 16, 10, workers, CPU, CorruptImages("stop"))),
    ):
        with pytest.raises(LdregError) as caught:
            load_all()
        told = str(caught.value)
        assert re.match(
            rf"{path}: the image cannot be read \({DAMAGES[damage]}\); replace it, or leave", told
        )
        assert told.endswith("execution.corrupt_images: skip") and "\n" not in told


@pytest.mark.parametrize("policy", ["stop", "skip"])
@pytest.mark.parametrize("workers", [0, 1])
def test_missing_image_stops_under_both_policies(tree_copy: Path, policy: str, workers: int) -> None:
    path = spoil(tree_copy, 15, Path.unlink)
    corrupt = CorruptImages(policy)
    with pytest.raises(LdregError, match=rf"^{path}: the image cannot be read \(No such file or directory\)"):
        views(tree_copy, workers, corrupt)
    assert corrupt.reasons == {}


def test_want_of_memory_is_no_corruption(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode.Image, "open", fail)
    path = train_split(tree).images.paths[0]
    with pytest.raises(LdregError, match=rf"^{path}: .*out of memory") as caught:
        read_image(path)
    assert not isinstance(caught.value, CorruptImageError)


# Skip: training


def test_corrupt_row_shows_the_next_image_and_the_others_keep_their_bits(
    tree: Path, tree_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Rows 15, 16 and 17 follow each other; 30 is the last of the split, whose next is the first.
    paths = [spoil(tree_copy, row, damage) for row, damage in zip((15, 16, 30), DAMAGES, strict=True)]
    corrupt = CorruptImages("skip")
    made = views(tree_copy, corrupt=corrupt)
    shown = torch.tensor([17, 0, 0, 9, 17, 2, 17, 28])
    expected = views(tree, rows=shown)
    whole = views(tree)
    for batch, others, undamaged in zip(made, expected, whole, strict=True):
        assert all(map(torch.equal, batch, others))
        assert [len(view) for view in batch] == [len(view) for view in undamaged]
    kept = shown == ROWS
    for index in (0, 1):
        got, before = (torch.cat([batch[index] for batch in each]) for each in (made, whole))
        assert torch.equal(got[kept], before[kept])
        # One image may stand in twice, never one view.
        assert torch.pdist(got.flatten(1)).min() > 0.1

    assert list(corrupt.reasons) == [paths[2], paths[0], paths[1]]
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 3
    for path, line in zip(corrupt.reasons, told, strict=True):
        assert line.startswith(f"warning: {path}: the image cannot be read (") and line.endswith("; skipped")


def test_skipping_depends_on_neither_workers_nor_chunks(
    tree_copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for row, damage in zip((15, 16, 30), DAMAGES, strict=True):
        spoil(tree_copy, row, damage)
    first = CorruptImages("skip")
    expected = views(tree_copy, corrupt=first)
    for workers, chunk in ((2, 64), (2, 3), (0, 1)):
        monkeypatch.setattr(loader, "CHUNK", chunk)
        corrupt = CorruptImages("skip")
        for batch, others in zip(views(tree_copy, workers, corrupt), expected, strict=True):
            assert all(map(torch.equal, batch, others)), (workers, chunk)
        assert corrupt == first and list(corrupt.reasons) == list(first.reasons)


def test_images_are_told_once_and_counted_at_the_end(
    tree_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    corrupt = CorruptImages("skip")
    corrupt.warn_of_total()
    assert capfd.readouterr().err == ""
    path = spoil(tree_copy, 15)
    for _ in range(2):
        views(tree_copy, corrupt=corrupt)
    corrupt.warn_of_total()
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 2 and path in told[0]
    assert told[1] == "warning: 1 corrupt image(s) skipped, named above"


def test_split_without_one_readable_image_stops(tree_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for row in range(31):
        spoil(tree_copy, row, empty)
    folder = tree_copy / "imagenet"
    corrupt = CorruptImages("skip")
    message = rf"^{folder}: none of 31 images can be read; train/ant/ant_0\.JPEG is the first$"
    with pytest.raises(LdregError, match=message):
        views(tree_copy, corrupt=corrupt)
    with pytest.raises(LdregError, match=message):
        list(load_eval_views(train_split(tree_copy).images, 24, 5, 0, CPU, CorruptImages("skip")))
    assert len(corrupt.reasons) == 31


# Skip: evaluation


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_images_are_left_out_of_evaluation_with_their_labels(
    tree: Path, tree_copy: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    test = load("imagenet", tree_copy).test
    broken = [3, *range(5, 10)]  # one of a batch and all of the next
    for row in broken:
        cut_in_half(Path(test.images.paths[row]))
    corrupt = CorruptImages("skip")
    made = evaluation(tree_copy, workers, corrupt)
    kept = torch.tensor([row for row in range(18) if row not in broken])
    assert torch.equal(made, evaluation(tree)[kept])
    assert torch.equal(corrupt.readable(test.images).nonzero().squeeze(1), kept)
    assert len(test.labels[corrupt.readable(test.images)]) == len(made)
    assert list(corrupt.reasons) == [test.images.paths[row] for row in broken]
    assert len(capfd.readouterr().err.splitlines()) == len(broken)


def test_image_that_was_mended_since_stays_out(
    tree: Path, tree_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """So features and labels fit each other, whatever happens to the files in the meantime."""
    images = load("imagenet", tree_copy).test.images
    path = Path(images.paths[3])
    content = path.read_bytes()
    empty(path)
    corrupt = CorruptImages("skip")
    made = evaluation(tree_copy, corrupt=corrupt)
    path.write_bytes(content)
    assert torch.equal(evaluation(tree_copy, corrupt=corrupt), made)
    assert len(made) == int(corrupt.readable(images).sum()) == 17


def test_nothing_corrupt_changes_nothing(tree: Path) -> None:
    corrupt = CorruptImages("skip")
    assert torch.equal(evaluation(tree, corrupt=corrupt), evaluation(tree))
    assert corrupt.reasons == {} and corrupt.readable(load("imagenet", tree).test.images).all()


# Ranks


def test_ranks_take_over_what_others_met(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"b": "an empty file", "a": "no image"}

    def exchange(found: list, ours: dict) -> None:
        found[:] = [pickle.loads(pickle.dumps(ours)), theirs]

    monkeypatch.setattr(decode, "world_size", lambda: 2)
    monkeypatch.setattr(decode.dist, "all_gather_object", exchange)
    corrupt = CorruptImages("skip", {"a": "no image"})
    corrupt.gather()
    assert corrupt.reasons == {"a": "no image", "b": "an empty file"}


# The whole way


def test_pretraining_and_measuring_skip_and_count(
    tree_copy: Path, tiny_spec: Callable[..., RunSpec], capfd: pytest.CaptureFixture[str]
) -> None:
    test = load("imagenet", tree_copy).test.images
    paths = [spoil(tree_copy, row, damage) for row, damage in zip((15, 16, 30), DAMAGES, strict=True)]
    cut_in_half(Path(test.paths[3]))
    data = load("imagenet", tree_copy)
    spec = tiny_spec(
        dataset="imagenet",
        train_images=None,
        image_size=16,
        views=(VIEW, CROP),
        batch_size=8,
        epochs=1,
    )
    results = []
    for workers in (0, 2):
        corrupt = CorruptImages("skip")
        encoder, history = pretrain(
            spec, data, Execution(workers=workers), CPU, on_epoch=lambda row: None, corrupt=corrupt
        )
        assert sorted(corrupt.reasons) == sorted(paths) and history[0]["knn_top1"] is not None
        settings = Evaluation(linear_epochs=2, linear_batch_size=8, knn_k=3, lid_ks=(4,), lid_batch_rows=8)
        results.append(measure(encoder, data, 16, settings, CPU, workers, corrupt))
        assert sorted(corrupt.reasons) == sorted([*paths, test.paths[3]])
    assert results[0] == results[1] and results[0]["dimensionality"]["rows"] == 17
