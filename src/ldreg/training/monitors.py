"""Live measurements during training. They fill history.csv and do not change the training.

LID is measured on the representations of the training batches, as in the paper's Figures 2a and 2b, so the
encoder need not run again. (The authors' code measures it on validation batches, too.) Measurements that take
more than a hundredth of a step are made only every `EVERY` steps, or once in an epoch that contains such a
step. On a CPU, all of them take 0.4 % of the training time of a ResNet-18, and 2.6 % of that of the demo,
whose steps take 65 ms (`benchmarks/monitors_cpu.json`).
"""

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from ldreg.config.run_spec import RunSpec
from ldreg.lid import geometric_mean, mle_from_distances, mom_from_distances
from ldreg.neighbors import neighbor_distances
from ldreg.runtime.checkpoint import State
from ldreg.runtime.distributed import gather_rows, rank, world_size
from ldreg.spectrum import effective_rank
from ldreg.training.guard import Guard

HistoryRow = dict[str, float | None]

EVERY = 25  # steps between two measurements of LID; the last step of the training is measured, too
MLE_KS = (32, 512)  # neighbourhood sizes of the authors' monitors
# Number of latest representations, over all ranks, for effective rank: the maximum, and per dimension.
QUEUE_ROWS, QUEUE_ROWS_PER_DIMENSION = 4096, 8
LID, RANK, PROBE = "mlid", "effective_rank", "probe_top1"  # the monitors, each of which may fail
PROBE_LR = 1e-3  # Adam's learning rate for the online linear probe


class Monitors:
    """Measures mLID, effective rank and the accuracy of an online linear probe in every epoch.

    - mLID is taken over the representations of all views in the global batch: by the method of moments at the
      run's k (or at `monitor_k` if the run has none), and by maximum likelihood at those of `MLE_KS` that the
      batch size allows.
    - Effective rank (of the Pearson correlation matrix) is that of a queue of the latest representations.
    - The linear probe is trained on standardised, detached representations by its own optimiser. Its accuracy
      on each batch is measured before the probe learns from it, and averaged over the epoch.
    """

    def __init__(
        self,
        spec: RunSpec,
        classes: int,
        dim: int,
        steps: int,
        device: torch.device,
        guard: Guard | None = None,
    ) -> None:
        """`steps` is the number of steps per epoch. No random numbers are drawn.

        A measurement that fails is switched off by `guard`, and its values are None from then on.
        """
        rows = len(spec.views) * spec.batch_size
        self.k = spec.k or spec.monitor_k
        self.mle_ks = [k for k in MLE_KS if k <= rows - 2]
        self.last = steps * spec.epochs
        self.probe = _Probe(dim, classes, device)
        self.queue: deque[Tensor] = deque(maxlen=-(-min(QUEUE_ROWS, QUEUE_ROWS_PER_DIMENSION * dim) // rows))
        self.guard = guard or Guard()
        self.device = device
        self.step = 0
        self._begin()

    def _begin(self) -> None:
        self.log_lids: dict[str, list[Tensor]] = {}
        self.hits = torch.zeros((), device=self.device)
        self.seen = 0
        self.measured = False

    def state(self) -> tuple[State, State]:
        """Return the state that is equal on all ranks, and the state of this rank, for a checkpoint."""
        probe = {"weight": self.probe.weight, "bias": self.probe.bias}
        shared = {"step": self.step, "probe": probe, "optimizer": self.probe.optimizer.state_dict()}
        shared |= {"measured": self.measured, "failed": sorted(self.guard.failed)}
        own = {"queue": list(self.queue), "log_lids": self.log_lids, "hits": self.hits, "seen": self.seen}
        return shared, own | {"failed": self.guard.own}

    @torch.no_grad()
    def restore(self, shared: State, owns: list[State]) -> None:
        """Go on from the states of `state`, of the same or another number of ranks."""
        self.step = shared["step"]
        self.probe.weight.copy_(shared["probe"]["weight"])
        self.probe.bias.copy_(shared["probe"]["bias"])
        self.probe.optimizer.load_state_dict(shared["optimizer"])
        own = owns[rank()] if len(owns) == world_size() else _shared_out(owns)
        self._begin()
        self.queue.clear()
        self.queue.extend(rows.to(self.device) for rows in own["queue"])
        for name, values in own["log_lids"].items():
            self.log_lids[name] = [value.to(self.device) for value in values]
        self.hits, self.seen = own["hits"].to(self.device), own["seen"]
        self.measured = shared["measured"]
        self.guard.own, self.guard.failed = own["failed"], set(shared["failed"])

    @torch.no_grad()
    def observe(self, representations: list[Tensor], labels: Tensor) -> None:
        """Measure the next step.

        Args:
            representations: (n, dim) per view, of this rank.
            labels: (n,), of the images.

        Raises:
            NotFiniteError: if representations are not finite.
        """
        rows = torch.cat(representations)
        self.queue.append(rows)
        if PROBE not in self.guard.failed:
            given = (rows, labels.repeat(len(representations)))
            hits, *gradients = self.guard.attempt(PROBE, self.probe.gradients, *given) or self.probe.nothing()
            self.probe.descend(gradients)
            self.hits += hits
        self.seen += len(rows)
        self.step += 1
        if self.step % EVERY == 0 or self.step == self.last:
            self.measured = True
            found = self.guard.attempt(LID, self._log_mlids, rows, gather_rows(rows))
            for name, value in (found or {}).items():
                self.log_lids.setdefault(name, []).append(value)
            self.guard.agree()

    def _log_mlids(self, rows: Tensor, everyone: Tensor) -> dict[str, Tensor]:
        """ln mLID of this rank's rows with neighbours among those of all ranks, from one neighbour search."""
        index = rank() * len(rows) + torch.arange(len(rows), device=rows.device)
        distances = neighbor_distances(rows, everyone, max(self.k, *self.mle_ks, 0), index)
        lids = {"mlid": mom_from_distances(distances[:, : self.k])}
        lids |= {f"mlid_mle_{k}": mle_from_distances(distances[:, :k]) for k in self.mle_ks}
        return {name: geometric_mean(lid).log() for name, lid in lids.items()}

    @torch.no_grad()
    def finish(self) -> HistoryRow:
        """Return the values of the epoch, the same on every rank; None if a value was not measured."""
        self.guard.agree()
        if LID in self.guard.failed:
            self.log_lids = {}
        names = ["mlid", *(f"mlid_mle_{k}" for k in MLE_KS)]
        means = [torch.stack(self.log_lids[name]).mean() for name in names if name in self.log_lids]
        values = torch.stack([*means, self.hits / self.seen]).double()
        if world_size() > 1:
            dist.all_reduce(values)
            values /= world_size()
        *log_mlids, accuracy = values.tolist()
        found = dict(zip(self.log_lids, torch.tensor(log_mlids).exp().tolist(), strict=True))
        rank_now = None
        if self.measured and RANK not in self.guard.failed:  # all ranks compute it of the same rows
            latest = gather_rows(torch.cat(list(self.queue)))
            rank_now = self.guard.attempt(RANK, lambda: float(effective_rank(latest)))
        self._begin()
        return {
            **{name: found.get(name) for name in names},
            RANK: rank_now,
            PROBE: None if PROBE in self.guard.failed else 100 * accuracy,
        }


def _shared_out(owns: list[State]) -> State:
    """This rank's part of the states of another number of ranks; means over ranks stay what they are."""

    def by_step(values: Sequence[list[Tensor]]) -> list[tuple[Tensor, ...]]:
        return list(zip(*values, strict=False))  # a rank whose monitor has failed has fewer

    queues = by_step([own["queue"] for own in owns])
    names = set.intersection(*({*own["log_lids"]} for own in owns))
    lids = {name: by_step([own["log_lids"][name] for own in owns]) for name in sorted(names)}
    return {
        "queue": [torch.cat(rows).tensor_split(world_size())[rank()] for rows in queues],
        "log_lids": {name: [torch.stack(each).mean() for each in steps] for name, steps in lids.items()},
        "hits": torch.stack([own["hits"] for own in owns]).sum() / world_size(),
        "seen": sum(own["seen"] for own in owns) / world_size(),
        "failed": {name: reason for own in owns for name, reason in own["failed"].items()},
    }


def empty_row() -> HistoryRow:
    """Return the monitors' columns for a run whose monitors are off: all None."""
    names = ["mlid", *(f"mlid_mle_{k}" for k in MLE_KS), RANK, PROBE]
    return dict.fromkeys(names)


class _Probe:
    """An online linear classifier that starts from zero weights; its gradients are averaged over ranks."""

    def __init__(self, dim: int, classes: int, device: torch.device) -> None:
        self.weight = nn.Parameter(torch.zeros(classes, dim, device=device))
        self.bias = nn.Parameter(torch.zeros(classes, device=device))
        self.optimizer = torch.optim.Adam([self.weight, self.bias], lr=PROBE_LR)

    @torch.enable_grad()
    def gradients(self, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of rows (n, dim) with labels (n,): correct predictions, and gradients of weights and biases."""
        # Standardised with the statistics of this rank's rows, so that one learning rate suits all methods.
        standard = F.batch_norm(rows.detach(), None, None, training=True).to(self.weight.dtype)
        logits = F.linear(standard, self.weight, self.bias)
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels), [self.weight, self.bias])
        return ((logits.argmax(dim=1) == labels).sum(), *gradients)

    def nothing(self) -> tuple[Tensor, Tensor, Tensor]:
        """Stand for the `gradients` of a rank whose probe has failed."""
        return torch.zeros_like(self.bias[0]), torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def descend(self, gradients: Sequence[Tensor]) -> None:
        """Take one step along the mean of the gradients over all ranks."""
        for parameter, gradient in zip((self.weight, self.bias), gradients, strict=True):
            if world_size() > 1:
                dist.all_reduce(gradient)
                gradient /= world_size()
            parameter.grad = gradient
        self.optimizer.step()
