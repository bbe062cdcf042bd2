"""What a renderer declares about itself: one `Renderer` block for each kind of exhibit.

The workflow and the page know no renderer by name. They ask these blocks what an exhibit reads, which files
it makes, what its settings may say and what a terminal shows of it. Blocks stand in the `declared.py` of
tables, figures and claims and are registered in `ldreg.exhibits`. This module and those import neither torch,
pandas nor matplotlib, because they are read whenever the workflow is.
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
    """One exhibit within its scale: what a renderer is asked about before any job runs.

    Attributes:
        block: Its block in the configuration.
        scale: The content of the scale file.
        scale_file: The scale file's name, for error messages.
        runs: The runs that the exhibit needs, by folder name.
        where: Gives the file and place of a key of the block for errors, such as `where("settings", "axes")`.
        usual: Gives the settings of the scale's default run of a method on a backbone, with LDReg's beta and
            k.
        taken_with: Gives the folder names of runs that are taken (`runs_of`) from exhibits that read a
            certain file of each run, such as `taken_with("step_cost.json")`.
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
    """What an exhibit shows that needs no runs.

    Attributes:
        points: What is shown instead of runs, in a few words.
        numbers: The file below results/<scale> with its numbers and with the `seeds` that these are of.
    """

    points: str
    numbers: str


def always(*files: str) -> Callable[[Any], tuple[str, ...]]:
    """A rule that names the same files whatever the settings are."""
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
    """Everything that the rest of the project knows of one kind of exhibit.

    Attributes:
        key: What `renderer:` says in YAML. The drawing function is called the same.
        module: The module of the drawing function, which takes an `ExhibitSpec` and returns the content of
            each file by its ending or, for a figure, a `Drawing`. It is imported when an exhibit is drawn.
        settings: The pydantic model of what `settings:` may say.
        suffixes: The endings of the files that are made. "html" is made from "md" by `ldreg.exhibits.render`.
        synthetic: What is shown by a renderer that needs no runs; None for one that needs some.
        run_files: Given the settings, the files that are read of each run's folder, beside its summary and
            its usual measurements.
        scale_files: Given the settings, the files that are read below results/<scale>.
        check: Refuses, with an LdregError, settings that do not fit the scale or the exhibit's runs.
        defaults: Given the settings, the exhibit in its scale and the function that tells the path of a run's
            folder, the settings that follow from the scale where the exhibit does not set them itself.
        print_made: The function that is given the specs of all exhibits of this kind that have been made, in
            the page's order, and a rich console, and prints what suits a terminal. None: the terminal names
            their files alone.
        count_verdicts: Given an exhibit's spec, how many of its claims came out in which way, for the head of
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
        self.check(settings, exhibit)


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
