"""From a scale file to run specs and exhibits: pure functions of the configuration."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ldreg.catalogue.regularizers import REGULARIZER_SETTINGS
from ldreg.config.grids import (
    SETTINGS,
    Overlay,
    keys_and_values,
    method_overlays,
    product,
    scale_jitter,
    unused_settings,
    without,
)
from ldreg.config.run_names import format_run, parse_run
from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Exhibit, ScaleFile
from ldreg.errors import LdregError, Location, dotted, explain, refuse_booleans, unknown
from ldreg.exhibits import RENDERERS
from ldreg.exhibits.output.labels import METRICS
from ldreg.exhibits.settings import REPORTED_AXES
from ldreg.files import read_yaml
from ldreg.workflow.checks import check_runs

# Names of the workflow's own rules; each exhibit is a rule named like it.
RULES = (
    "all",
    "core",
    "data",
    "pretrain",
    "measure",
    "offer",
    "transfer",
    "tsne",
    "compose",
    "coco",
    "detect",
    "synthetic",
    "lid_error",
    "step_cost",
    "site",
)


class Scale:
    """A checked scale: its runs and its exhibits.

    Settings of a run, weakest first: the method's block in methods.yaml, the scale's `run`, the scale's
    `methods`, the exhibit's grid; within a method's block, `backbones` holds what is said for one backbone.
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
        # Every run is resolved here, so that a mistake anywhere is told before anything is written.
        self.runs = {run: spec for name in self.exhibits for run, spec in self.runs_of(name).items()}
        check_runs(self)

    @classmethod
    def read(cls, path: str | Path) -> "Scale":
        """The scale that a file describes; the shared files lie beside it, else in `config/`."""
        path = Path(path)
        folder = path.parent if (path.parent / "methods.yaml").is_file() else Path("config")
        return cls(read_yaml(path), str(path), folder)

    @cached_property
    def exhibits(self) -> dict[str, Exhibit]:
        """Exhibits by name: the blocks of exhibits.yaml with what the scale file says over them."""
        shared_file = str(self.folder / "exhibits.yaml")
        shared = read_yaml(self.folder / "exhibits.yaml")
        result = {}
        for name, own in self.content.exhibits.items():
            own = own or {}
            if name in RULES:
                raise LdregError(
                    f"{self.file}: exhibits.{name}: {name!r} is not allowed; it should be another name"
                    f" than those of the workflow's own rules: {', '.join(RULES)}"
                )
            if name not in shared and "renderer" not in own:
                raise unknown(f"{self.file}: exhibits", name, shared)
            block = keys_and_values(shared.get(name, {}), f"{shared_file}: {name}")

            def origin(
                location: Location, name: str = name, own: Mapping[str, Any] = own
            ) -> tuple[str, Location]:
                if location[0] in own or name not in shared:
                    return self.file, ("exhibits", name, *location)
                return shared_file, (name, *location)

            refuse_booleans({**block, **own}, Exhibit, origin)
            try:
                result[name] = Exhibit.model_validate({**block, **own})
            except ValidationError as error:
                raise explain(error, Exhibit, origin) from error
            if result[name].renderer not in RENDERERS:
                file, place = origin(("renderer",))
                raise unknown(f"{file}: {dotted(place)}", result[name].renderer, RENDERERS)
            self._check_runs(name, result[name], shared, origin)
            self._check_settings(result[name], lambda location, of=origin: of(("settings", *location)))
        return result

    def _check_runs(
        self,
        name: str,
        exhibit: Exhibit,
        shared: Mapping[str, Any],
        origin: Callable[[Location], tuple[str, Location]],
    ) -> None:
        """Check that an exhibit has the runs that its renderer needs, or takes some, and not its own."""
        declared = self.content.exhibits
        for other in exhibit.runs_of:
            file, place = origin(("runs_of",))
            if other not in {**shared, **declared}:
                raise unknown(f"{file}: {dotted(place)}", other, {**shared, **declared})
            if name in self._takes(other, shared):
                raise LdregError(
                    f"{file}: {dotted(place)}: {other!r} is not allowed; it takes the runs of {name} itself"
                )
        if RENDERERS[exhibit.renderer].needs_runs and not (
            exhibit.runs or set(exhibit.runs_of) & set(declared)
        ):
            file, place = origin(("runs_of" if exhibit.runs_of else "runs",))
            wrong = "no exhibit of this scale" if exhibit.runs_of else "missing"
            raise LdregError(f"{file}: {dotted(place)}: {wrong}; renderer {exhibit.renderer} needs some")

    def _takes(self, exhibit: str, shared: Mapping[str, Any]) -> set[str]:
        """An exhibit, those of this scale whose runs it takes, whose runs these take, and so on."""
        found, wanted = set(), [exhibit]
        while wanted:
            name = wanted.pop()
            if name not in found and name in self.content.exhibits:
                found.add(name)
                block = {**shared.get(name, {}), **(self.content.exhibits[name] or {})}
                wanted += block.get("runs_of", ())
        return found

    def _check_settings(self, exhibit: Exhibit, origin: Callable[[Location], tuple[str, Location]]) -> None:
        """Check what a renderer will be told: now, and not when everything has been trained.

        What `inputs` adds to it (base, and the scale's `report`) has been checked with the scale.
        """
        model = RENDERERS[exhibit.renderer].settings
        refuse_booleans(exhibit.settings, model, origin)
        try:
            settings = model.model_validate(exhibit.settings)
        except ValidationError as error:
            raise explain(error, model, origin) from error
        names = {"axes": SETTINGS, "base": SETTINGS, "paper_says": METRICS}
        names |= dict.fromkeys(("paper_base", "paper_values"), REPORTED_AXES)
        for key, allowed in names.items():
            for value in getattr(settings, key, ()):
                if value not in allowed:
                    file, place = origin((key,))
                    raise unknown(f"{file}: {dotted(place)}", value, allowed)
        over = getattr(settings, "over", "")
        if over and over not in SETTINGS:
            file, place = origin(("over",))
            raise unknown(f"{file}: {dotted(place)}", over, SETTINGS)
        block = self.content.transfer
        for dataset in getattr(settings, "datasets", ()):
            if block is None or dataset not in block.datasets:
                file, place = origin(("datasets",))
                offered = ", ".join(block.datasets) if block else "none, as the scale has no transfer"
                raise LdregError(
                    f"{file}: {dotted(place)}: {dataset} is not transferred to; allowed (transfer.datasets):"
                    f" {offered}"
                )
        if "detection.json" in settings.run_files and self.content.detection is None:
            raise LdregError(f"{self.file}: detection: missing; renderer {exhibit.renderer} needs it")
        if getattr(settings, "plane", False) and not {"figure1", "figure3"} <= set(self.content.exhibits):
            file, place = origin(("plane",))
            raise LdregError(
                f"{file}: {dotted(place)}: true is not allowed; exhibits figure1 and figure3 must be declared"
            )
        if "mlid" in exhibit.settings:
            measured = self.content.evaluation
            for key, allowed in (("k", measured.lid_ks), ("batch_rows", (None, measured.lid_batch_rows))):
                value = getattr(settings.mlid, key)
                if value not in allowed:
                    file, place = origin(("mlid", key))
                    choice = ", ".join("null" if each is None else str(each) for each in allowed)
                    raise LdregError(f"{file}: {dotted(place)}: {value} is not measured; allowed: {choice}")

    def seeds_of(self, exhibit: str) -> tuple[int, ...]:
        """The seeds of the runs that one exhibit has itself: its own, else the scale's."""
        return self.exhibits[exhibit].seeds or self.content.seeds

    def taken_from(self, exhibit: str) -> list[str]:
        """The exhibits of this scale whose runs one exhibit takes."""
        return [other for other in self.exhibits[exhibit].runs_of if other in self.exhibits]

    @cache  # noqa: B019 - a scale lives as long as the process
    def runs_of(self, exhibit: str) -> dict[str, RunSpec]:
        """The runs that one exhibit needs, by name, in the order its grids give, then those of others."""
        own = "runs" in (self.content.exhibits[exhibit] or {})
        file = self.file if own else str(self.folder / "exhibits.yaml")
        place: Location = ("exhibits", exhibit, "runs") if own else (exhibit, "runs")
        result = {}
        for index, grid in enumerate(self.exhibits[exhibit].runs):
            for point in product(grid, f"{file}: {dotted((*place, index))}"):
                for seed in self.seeds_of(exhibit):
                    spec = self._resolve(Overlay(file, (*place, index), point), seed)
                    result[self.name_of(spec)] = spec
        for other in self.taken_from(exhibit):
            result |= self.runs_of(other)
        return result

    @cached_property
    def usual_epochs(self) -> int:
        """The epochs that costs and time limits are of: the scale's own, else its first run's."""
        first = next(iter(self.runs.values()), None)
        return self.content.run.get("epochs") or (first.epochs if first else 1)

    def hours_of(self, run: str) -> float:
        """The time limit of a pretraining: `execution.hours`, or more as its epochs are more than usual."""
        return self.content.execution.hours * max(1.0, self.runs[run].epochs / self.usual_epochs)

    def name_of(self, spec: RunSpec) -> str:
        """Folder name of a run of this scale."""
        return format_run(spec, self.base(spec.method, spec.backbone))

    def spec_of(self, run: str) -> RunSpec:
        """The spec that a folder name of this scale stands for: the inverse of `name_of`."""
        values = parse_run(run)
        seed = values.pop("seed")
        return self._resolve(Overlay(f"run name {run!r}", (), values), seed)

    def regularizer_defaults(self, method: str, backbone: str) -> dict[str, Any]:
        """The method's beta and k at this scale: the point where the axes of a sweep cross."""
        point = {"method": method, "backbone": backbone, "regularizer": "ldreg_l1"}
        spec = self._resolve(Overlay(self.file, ("run",), point), 0)
        return {"beta": spec.beta, "k": spec.k}

    @cache  # noqa: B019
    def base(self, method: str, backbone: str) -> RunSpec:
        """The scale's default run of a method on a backbone: what folder names leave unsaid."""
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
            # What a regulariser lacks is a matter of where it is asked for.
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
