"""What the `settings` of Figures 2 and 4 may say; of pydantic alone, as `ldreg.exhibits.settings`."""

from typing import Literal

from pydantic import Field

from ldreg.exhibits.settings import MetricName, Settings

# The live measurements of history.csv (`ldreg.training.monitors`).
MonitorName = Literal["mlid", "mlid_mle_32", "mlid_mle_512", "effective_rank", "probe_top1"]


class CurveSettings(Settings):
    """Settings of `curves`: a monitor over epochs, one panel for each method and encoder.

    over: a setting whose values share one panel instead, a colour each (Figure 2 b). in_legend: what was
    measured after training, named in that panel's legend.
    """

    monitor: MonitorName = "mlid_mle_32"
    over: str = ""
    in_legend: MetricName | None = None

    @property
    def run_files(self) -> tuple[str, ...]:
        """What is read of each run's folder beside its summary and what every run is measured by."""
        return ("history.csv",)


class BarSettings(Settings):
    """Settings of `bars`: one panel for each metric, bars with and without a regulariser by method."""

    metrics: tuple[MetricName, ...] = Field(default=("effective_rank", "mlid"), min_length=1)
    paper_exhibits: tuple[str, ...] = ("table1",)


class TsneSettings(Settings):
    """Settings of `tsne`: nothing of its own but the file that it needs of each run."""

    @property
    def run_files(self) -> tuple[str, ...]:
        """What is read of each run's folder beside its summary and what every run is measured by."""
        return ("tsne.csv",)
