"""The settings that the paper gives: the only reader of config/paper/settings.csv.

This module imports only the standard library and pydantic, because the workflow asks for captions while it is
parsed. The columns of the file are explained in config/README.md.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ldreg.config.run_spec import RunSpec, ViewSettings
from ldreg.errors import LdregError, unknown
from ldreg.exhibits.output.labels import present, same

# The paper's tables of settings hold for the runs of its main table.
MAIN = "table1"
# Exhibits with the usual settings of methods and regularisers that Table 1 does not have.
MAIN_OF = dict.fromkeys(("moco", "vicreg", "barlow_twins"), "table15")
VARIANTS = ("table12", "table13", "table16")
# Exhibits whose runs have another name in the paper's settings.
RUNS_OF = {"table2": "table2_encoders", "table3": "table3_encoders"}
# Keys that a run's spec does not have begin with a block's name.
NOT_OF_RUNS = ("optimizer.", "evaluation.", "execution.", "transfer.", "detection.")
# Who gives a value, as the file says it and in words.
STATUS = {
    "printed": "printed",
    "code": "authors' code",
    "own paper": "method's own paper",
    "own code": "method's own code",
    "assumed": "assumed",
}
# A row with a value of one of these is about runs with that value alone. Batch sizes follow from epochs.
_BUDGET = ("epochs", "batch_size")


@dataclass(frozen=True)
class SettingRow:
    """One line of the file.

    The cells from `exhibit` to `batch_size` say which runs the line is about. Several words mean any of
    them, an empty cell means all.
    """

    source: str
    status: str
    exhibit: str
    method: str
    backbone: str
    regularizer: str
    epochs: str
    batch_size: str
    key: str
    value: str
    here: str

    def names(self, column: str, *values: Any) -> bool:
        """Whether the row is about runs that have one of these values, numbers compared as numbers."""
        words = getattr(self, column).split()
        return not words or any(same(word, value) for word in words for value in values)


@dataclass(frozen=True)
class PaperSetting:
    """One setting of the paper.

    source, status: where its values stand, and whether they are printed there, in words; several of either
    are separated by semicolons. here: what is done instead, where no setting of ours says it.
    regularizers: those whose runs have the setting; empty means all.
    """

    values: tuple[str, ...]
    source: str
    status: str
    here: str = ""
    regularizers: tuple[str, ...] = ()


class PaperSettings:
    """The paper's settings, looked up by run, by method and encoder, or by block of the scale file."""

    def __init__(self, path: Path) -> None:
        """Read the CSV.

        Raises:
            LdregError: it is missing, has other columns, or a line has an unknown key or status.
        """
        self._rows = _read(path)
        self._of_key: dict[str, list[SettingRow]] = {}
        for row in self._rows:
            self._of_key.setdefault(row.key, []).append(row)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that runs have; not those inside the optimiser or of the scale's other blocks."""
        return tuple(key for key in self._of_key if not key.startswith(NOT_OF_RUNS))

    def encoders(self, method: str) -> list[str]:
        """The encoders on which the paper trains a method."""
        rows = [row for row in self._rows if row.method and row.names("method", method)]
        return list(dict.fromkeys(word for row in rows for word in row.backbone.split()))

    def of(self, method: str, backbone: str) -> dict[str, PaperSetting]:
        """The paper's settings for a method of its main table on one of its encoders, by key."""
        run = {"method": method, "backbone": backbone}
        usual = {row for key in self._of_key for row in self._usual(key, run)}
        rows = [row for row in self._rows if row in usual]
        given: dict[str, list[SettingRow]] = {}
        for row in rows:
            given.setdefault(row.key, []).append(row)
        return {key: _paper_setting(each) for key, each in given.items()}

    def of_all(self, prefix: str) -> dict[str, PaperSetting]:
        """The paper's settings for all runs whose keys begin with `prefix`, by key without the prefix."""
        return {
            key.removeprefix(prefix): _paper_setting(rows)
            for key, rows in self._of_key.items()
            if key.startswith(prefix)
        }

    def of_run(self, key: str, run: Mapping[str, Any], exhibit: str = "", swept: bool = False) -> list[str]:
        """The values that the paper gives for a run like this one; empty if it gives none.

        They are looked up in the same exhibit, then in the method's main table, then in the exhibits of other
        regularisers. A setting that an exhibit sweeps (`swept`) without values of its own in the paper may
        have any value that the paper gives anywhere.
        """
        about = self._about(key, run)
        own = RUNS_OF.get(exhibit, exhibit)
        if swept and not any(row.exhibit and row.names("exhibit", own) for row in about):
            found = about
        else:
            places = (own, MAIN_OF.get(run["method"], MAIN), *VARIANTS)
            tiers = ([row for row in about if row.names("exhibit", place)] for place in places)
            found = next(filter(None, tiers), [])
        if key == "jitter" and not found:  # Figure 2b alone varies it; Tables 10 and 11 give the unscaled
            return [str(RunSpec.model_fields["jitter"].default)]
        return [row.value for row in self._of_budget(key, run, exhibit, found)]

    def _about(self, key: str, run: Mapping[str, Any]) -> list[SettingRow]:
        """The rows of a key for runs like this one; settings that the run does not name are ignored."""
        columns = [column for column in ("method", "backbone", "regularizer") if column in run]
        rows = self._of_key.get(key, ())
        return [row for row in rows if all(row.names(column, run[column]) for column in columns)]

    def _usual(self, key: str, run: Mapping[str, Any]) -> list[SettingRow]:
        """The rows of a key for the runs of the main table."""
        rows = [row for row in self._about(key, run) if row.names("exhibit", MAIN)]
        for axis in _before(key):
            values = [row.value for row in self._usual(axis, run)]
            rows = [row for row in rows if row.names(axis, *values)]
        return rows

    def _of_budget(
        self, key: str, run: Mapping[str, Any], exhibit: str, rows: list[SettingRow]
    ) -> list[SettingRow]:
        """The rows whose epochs and batch size are those of the run, out of rows that name these.

        A run at another scale has no such rows. It gets those of the paper's own epochs for a run like it.
        """
        axes = [axis for axis in _BUDGET if present(run.get(axis))]
        alike = [row for row in rows if all(row.names(axis, run[axis]) for axis in axes)]
        if alike:
            return alike
        stands_for = {axis: self.of_run(axis, run, exhibit) for axis in _before(key)}
        alike = [row for row in rows if all(row.names(axis, *stands_for[axis]) for axis in stands_for)]
        return alike or rows


def _before(key: str) -> tuple[str, ...]:
    """The settings on whose values the rows of `key` may depend."""
    return _BUDGET[: _BUDGET.index(key)] if key in _BUDGET else _BUDGET


def _paper_setting(rows: Sequence[SettingRow]) -> PaperSetting:
    regularizers = [word for row in rows for word in row.regularizer.split()]
    return PaperSetting(
        tuple(dict.fromkeys(row.value for row in rows)),
        "; ".join(dict.fromkeys(row.source for row in rows)),
        "; ".join(dict.fromkeys(STATUS[row.status] for row in rows)),
        "; ".join(dict.fromkeys(row.here for row in rows if row.here)),
        tuple(dict.fromkeys(regularizers)) if all(row.regularizer for row in rows) else (),
    )


def _read(path: Path) -> list[SettingRow]:
    if not path.is_file():
        raise LdregError(f"{path}: no such file (the paper's settings)")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or ())
            return [_checked(path, reader.line_num, cells) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LdregError(f"{path}: cannot be read as CSV: {error}") from error


def _check_columns(path: Path, found: Iterable[str]) -> None:
    columns = [field.name for field in fields(SettingRow)]
    for column in found:
        if column not in columns:
            raise unknown(f"{path}: column", column, columns)
    if lacking := [column for column in columns if column not in found]:
        raise LdregError(f"{path}: no column {', '.join(lacking)}")


def _checked(path: Path, line: int, cells: dict[str, str]) -> SettingRow:
    where = f"{path}: line {line}"
    if None in cells or None in cells.values():
        raise LdregError(
            f'{where}: other than {len(fields(SettingRow))} cells; write a comma in a cell as "a, b"'
        )
    row = SettingRow(**cells)
    for column in ("source", "key", "value"):
        if not getattr(row, column):
            raise LdregError(f"{where}: {column}: empty; it should say something")
    if row.status not in STATUS:
        raise unknown(f"{where}: status", row.status, STATUS)
    allowed = [*RunSpec.model_fields, *(f"views.{key}" for key in ViewSettings.model_fields)]
    # Keys of the scale's other blocks need not be settings of ours.
    known = row.key.startswith(NOT_OF_RUNS)
    if not known and re.sub(r"^views\.\d\.", "views.", row.key) not in allowed:
        raise unknown(f"{where}: key", row.key, allowed)
    return row
