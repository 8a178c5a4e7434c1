"""From a folder of filename-labelled images to a plan of what goes where, and from the plan to the disk.

The steps of `organize_dataset.py`, in its order. A row that gets a `reason` takes no part in the later steps but
stays in the list, so that no file is skipped silently.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path

from tqdm import tqdm

from artifact_detection.images.decoding import ImageError, read_image
from artifact_detection.labels import CLASSES, IMAGE_SUFFIXES
from artifact_detection.labels_table import LabelsTable
from artifact_detection.system.files import sha256_file
from artifact_detection.system.paths import find_files, same_name
from artifact_detection.system.tables import read_table, write_table
from artifact_detection.system.threads import in_threads
from artifact_detection.system.transfers import CONFLICT, DONE, GONE, MODES, PENDING, Transfer, carry_out_all

NAME = "manifest.csv"
PLANNED, PLACED, SKIPPED = "planned", "placed", "skipped"
NO_LABEL = "no label in its name"


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


def scan(folder: Path, split: str, label_of: Callable[[Path], int | None], mode: str) -> list[Row]:
    """A row for every file of one split's folder, judged by its name alone."""
    return [judge(path, problem, split, label_of, mode) for path, problem in find_files(folder)]


def judge(path: Path, problem: str, split: str, label_of: Callable[[Path], int | None], mode: str) -> Row:
    label = label_of(path)
    reason = problem or judge_name(path, label, mode)
    return Row(path, "", split, None if reason else label, mode=mode, reason=reason)


def judge_name(path: Path, label: int | None, mode: str) -> str:
    """Why a file is skipped before it is opened; empty if it is not."""
    if os.fsencode(path).decode("utf-8", "ignore") != str(path):
        return "name is not valid UTF-8"
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return "not an image by its name"
    if label is None:
        return NO_LABEL
    return "symbolic link, cannot be moved" if mode == "move" and path.is_symlink() else ""


def judge_by_table(rows: Iterable[Row], table: LabelsTable) -> None:
    """Give the rows that the table has no label for its reason; again when their bytes are known."""
    for row in rows:
        if row.reason in ("", NO_LABEL) and (reason := table.why_not(row.source, row.sha256)):
            row.reason, row.label = reason, None


def inspect(row: Row, known: str = "") -> None:
    """Fill in a row's hash, size and reason. Bytes that have the `known` hash were decoded by an earlier run."""
    try:
        row.bytes = row.source.stat().st_size
        row.sha256 = sha256_file(row.source)
        if row.sha256 != known:
            read_image(row.source)
    except ImageError as error:
        row.reason = error.reason
    except OSError as error:
        row.reason = f"unreadable: {error.strerror}"


def inspect_all(found: list[Row], earlier: list[Row]) -> None:
    """Read every file that its name has not ruled out: is it one whole image, and what are its bytes?"""
    known = {row.source: row.sha256 for row in earlier}
    rows = [row for row in found if not row.reason]
    done = in_threads(lambda row: inspect(row, known.get(row.source, "")), rows)
    for _ in tqdm(done, total=len(rows), desc="checking", unit="file", disable=None):
        pass


def merge(found: list[Row], earlier: list[Row], output: Path) -> list[Row]:
    """All rows: the earlier ones as they were, and what is new.

    A file that changed since replaces nothing. One that was copied or linked before and has another folder now
    is the same file, not a second one.
    """
    kept = {row.source: row for row in earlier}
    homeless = {identity(row): row for row in earlier if row.mode != "move" and not row.source.exists()}
    new = []
    for row in found:
        before = None if row.reason else kept.get(row.source) or homeless.pop(identity(row), None)
        if before and before.sha256 == row.sha256:
            before.source = row.source
            continue
        if before and os.path.lexists(output / before.destination):
            row.reason = f"changed since it was organized: {before.destination} holds its earlier bytes"
        elif before:
            del kept[row.source]
        new.append(row)
    return [*kept.values(), *new]


def identity(row: Row) -> tuple:
    """What stays the same when the folder of a file is renamed."""
    return row.split, row.label, row.source.name, row.sha256


def name_destinations(rows: list[Row]) -> None:
    """Give every new row a destination that no other has, also where upper and lower case are the same.

    The upper folders come first in `rows`, so `train/a_1.png` keeps its name and `train/x/a_1.png` becomes
    `x-a_1.png` if there are both.
    """
    taken = {same_name(row.destination) for row in rows}
    for row in rows:
        if not (row.reason or row.destination):
            row.destination = next(name for name in candidates(row) if same_name(name) not in taken)
            taken.add(same_name(row.destination))


def candidates(row: Row) -> Iterator[str]:
    """Destinations for a row, the best first."""
    folder, name = f"{row.split}/{CLASSES[row.label]}", row.source.name
    yield f"{folder}/{name}"
    name = f"{row.source.parent.name}-{name}"
    yield f"{folder}/{name}"
    yield from (f"{folder}/{number}-{name}" for number in count(2))


def settle(rows: list[Row], output: Path) -> None:
    """Give every row its status by what the disk says, never by what the manifest says."""
    usable = [row for row in rows if not row.reason]
    states = in_threads(lambda row: row.transfer(output).state(), usable)
    for state, row in zip(states, usable, strict=True):
        if state in (PENDING, DONE):
            row.status = PLANNED if state == PENDING else PLACED
        elif state == CONFLICT and row.status == PLACED:
            row.reason = f"changed since it was organized: {row.destination}"
        else:
            gone = state == GONE
            row.reason = "gone from both places" if gone else f"another file has its place: {row.destination}"
            row.status, row.destination = SKIPPED, ""


def place(rows: list[Row], output: Path) -> int:
    """Carry out what is planned; return how many files that was. The plan is on disk before the first one."""
    planned = [row for row in rows if row.status == PLANNED]
    if planned:
        write_manifest(output, rows)
    errors = carry_out_all([row.transfer(output) for row in planned])
    errors = tqdm(errors, desc="placing", total=len(planned), unit="file", disable=None)
    for error, row in zip(errors, planned, strict=True):
        row.reason = f"not placed: {error.strerror or error}" if error else ""
        row.status = PLANNED if error else PLACED
    write_manifest(output, rows)
    return sum(row.status == PLACED for row in planned)
