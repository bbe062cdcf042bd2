"""Pretraining: trains the encoder of one run from its spec."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Evaluation
from ldreg.data.batches import batches
from ldreg.data.datasets import ImageData, Split, balanced_rows
from ldreg.data.decode import CorruptImages
from ldreg.data.folder import ImageFiles
from ldreg.data.loader import check_views
from ldreg.errors import LdregError
from ldreg.evaluation.features import represent
from ldreg.evaluation.knn import holdout_split, knn_accuracy
from ldreg.methods import build_method
from ldreg.models.networks import build_encoder
from ldreg.neighbors import NotFiniteError
from ldreg.runtime.distributed import rank, replicate, world_size
from ldreg.runtime.resumption import Resumption
from ldreg.training.course import Course
from ldreg.training.guard import Guard
from ldreg.training.monitors import HistoryRow, Monitors, empty_row
from ldreg.training.optim import build_optimizer, learning_rate, set_learning_rate
from ldreg.training.regularizer import build_regularizer
from ldreg.training.step import StepResult, TrainingStep, batch_norms

# Most images for the kNN monitor (all of CIFAR-10). It runs on rank 0 while the other ranks wait.
KNN_IMAGES = 50_000


def pretrain(
    spec: RunSpec,
    data: ImageData,
    execution: Execution,
    device: torch.device,
    on_epoch: Callable[[HistoryRow], None],
    corrupt: CorruptImages | None = None,
    resumption: Resumption | None = None,
) -> tuple[nn.Module, list[HistoryRow]]:
    """Train the method of a run; returns its encoder and one row of `history.csv` per epoch.

    Args:
        spec: specification of the run.
        data: the data set; only its training split is used.
        execution: how the run is executed.
        device: device of this rank.
        on_epoch: called on rank 0 with the row of each epoch, except those before an interruption.
        corrupt: policy for corrupt images; it records those of all ranks. The default stops at the first.
        resumption: saves the training, which goes on from the checkpoint that was found. On a CPU the result
            is then, to the bit, that of a training that was never interrupted.

    Raises:
        LdregError: if the batch is larger than the training split or cannot be divided among the ranks, if
            the loss is not finite, if an image is corrupt and not skipped, or if a view of image files has a
            rotation.
        SliceEnded: if the training ended itself with a checkpoint.
    """
    corrupt = CorruptImages() if corrupt is None else corrupt
    split, steps = split_on_device(data.train, spec, device), steps_of_epoch(spec, data)
    trainer = Trainer(spec, split.channels, execution, device)
    if execution.micro_batch and batch_norms(trainer.method) and rank() == 0:
        size = trainer.training_step.smallest
        print(f"micro_batch: batch norm takes its statistics over {size} images or more", file=sys.stderr)
    guard = Guard()
    monitors = Monitors(spec, data.classes, _dim(spec), steps, device, guard) if execution.monitors else None
    course = Course(trainer, monitors, corrupt, device)
    if resumption and resumption.checkpoint.found:
        course.restore(resumption.checkpoint.found)
    with resumption.running() if resumption else nullcontext():
        while len(course.history) < spec.epochs:
            epoch = len(course.history)
            _train_epoch(course, split, steps, execution.workers, resumption)
            row = _row(spec, epoch, course.sums / steps)
            row |= monitors.finish() if monitors else empty_row()
            row["lr"] = learning_rate(spec, epoch + (steps - 1) / steps)
            row["images_per_second"] = steps * spec.batch_size / course.seconds
            arguments = (spec, epoch, trainer.method.encoder, data, device, execution, corrupt)
            row["knn_top1"] = guard.attempt("knn_top1", _knn, *arguments)
            course.finish(row)
            if rank() == 0:
                on_epoch(row)
    corrupt.gather()
    return trainer.method.encoder, course.history


def _train_epoch(
    course: Course, split: Split, steps: int, workers: int, resumption: Resumption | None
) -> None:
    """Take the steps of the epoch that are left."""
    trainer, monitors, epoch = course.trainer, course.monitors, len(course.history)
    spec = trainer.spec
    start = round(spec.regularizer_start * spec.epochs)
    trainer.model.train()
    course.begin()
    made = batches(split, spec, epoch, steps, workers, course.device, course.corrupt, course.done)
    for step, batch in enumerate(made, course.done):
        try:
            result = trainer.step(batch.inputs, epoch + step / steps, regularized=epoch >= start)
            if monitors:
                monitors.observe(result.representations, batch.labels)
        except NotFiniteError as error:
            raise diverged(spec, epoch, "representations are not finite, or too large") from error
        course.add(result)
        if resumption:
            resumption.after_step(epoch * steps + course.done, spec.epochs * steps, course.state)


class Trainer:
    """The networks of a run with their initial weights, their optimiser, and their training step.

    Raises:
        LdregError: in the cases of `TrainingStep`.
    """

    def __init__(self, spec: RunSpec, channels: int, execution: Execution, device: torch.device) -> None:
        torch.manual_seed(spec.seed)  # for the initial weights; views and order use other generators
        self.spec = spec
        # Channels last is the faster memory layout on CPUs and for half precision on GPUs.
        self.method = build_method(spec, channels).to(memory_format=torch.channels_last)
        self.model = replicate(self.method, device)
        self.optimizer = build_optimizer(spec, self.method)
        regularizer = build_regularizer(spec)
        self.training_step = TrainingStep(spec, self.method, self.model, regularizer, execution, device)

    def step(self, inputs: tuple[Tensor, ...], progress: float, regularized: bool) -> StepResult:
        """Take one training step on this rank's `inputs`.

        Args:
            inputs: inputs of the method, each with one row per image.
            progress: epochs before this step, with a fraction.
            regularized: whether the regulariser is added to the loss.

        Returns:
            Loss, regulariser and representations before the update of the weights.

        Raises:
            NotFiniteError: if representations are not finite.
        """
        set_learning_rate(self.optimizer, learning_rate(self.spec, progress))
        self.method.update(progress / self.spec.epochs)
        self.optimizer.zero_grad(set_to_none=True)
        result = self.training_step(inputs, regularized)
        self.training_step.optimize(self.optimizer)
        return result


def split_on_device(split: Split, spec: RunSpec, device: torch.device) -> Split:
    """Return the training split with its images on the device if they are a tensor; files stay on disk.

    Raises:
        LdregError: if the images are files and a view has a rotation.
    """
    if not isinstance(split.images, ImageFiles):
        return replace(split, images=split.images.to(device))
    check_views(spec.views)
    return split


def steps_of_epoch(spec: RunSpec, data: ImageData) -> int:
    """Return the number of steps per epoch.

    Raises:
        LdregError: if the batch is larger than the training split or cannot be divided among the ranks.
    """
    steps = len(data.train.labels) // spec.batch_size
    if steps == 0:
        raise LdregError(
            f"batch_size: {spec.batch_size} is more than the {len(data.train.labels)} training images of"
            f" {data.name}"
        )
    if spec.batch_size % world_size():
        raise LdregError(f"batch_size: {spec.batch_size} does not divide among {world_size()} GPUs")
    return steps


def _dim(spec: RunSpec) -> int:
    """The dimension of the run's representations."""
    with torch.device("meta"):
        return build_encoder(spec, channels=3)[1]


def _row(spec: RunSpec, epoch: int, means: Tensor) -> HistoryRow:
    """Return the epoch's means as a row of the history. The loss is averaged over ranks."""
    if world_size() > 1:
        ssl_loss = means[:1].clone()
        torch.distributed.all_reduce(ssl_loss)
        means[:1] = ssl_loss / world_size()
    ssl_loss, term = means.tolist()
    loss = ssl_loss + term
    if not torch.isfinite(means).all():
        raise diverged(spec, epoch, f"the loss is {loss}")
    return {"epoch": epoch + 1, "loss": loss, "ssl_loss": ssl_loss, "regularizer": term}


def _knn(
    spec: RunSpec,
    epoch: int,
    encoder: nn.Module,
    data: ImageData,
    device: torch.device,
    execution: Execution,
    corrupt: CorruptImages,
) -> float | None:
    """kNN accuracy on a hold-out of the training split, every `knn_every` epochs and after the last one.

    If the split has more than `KNN_IMAGES` images, a class-balanced subset is used.
    """
    if rank() != 0 or not execution.monitors or ((epoch + 1) % spec.knn_every and epoch + 1 != spec.epochs):
        return None
    split = data.train
    if len(split.labels) > KNN_IMAGES:
        rows = balanced_rows(split.labels, KNN_IMAGES)
        split = Split(split.images[rows], split.labels[rows])
    try:
        features, labels = represent(
            encoder, split, spec.image_size, device, workers=execution.workers, corrupt=corrupt
        )
    except NotFiniteError as error:  # the representations are not finite after the last step
        raise diverged(spec, epoch, error) from error
    fit, holdout = holdout_split(labels, Evaluation().holdout)
    k = min(Evaluation().knn_k, len(fit))
    result = knn_accuracy(features[fit], labels[fit], features[holdout], labels[holdout], data.classes, k)
    return result["top1"]


def diverged(spec: RunSpec, epoch: int, what: object) -> LdregError:
    """Return the error for a run whose loss or representations are not finite."""
    beta = f" or beta ({spec.beta})" if spec.beta else ""
    return LdregError(f"training diverged in epoch {epoch + 1}: {what}; lower base_lr ({spec.base_lr}){beta}")
