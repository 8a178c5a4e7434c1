"""From a folder of filename-labelled images to a plan of what goes where, and from the plan to the disk.

The steps of `organize_dataset.py`, in its order. A row that gets a `reason` takes no part in the later steps but
stays in the list, so that no file is skipped silently.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from artifact_detection.images.decoding import ImageError, decode_file
from artifact_detection.labels import CLASSES, IMAGE_SUFFIXES
from artifact_detection.labels_table import LabelsTable
from artifact_detection.system.files import sha256_file
from artifact_detection.system.manifest import NAME, Manifest, ManifestError, ManifestRow
from artifact_detection.system.paths import FreeNames, find_files
from artifact_detection.system.threads import in_threads
from artifact_detection.system.transfers import CONFLICT, PENDING

PLANNED, PLACED, SKIPPED = "planned", "placed", "skipped"
NO_LABEL = "no label in its name"


@dataclass(slots=True)
class Row(ManifestRow):
    """One file of the source. `reason` says what is wrong with it; `destination` is empty if it was skipped."""

    split: str = ""
    label: int | None = None  # index in CLASSES
    status: str = SKIPPED
    reason: str = ""

    @property
    def kind_of_problem(self) -> str:
        return self.reason.split(":")[0]


def placed_rows(manifest: Manifest[Row]) -> list[Row]:
    """The rows that have a destination, done or only planned, as if nothing were wrong with them.

    Raises ManifestError for one that this script cannot have written.
    """
    rows = [replace(row, reason="") for row in manifest.read() if row.status != SKIPPED]
    for row in rows:
        if row.status not in (PLANNED, PLACED) or str(row.label) not in map(str, range(len(CLASSES))):
            raise ManifestError(f"{manifest.folder / NAME} is damaged: {row.source} -> {row.destination}")
        row.label = int(row.label)
    return rows


def scan(folder: Path, split: str, label_of: Callable[[Path], int | None], mode: str, output: Path) -> list[Row]:
    """A row for every file of one split's folder but those in `output`, judged by its name alone."""
    return [judge(path, problem, split, label_of, mode) for path, problem in find_files(folder, output)]


def judge(path: Path, problem: str, split: str, label_of: Callable[[Path], int | None], mode: str) -> Row:
    label = label_of(path)
    reason = problem or judge_name(path, label, mode)
    return Row(path, "", mode, split=split, label=None if reason else label, reason=reason)


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


def inspect(row: Row, before: Row | None = None) -> None:
    """Fill in a row's hash, size and reason. Bytes that the row `before` has were decoded by an earlier run."""
    try:
        row.bytes = row.source.stat().st_size
        if before and row.bytes == before.bytes and sha256_file(row.source) == before.sha256:
            row.sha256 = before.sha256
        else:
            data = decode_file(row.source).data  # what is hashed is what was looked at
            row.bytes, row.sha256 = len(data), hashlib.sha256(data).hexdigest()
    except ImageError as error:
        row.reason = error.reason
    except OSError as error:
        row.reason = f"unreadable: {error.strerror}"


def inspect_all(found: list[Row], earlier: list[Row]) -> None:
    """Read every file that its name has not ruled out: is it one whole image, and what are its bytes?"""
    known = {row.source: row for row in earlier}
    rows = [row for row in found if not row.reason]
    done = in_threads(lambda row: inspect(row, known.get(row.source)), rows)
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
    names = FreeNames(row.destination for row in rows)
    for row in rows:
        if not (row.reason or row.destination):
            folder, name = f"{row.split}/{CLASSES[row.label]}", row.source.name
            row.destination = names.take(f"{folder}/{name}", f"{folder}/{row.source.parent.name}-{name}")


def sort_out(rows: list[Row], earlier: list[Row], manifest: Manifest[Row]) -> None:
    """Give every row its status by what the disk says, never by what the manifest says."""
    usable = [row for row in rows if not row.reason]
    for row, (state, reason) in zip(usable, manifest.reasons(usable, earlier), strict=True):
        if not reason:
            row.status = PLANNED if state == PENDING else PLACED
        elif state == CONFLICT and row.status == PLACED:
            row.reason = f"changed since it was organized: {row.destination}"
        else:
            row.reason, row.status, row.destination = reason, SKIPPED, ""


def place(rows: list[Row], manifest: Manifest[Row]) -> int:
    """Carry out what is planned; return how many files that was. The plan is on disk before the first one."""
    planned = [row for row in rows if row.status == PLANNED]
    if planned:
        manifest.write(rows)
    for row, row.reason in zip(planned, manifest.carry_out(planned, "placing"), strict=True):
        row.status = PLANNED if row.reason else PLACED
    manifest.write(rows)
    return sum(row.status == PLACED for row in planned)
