"""Live measurements during training: they fill history.csv and change no result.

Local dimension comes from the training batches themselves, as the authors' monitors take it from validation
batches; the encoder is not run again for it. What costs more than a hundredth of a step is taken every
`EVERY` steps alone, or in the epochs that hold such a step. Measured on a CPU, all of it takes 0.4 % of a
ResNet-18's training time and 2.6 % of the demo's, whose steps are 65 ms (`benchmarks/monitors_cpu.json`).
"""

from collections import deque

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from ldreg.config.run_spec import RunSpec
from ldreg.lid import geometric_mean, mle_from_distances, mom_from_distances
from ldreg.neighbors import neighbor_distances
from ldreg.runtime.distributed import gather_rows, rank, world_size
from ldreg.spectrum import effective_rank

HistoryRow = dict[str, float | None]

EVERY = 25  # steps between two measurements of LID; the very last step is one of them
MLE_KS = (32, 512)  # of the authors' monitors
# Latest representations, over all ranks, whose effective rank is taken: at most, and for each dimension.
QUEUE_ROWS, QUEUE_ROWS_PER_DIMENSION = 4096, 8
PROBE_LR = 1e-3  # of Adam


class Monitors:
    """mLID, effective rank and an online linear probe of one epoch after another.

    - mLID over the representations of all views in the global batch: by the method of moments at the run's
      own k (`monitor_k` where it has none), and by maximum likelihood at `MLE_KS` where the batch allows.
    - Effective rank (Pearson correlation) of a queue of the latest representations.
    - A linear probe on standardised, detached representations with an optimiser of its own: its accuracy on
      each batch before it learns from it, averaged over the epoch.
    """

    def __init__(self, spec: RunSpec, classes: int, dim: int, steps: int, device: torch.device) -> None:
        """`steps` is an epoch's number of steps; nothing is drawn from the random state."""
        rows = len(spec.views) * spec.batch_size
        self.k = spec.k or spec.monitor_k
        self.mle_ks = [k for k in MLE_KS if k <= rows - 2]
        self.last = steps * spec.epochs
        self.probe = _Probe(dim, classes, device)
        self.queue: deque[Tensor] = deque(maxlen=-(-min(QUEUE_ROWS, QUEUE_ROWS_PER_DIMENSION * dim) // rows))
        self.device = device
        self.step = 0
        self._begin()

    def _begin(self) -> None:
        self.log_lids: dict[str, list[Tensor]] = {}
        self.hits = torch.zeros((), device=self.device)
        self.seen = 0

    @torch.no_grad()
    def observe(self, representations: list[Tensor], labels: Tensor) -> None:
        """Look at the next step: this rank's (n, dim) per view, and the images' labels (n,).

        Raises:
            ValueError: representations that are not finite.
        """
        rows = torch.cat(representations)
        self.queue.append(rows)
        self.hits += self.probe.learn(rows, labels.repeat(len(representations)))
        self.seen += len(rows)
        self.step += 1
        if self.step % EVERY == 0 or self.step == self.last:
            for name, lid in self._lids(rows):
                self.log_lids.setdefault(name, []).append(geometric_mean(lid).log())

    def _lids(self, rows: Tensor) -> list[tuple[str, Tensor]]:
        """LIDs of this rank's rows among those of all ranks, from one search for neighbours."""
        index = rank() * len(rows) + torch.arange(len(rows), device=rows.device)
        distances = neighbor_distances(rows, gather_rows(rows), max(self.k, *self.mle_ks, 0), index)
        found = [("mlid", mom_from_distances(distances[:, : self.k]))]
        return found + [(f"mlid_mle_{k}", mle_from_distances(distances[:, :k])) for k in self.mle_ks]

    @torch.no_grad()
    def finish(self) -> HistoryRow:
        """The epoch's values, the same on every rank; None for what it did not measure."""
        names = ["mlid", *(f"mlid_mle_{k}" for k in MLE_KS)]
        means = [torch.stack(self.log_lids[name]).mean() for name in names if name in self.log_lids]
        values = torch.stack([*means, self.hits / self.seen]).double()
        if world_size() > 1:
            dist.all_reduce(values)
            values /= world_size()
        *log_mlids, accuracy = values.tolist()
        found = dict(zip(self.log_lids, torch.tensor(log_mlids).exp().tolist(), strict=True))
        rank_now = float(effective_rank(gather_rows(torch.cat(list(self.queue))))) if found else None
        self._begin()
        return {
            **{name: found.get(name) for name in names},
            "effective_rank": rank_now,
            "probe_top1": 100 * accuracy,
        }


def empty_row() -> HistoryRow:
    """The columns of a run whose monitors are off."""
    names = ["mlid", *(f"mlid_mle_{k}" for k in MLE_KS), "effective_rank", "probe_top1"]
    return dict.fromkeys(names)


class _Probe:
    """A linear classifier that learns along, from zero weights; ranks average its gradients."""

    def __init__(self, dim: int, classes: int, device: torch.device) -> None:
        self.weight = nn.Parameter(torch.zeros(classes, dim, device=device))
        self.bias = nn.Parameter(torch.zeros(classes, device=device))
        self.optimizer = torch.optim.Adam([self.weight, self.bias], lr=PROBE_LR)

    @torch.enable_grad()
    def learn(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Take one step on (n, dim), (n,); returns how many rows were classified rightly before it."""
        # Standardised by this rank's rows, so that the rate suits every method.
        standard = F.batch_norm(rows.detach(), None, None, training=True).to(self.weight.dtype)
        logits = F.linear(standard, self.weight, self.bias)
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels), [self.weight, self.bias])
        for parameter, gradient in zip((self.weight, self.bias), gradients, strict=True):
            if world_size() > 1:
                dist.all_reduce(gradient)
                gradient /= world_size()
            parameter.grad = gradient
        self.optimizer.step()
        return (logits.argmax(dim=1) == labels).sum()
