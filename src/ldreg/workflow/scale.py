"""From a scale file to run specs and exhibits: pure functions of the configuration."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ldreg.catalogue.measurements import LINEAR_FILES, measured_with
from ldreg.catalogue.regularizers import REGULARIZER_SETTINGS
from ldreg.config.grids import (
    Overlay,
    method_overlays,
    product,
    scale_jitter,
    unused_settings,
    without,
)
from ldreg.config.run_names import format_run, parse_run
from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Exhibit, ScaleFile
from ldreg.errors import Location, dotted, explain, refuse_booleans, unknown
from ldreg.exhibits.renderer import ExhibitInScale, Renderer
from ldreg.exhibits.settings import Settings
from ldreg.files import read_yaml
from ldreg.workflow.checks import check_runs
from ldreg.workflow.declared_exhibits import read_exhibits


class Scale:
    """A checked scale: its runs and its exhibits.

    The settings of a run come from, weakest first: the method's block in methods.yaml, the scale's `run`, the
    scale's `methods`, and the exhibit's grid. In a method's block, `backbones` holds settings for one
    backbone.
    """

    def __init__(self, content: Mapping[str, Any], file: str, folder: Path) -> None:
        """Check `content`, read from `file`; `folder` holds methods, augmentations and exhibits.yaml.

        Raises:
            LdregError: naming file, key, value and what is allowed.
        """
        refuse_booleans(content, ScaleFile, lambda location: (file, location))
        try:
            self.content = ScaleFile.model_validate(content)
        except ValidationError as error:
            raise explain(error, ScaleFile, lambda location: (file, location)) from error
        self.file = file
        self.folder = folder
        self.name = self.content.scale
        self._methods = read_yaml(folder / "methods.yaml")
        self._augmentations = read_yaml(folder / "augmentations.yaml")
        for name in self.content.methods:
            if name not in self._methods:
                raise unknown(f"{file}: methods", name, self._methods)
        for name in self.content.core:
            if name not in self.content.exhibits:
                raise unknown(f"{file}: core", name, self.content.exhibits)
        self._exhibits = read_exhibits(self.content, file, folder)
        self.exhibits: dict[str, Exhibit] = {name: each.block for name, each in self._exhibits.items()}
        # Every run is resolved here, so that any mistake is reported before anything is written.
        self.runs = {run: spec for name in self.exhibits for run, spec in self.runs_of(name).items()}
        check_runs(self)

    @classmethod
    def read(cls, path: str | Path) -> "Scale":
        """The scale that a file describes; the shared files lie beside it, else in `config/`."""
        path = Path(path)
        folder = path.parent if (path.parent / "methods.yaml").is_file() else Path("config")
        return cls(read_yaml(path), str(path), folder)

    def renderer_of(self, exhibit: str) -> Renderer:
        """The renderer of an exhibit."""
        return self._exhibits[exhibit].renderer

    def settings_of(self, exhibit: str) -> Settings:
        """The settings of an exhibit's renderer, as validated when the scale was read."""
        return self._exhibits[exhibit].settings

    def seeds_of(self, exhibit: str) -> tuple[int, ...]:
        """The seeds of an exhibit's own runs: those of its block, or else the scale's."""
        return self.exhibits[exhibit].seeds or self.content.seeds

    def taken_from(self, exhibit: str) -> list[str]:
        """The exhibits of this scale whose runs one exhibit takes."""
        return [other for other in self.exhibits[exhibit].runs_of if other in self.exhibits]

    @cache  # noqa: B019 - a scale lives as long as the process
    def runs_of(self, exhibit: str) -> dict[str, RunSpec]:
        """The runs that an exhibit needs, by name: those of its grids in order, then those it takes."""
        file, place = self._exhibits[exhibit].origin(("runs",))
        result = {}
        for index, grid in enumerate(self.exhibits[exhibit].runs):
            for point in product(grid, f"{file}: {dotted((*place, index))}"):
                for seed in self.seeds_of(exhibit):
                    spec = self._resolve(Overlay(file, (*place, index), point), seed)
                    result[self.name_of(spec)] = spec
        for other in self.taken_from(exhibit):
            result |= self.runs_of(other)
        return result

    def in_scale(self, exhibit: str) -> ExhibitInScale:
        """The exhibit within its scale, as its renderer checks it."""
        return ExhibitInScale(
            block=self.exhibits[exhibit],
            scale=self.content,
            scale_file=self.file,
            runs=self.runs_of(exhibit),
            where=self._exhibits[exhibit].where,
            usual=self._usual,
            taken_with=lambda file: self._taken_with(exhibit, file),
        )

    def run_files(self, exhibit: str) -> tuple[str, ...]:
        """The files that an exhibit reads from each run's folder, beside those that all exhibits read."""
        settings = self.settings_of(exhibit)
        files = self.renderer_of(exhibit).run_files(settings)
        if self.protocol_of(exhibit) == "paper":
            files += (LINEAR_FILES["paper"],)
        return tuple(dict.fromkeys(files))

    @property
    def measured(self) -> tuple[str, ...]:
        """What every run of this scale is measured by."""
        return measured_with(self.content.evaluation.linear)

    def protocol_of(self, exhibit: str) -> str:
        """The protocol of the linear accuracy that an exhibit shows: its own, else the scale's."""
        settings = self.settings_of(exhibit)
        return settings.linear if "linear" in settings.model_fields_set else self.content.report.linear

    def scale_files(self, exhibit: str) -> tuple[str, ...]:
        """The files that an exhibit reads below `results/<scale>`, beside its runs."""
        return self.renderer_of(exhibit).scale_files(self.settings_of(exhibit))

    def _taken_with(self, exhibit: str, file: str) -> list[str]:
        """Runs that are taken from exhibits which read `file` for each run."""
        others = [other for other in self.taken_from(exhibit) if file in self.run_files(other)]
        return list(dict.fromkeys(run for other in others for run in self.runs_of(other)))

    @cached_property
    def usual_epochs(self) -> int:
        """The number of epochs for which costs and time limits hold: the scale's, or else its first run's."""
        first = next(iter(self.runs.values()), None)
        return self.content.run.get("epochs") or (first.epochs if first else 1)

    def hours_of(self, run: str) -> float:
        """The time limit of a pretraining: `execution.hours`, or more in proportion to its epochs."""
        return self.content.execution.hours * max(1.0, self.runs[run].epochs / self.usual_epochs)

    def name_of(self, spec: RunSpec) -> str:
        """Folder name of a run of this scale."""
        return format_run(spec, self.base(spec.method, spec.backbone))

    def spec_of(self, run: str) -> RunSpec:
        """The spec that a folder name of this scale stands for: the inverse of `name_of`.

        A shortened name, which cannot be parsed, must be one of the scale's own runs.
        """
        if run in self.runs:
            return self.runs[run]
        values = parse_run(run)
        seed = values.pop("seed")
        return self._resolve(Overlay(f"run name {run!r}", (), values), seed)

    def _usual(self, method: str, backbone: str) -> dict[str, Any]:
        """The settings of the scale's default run, with LDReg's beta and k: where sweeps cross."""
        point = {"method": method, "backbone": backbone, "regularizer": "ldreg_l1"}
        spec = self._resolve(Overlay(self.file, ("run",), point), 0)
        return self.base(method, backbone).model_dump() | {"beta": spec.beta, "k": spec.k}

    @cache  # noqa: B019
    def base(self, method: str, backbone: str) -> RunSpec:
        """The scale's default run of a method on a backbone, whose settings folder names leave out."""
        values = {"method": method, "backbone": backbone, "regularizer": "none"}
        return self._resolve(Overlay(self.file, ("run",), values), 0)

    def _resolve(self, point: Overlay, seed: int) -> RunSpec:
        """The spec at one point of a grid."""
        if point.values.get("regularizer") == "none":
            # The unregularised run is one and the same at every point of a sweep over its settings.
            point = replace(point, values=without(point.values, "regularizer_start"))
        run = Overlay(self.file, ("run",), self.content.run)
        method = point.values.get("method", run.values.get("method"))
        if not isinstance(method, str) or method not in self._methods:
            place = point if "method" in point.values else run
            raise unknown(f"{place.file}: {dotted((*place.place, 'method'))}", method, self._methods)
        overlays = [
            *method_overlays(str(self.folder / "methods.yaml"), (method,), self._methods[method]),
            run,
            *method_overlays(self.file, ("methods", method), self.content.methods.get(method, {})),
            point,
        ]
        backbone = next((v.values["backbone"] for v in reversed(overlays) if "backbone" in v.values), None)
        values: dict[str, Any] = {}
        origins: dict[str, Overlay] = {}
        for overlay in overlays:
            if overlay.place[-2:-1] == ("backbones",) and overlay.place[-1] != backbone:
                continue
            values |= overlay.values
            origins |= dict.fromkeys(overlay.values, overlay)
        values = without(values, *unused_settings(values.get("regularizer")))

        def origin(location: Location) -> tuple[str, Location]:
            if location[0] == "views":
                return str(self.folder / "augmentations.yaml"), (values["augmentation"], *location[1:])
            # The error of a setting that a regulariser lacks names the place that asks for the regulariser.
            asked = origins.get("regularizer", run) if location[0] in REGULARIZER_SETTINGS else run
            overlay = origins.get(str(location[0]), asked)
            return overlay.file, (*overlay.place, *location)

        name = values.get("augmentation")
        if not isinstance(name, str) or name not in self._augmentations:
            file, place = origin(("augmentation",))
            raise unknown(f"{file}: {dotted(place)}", name, self._augmentations)
        refuse_booleans({**values, "views": self._augmentations[name]}, RunSpec, origin)
        views = scale_jitter(self._augmentations[name], values.get("jitter", 1.0))
        try:
            return RunSpec(**values, views=views, scale=self.name, seed=seed)
        except ValidationError as error:
            raise explain(error, RunSpec, origin) from error
