"""Labels from a table: any CSV that names files and says what they are, such as the review page's decisions.csv."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN, class_numbers
from artifact_detection.system.tables import read_spreadsheet

PATH_COLUMNS = ("path", "filename", "file", "image", "name")
LABEL_COLUMNS = ("label", "decision", "verdict")  # the first that there is
DECISIONS = {  # the filter's words; a review is no label
    **dict.fromkeys(("keep", "kept"), CLASSES[CLEAN]),
    **dict.fromkeys(("reject", "rejected"), CLASSES[ARTIFACT]),
    "review": "",
}


@dataclass
class LabelsTable:
    """labels: class index, or None for a row that says none or two, by what the table calls a file.

    hashes: SHA-256 of the bytes that were judged, where the table says it. roots: folders that names start from.
    is_decided: it speaks the filter's words, so that no other label could mean artifacts.
    """

    path: Path
    labels: dict[str, int | None]
    hashes: dict[str, str]
    contradicted: set[str]
    roots: Sequence[Path] = ()
    is_decided: bool = False
    used: dict[str, set[Path]] = field(default_factory=dict)

    def label_of(self, file: Path) -> int | None:
        name = self._name_of(file)
        if name is None:
            return None
        self.used.setdefault(name, set()).add(file)
        return self.labels[name]

    def why_not(self, file: Path, sha256: str = "") -> str:
        """Why a file does not get its label, empty if it does; sha256: of its bytes, once that is known."""
        name, table = self._name_of(file), self.path.name
        if name is None:
            return f"no row in {table}"
        if name in self.contradicted:
            return f"two labels in {table}"
        if self.labels[name] is None:
            return f"no label in {table}"
        if len(self.used.get(name, ())) > 1:
            return f"one of several files that {table} calls so"
        is_changed = sha256 and self.hashes.get(name, sha256) != sha256
        return f"changed since it was judged in {table}" if is_changed else ""

    def unmatched(self) -> list[str]:
        return [name for name in self.labels if name not in self.used]

    def files(self) -> list[Path]:
        """The files that the table names by a path that leads to them."""
        return [Path(name) for name in self.labels if os.path.isabs(name) and os.path.isfile(name)]

    def _name_of(self, file: Path) -> str | None:
        inside = (file.relative_to(root) for root in self.roots if file.is_relative_to(root))
        return next((name for name in map(str, (file, *inside, file.name)) if name in self.labels), None)


def read_labels(path: Path, artifact_label: str | None, roots: Sequence[Path] = ()) -> LabelsTable:
    """The labels of a table. Raises ValueError if it is none or its words are unknown, OSError if it cannot be read.

    A path in it starts where the user stands, in the table's own folder, or in one of `roots`; a name alone means the
    one file that is called so. Where several columns say a label, they must agree.
    """
    rows = read_spreadsheet(path)
    files = next((one for one in PATH_COLUMNS if one in rows[0]), None)
    words = [one for one in LABEL_COLUMNS if one in rows[0]]
    if not (files and words):
        needed = " and ".join(f"one of {', '.join(names)}" for names in (PATH_COLUMNS, LABEL_COLUMNS))
        raise ValueError(f"{path}: it needs the columns {needed}; there are {', '.join(rows[0])}")
    numbers = [_numbers(rows, column, artifact_label, path) for column in words]
    refuse_nameless([row[files] for row in rows], path)
    is_decided = {row[column].strip().casefold() for row in rows for column in words} <= DECISIONS.keys()
    table = LabelsTable(path, {}, {}, set(), roots, is_decided)
    for row, *said in zip(rows, *numbers, strict=True):
        name, label = _place(row[files], path.parent), None if said[0] < 0 else said[0]
        if table.labels.setdefault(name, label) != label or len(set(said)) > 1:
            table.contradicted.add(name)
        if row.get("sha256"):
            table.hashes[name] = row["sha256"].strip().lower()
    table.labels.update(dict.fromkeys(table.contradicted))
    return table


def _numbers(rows: Sequence[dict[str, str]], column: str, artifact_label: str | None, path: Path) -> list[int]:
    """`class_numbers` of a column. Raises ValueError that names it."""
    try:
        return class_numbers(
            (DECISIONS.get(row[column].strip().casefold(), row[column]) for row in rows), artifact_label
        )
    except ValueError as error:
        raise ValueError(f"{path}: {column}: {error}") from error


def refuse_nameless(names: Sequence[str], path: Path) -> None:
    """Raises ValueError if a row of a table names no file, or the last one is a sum, as spreadsheets have it."""
    number = next((number for number, name in enumerate(names, 1) if not name.strip()), None)
    if number:
        raise ValueError(f"{path}: row {number} below the column names names no file")
    if len(names) > 1 and [name for name in names if not Path(name).suffix] == [names[-1]]:
        raise ValueError(f"{path}: the last row is for {names[-1]!r}, no image as the others are: take it out")


def with_slashes(name: str) -> str:
    """A path from Windows as others write it; a byte that no UTF-8 has keeps its backslash (`\\udcff`)."""
    return name if "/" in name else re.sub(r"\\(?!udc[89a-f][0-9a-f])", "/", name)


def _place(text: str, folder: Path) -> str:
    """The real path of a file that is there, else the name as it stands."""
    text = with_slashes(text)
    for path in (os.path.abspath(text), os.path.abspath(folder / text)):
        if os.path.lexists(path):
            return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return os.path.normpath(text)
