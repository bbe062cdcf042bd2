"""What a renderer declares about itself: one `Renderer` block for each kind of exhibit.

The workflow and the page know no renderer by name. They ask these blocks what an exhibit reads, which files
it makes, what its settings may say and what a terminal shows of it. Blocks stand in the `declared.py` of
tables, figures and claims, and are registered in `ldreg.exhibits`. Neither this module nor those import
torch, pandas or matplotlib, because they are read whenever Snakemake parses the workflow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ldreg.catalogue.implementation import Implementation
from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Exhibit, ScaleFile
from ldreg.errors import LdregError
from ldreg.exhibits.settings import Settings

# The endings of the files that a table and a figure consist of.
TABLE = ("csv", "md", "tex", "html")
FIGURE = ("png", "pdf", "csv")


@dataclass(frozen=True)
class ExhibitInScale:
    """One exhibit within its scale, which a renderer checks before any job runs.

    Attributes:
        block: Its block in the configuration.
        scale: The content of the scale file.
        scale_file: The scale file's name, for error messages.
        runs: The runs that the exhibit needs, by folder name.
        where: Gives the file and place of a key of the block for errors, such as `where("settings", "axes")`.
        usual: Gives the settings of the scale's default run for a method on a backbone, with LDReg's beta
            and k.
        taken_with: Gives the folder names of those runs that come from other exhibits (`runs_of`) which read
            a certain file of each run, for example `taken_with("step_cost.json")`.
    """

    block: Exhibit
    scale: ScaleFile
    scale_file: str
    runs: Mapping[str, RunSpec]
    where: Callable[..., str]
    usual: Callable[[str, str], Mapping[str, Any]]
    taken_with: Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Synthetic:
    """The content of an exhibit that needs no runs.

    Attributes:
        points: What is shown instead of runs, in a few words.
        numbers: The file below results/<scale> that holds its numbers and the `seeds` behind them.
    """

    points: str
    numbers: str


def always(*files: str) -> Callable[[Any], tuple[str, ...]]:
    """A function that names the same files for all settings."""
    return lambda settings: files


no_files = always()


def shared_defaults(
    settings: Settings, exhibit: ExhibitInScale, folder: Callable[[str], str]
) -> dict[str, Any]:
    """Settings of every exhibit that follow from its scale: LDReg's beta and k, and what is reported."""
    base = {} if "base" in settings.model_fields_set else ldreg_base(exhibit)
    return {**base, **exhibit.scale.report.model_dump(mode="json")}


def ldreg_base(exhibit: ExhibitInScale) -> dict[str, Any]:
    """LDReg's beta and k at this scale, for the method and backbone of the exhibit's first run."""
    for spec in exhibit.runs.values():
        usual = exhibit.usual(spec.method, spec.backbone)
        return {"base": {"beta": usual["beta"], "k": usual["k"]}}
    return {}


def nothing_more(settings: Settings, exhibit: ExhibitInScale) -> None:
    """The check of a renderer whose settings depend on nothing else in the scale."""


@dataclass(frozen=True)
class Renderer:
    """Everything that the rest of the project knows about one kind of exhibit.

    Attributes:
        key: The renderer's name in YAML, which is also the name of the drawing function.
        module: The module of the drawing function, which takes an `ExhibitSpec` and returns the content of
            each file by its ending or, for a figure, a `Drawing`. It is imported when an exhibit is drawn.
        settings: The pydantic model of what `settings:` may say.
        suffixes: The endings of the files that are made. "html" is made from "md" by `ldreg.exhibits.render`.
        synthetic: What a renderer without runs shows; None for a renderer that needs runs.
        run_files: Given the settings, the files that are read from each run's folder, beside its summary and
            its usual measurements.
        scale_files: Given the settings, the files that are read below results/<scale>.
        check: Refuses, with an LdregError, settings that do not fit the scale or the exhibit's runs.
        defaults: Given the settings, the exhibit in its scale and a function from a run's name to its folder,
            the settings that follow from the scale, for those that the exhibit does not set itself.
        print_made: The function that prints what suits a terminal. It takes the specs of all exhibits of this
            kind that have been made, in the page's order, and a rich console. None: the terminal only names
            their files.
        count_verdicts: Given an exhibit's spec, the number of its claims for each verdict, for the head of
            the page. None: this renderer tests no claims.
        opens_page: Whether an exhibit of this kind stands before all others on the page.
    """

    key: str
    module: str
    settings: type[Settings]
    suffixes: tuple[str, ...]
    synthetic: Synthetic | None = None
    run_files: Callable[[Any], tuple[str, ...]] = no_files
    scale_files: Callable[[Any], tuple[str, ...]] = no_files
    check: Callable[[Any, ExhibitInScale], None] = nothing_more
    defaults: Callable[[Any, ExhibitInScale, Callable[[str], str]], dict[str, Any]] = shared_defaults
    print_made: Implementation | None = None
    count_verdicts: Callable[[Path], Mapping[str, int]] | None = None
    opens_page: bool = False

    @property
    def function(self) -> Callable[[Any], Any]:
        """The drawing function; its module is imported only now."""
        return getattr(import_module(self.module), self.key)

    @property
    def needs_runs(self) -> bool:
        """Whether an exhibit of this kind must have runs."""
        return self.synthetic is None

    def check_in_scale(self, settings: Settings, exhibit: ExhibitInScale) -> None:
        """Refuse settings that do not fit the scale, before anything is trained.

        Raises:
            LdregError: in one line with file, key, value and what is allowed.
        """
        if "mlid" in settings.model_fields_set:
            _check_measured(settings, exhibit)
        if "linear" in settings.model_fields_set:
            check_protocol(settings.linear, exhibit, exhibit.where("settings", "linear"))
        self.check(settings, exhibit)


def check_protocol(protocol: str, exhibit: ExhibitInScale, where: str) -> None:
    """Refuse, at the place `where`, a protocol of linear evaluation that the scale does not measure."""
    if protocol not in (measured := exhibit.scale.evaluation.linear):
        raise LdregError(
            f"{where}: {protocol} is not measured; allowed (evaluation.linear): {', '.join(measured)}"
        )


def _check_measured(settings: Settings, exhibit: ExhibitInScale) -> None:
    """Refuse an mLID that the scale does not measure."""
    measured = exhibit.scale.evaluation
    for key, allowed in (("k", measured.lid_ks), ("batch_rows", (None, measured.lid_batch_rows))):
        value = getattr(settings.mlid, key)
        if value not in allowed:
            choice = ", ".join("null" if each is None else str(each) for each in allowed)
            raise LdregError(
                f"{exhibit.where('settings', 'mlid', key)}: {value} is not measured; allowed: {choice}"
            )
