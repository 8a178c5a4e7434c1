"""dataset/manifest.csv: what `organize_dataset.py` placed where, what it skipped, and why."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from artifact_detection.labels import CLASSES
from artifact_detection.system.transfers import MODES, Transfer, read_table, write_table

NAME = "manifest.csv"
PLANNED, PLACED, SKIPPED = "planned", "placed", "skipped"


class ManifestError(Exception):
    """The manifest is damaged: nothing is done on its word."""


@dataclass(slots=True)
class Row:
    """One file of the source. `reason` says what is wrong with it; `destination` is empty if it was skipped."""

    source: Path  # in the file: relative to the manifest's folder if it lies beside that folder
    destination: str  # relative to the manifest's folder, with forward slashes
    split: str
    label: int | None  # index in CLASSES
    sha256: str = ""
    bytes: int | None = None
    mode: str = ""
    status: str = SKIPPED
    reason: str = ""

    def transfer(self, folder: Path) -> Transfer:
        return Transfer(self.source, folder / self.destination, self.mode, self.sha256)

    @property
    def kind_of_problem(self) -> str:
        return self.reason.split(":")[0]


COLUMNS = tuple(field.name for field in fields(Row))


def write_manifest(folder: Path, rows: Iterable[Row]) -> None:
    """Write the rows in the order of their sources, atomically; a manifest that says the same is left alone."""
    ordered = sorted(rows, key=lambda row: (str(row.source), row.status))
    write_table(folder / NAME, COLUMNS, (_record(row, folder) for row in ordered))


def read_manifest(folder: Path) -> list[Row]:
    """The rows of a folder's manifest, none if it has no manifest. Raises ManifestError if it is damaged."""
    path = folder / NAME
    if not path.exists():
        return []
    try:
        return [_row(record, folder) for record in read_table(path, COLUMNS)]
    except ValueError as error:
        raise ManifestError(f"{path} is damaged: {error}") from error


def placed_rows(folder: Path) -> list[Row]:
    """The rows that have a destination, done or only planned, as if nothing were wrong with them."""
    return [replace(row, reason="") for row in read_manifest(folder) if row.status != SKIPPED]


def printable(text: str | Path) -> str:
    """Text that any terminal and any UTF-8 file can hold: odd bytes and control characters are escaped."""
    text = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _record(row: Row, folder: Path) -> dict[str, str]:
    source = os.path.relpath(row.source, folder) if row.source.is_relative_to(folder.parent) else row.source
    values = {name: getattr(row, name) for name in COLUMNS} | {"source": Path(source).as_posix()}
    texts = {name: "" if value is None else str(value) for name, value in values.items()}
    return {name: text.encode("utf-8", "backslashreplace").decode("utf-8") for name, text in texts.items()}


def _row(record: dict[str, str], folder: Path) -> Row:
    """Raises ValueError unless the record is one that `_record` could have written."""
    record = {name: record[name] for name in COLUMNS}
    source, destination = (Path(os.path.normpath(folder / record[name])) for name in ("source", "destination"))
    kept = record["status"] in (PLANNED, PLACED)
    known = record["label"] in map(str, range(len(CLASSES))) and record["mode"] in MODES
    if kept and not (known and destination != folder and destination.is_relative_to(folder)):
        raise ValueError(f"not a row of this folder: {', '.join(record.values())}")
    label, size = (int(record[name]) if record[name] else None for name in ("label", "bytes"))
    return Row(**(record | {"source": source, "label": label, "bytes": size}))
