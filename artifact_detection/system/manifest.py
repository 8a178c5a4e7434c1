"""The transfer list of a folder of ours: manifest.csv, written before the first file is touched, and its way back.

A run that was killed is finished by running it again; `undo` takes the whole list back. Every row is a subclass of
`ManifestRow` with what its script wants to know later.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Generic, TypeVar

from tqdm import tqdm

from artifact_detection.system.files import UNFINISHED, is_replaceable, recorded, sync_folder
from artifact_detection.system.ownership import ASIDE, OwnFolder
from artifact_detection.system.paths import lies_in
from artifact_detection.system.tables import read_table, write_table
from artifact_detection.system.threads import in_threads
from artifact_detection.system.transfers import CONFLICT, DONE, MODES, PENDING, TAKEN, VANISHED, Transfer

NAME = "manifest.csv"
HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # the next file would fail as well


class ManifestError(Exception):
    """A transfer list that is damaged or comes from elsewhere: nothing is done on its word."""


@dataclass(slots=True)
class ManifestRow:
    """One file of the list. destination: relative to the list's folder, with forward slashes, empty if there is none.

    offset, bytes: the part of the source that is meant; without an offset, all of it.
    """

    source: Path  # in the file: relative to the list's folder if it lies beside that folder
    destination: str
    mode: str
    sha256: str = ""
    bytes: int | None = None
    offset: int | None = None

    @property
    def key(self) -> tuple:
        """What makes two rows one and the same transfer, whatever else they say."""
        return str(self.source), self.destination, self.mode, self.sha256


R = TypeVar("R", bound=ManifestRow)


class Manifest(Generic[R]):
    """The list of one folder; kind: the class of its rows."""

    def __init__(self, own: OwnFolder, kind: type[R]):
        self.own, self.folder, self.kind = own, own.path, kind
        self.columns = tuple(field.name for field in fields(kind))

    def exists(self) -> bool:
        return (self.folder / NAME).exists()

    def read(self) -> list[R]:
        """The rows, none if there is no list. Raises ManifestError if it is not as a run wrote it."""
        if not self.exists():
            return []
        if recorded(self.folder / NAME) is not None and not is_replaceable(self.folder / NAME):
            raise ManifestError(f"{self.folder / NAME} is damaged: it was changed since a run wrote it")
        try:
            return [self._row(record) for record in read_table(self.folder / NAME, self.columns)]
        except (ValueError, TypeError) as error:
            raise ManifestError(f"{self.folder / NAME} is damaged: {error}") from error

    def write(self, rows: Iterable[R]) -> None:
        """Write the rows in the order of their sources, atomically; a list that says the same is left alone."""
        ordered = sorted(rows, key=lambda row: (str(row.source), row.offset or 0, row.destination))
        write_table(self.folder / NAME, self.columns, map(self._record, ordered))

    def transfer(self, row: R) -> Transfer:
        part = None if row.offset is None else (row.offset, row.bytes)
        return Transfer(row.source, self.folder / row.destination, row.mode, row.sha256, self.own, part)

    def recover(self, rows: Sequence[R]) -> None:
        """Clear up what a run of this list that was killed left behind, by the names that the list gives it."""
        folders = {parent for row in rows for parent in (row.source.parent, (self.folder / row.destination).parent)}
        touched = {folder for folder in folders if _has_ours(folder)}
        for row in rows:
            transfer = self.transfer(row)
            if touched & {transfer.source.parent, transfer.destination.parent}:
                transfer.recover()

    def refuse_strange(self, rows: Iterable[R]) -> None:
        """Raises ManifestError if the list takes files from where no run on this machine was told to take them."""
        strange = [row for row in rows if row.destination and not self.own.covers(row.source)]
        if strange:
            raise ManifestError(
                f"{self.folder / NAME} names {len(strange)} files from folders that no run on this machine read, "
                f"e.g. {strange[0].source}: choose another folder"
            )

    def reasons(self, rows: Sequence[R], earlier: Iterable[R]) -> Iterator[tuple[str, str]]:
        """(state, why the row cannot be placed or "") for every row, in order.

        What has a new row's destination is not ours, whatever its bytes: source and destination may be one file.
        """
        known = {row.key for row in earlier}
        states = in_threads(lambda row: self.transfer(row).state(), rows)
        for row, state in zip(rows, states, strict=True):
            if state == CONFLICT or (row.key not in known and os.path.lexists(self.folder / row.destination)):
                yield CONFLICT, f"{TAKEN}: {row.destination}"
            else:
                yield state, "" if state in (PENDING, DONE) else VANISHED

    def carry_out(self, rows: Sequence[R], text: str) -> list[str]:
        """Carry out every row, in order: why it was not, or "". Everything is durable at the end.

        Raises OSError if no space is left or the file system is read-only; a later run goes on from there.
        """
        self.own.admit(_outside((self.folder / row.destination for row in rows), os.path.realpath(self.folder)))
        errors = in_threads(lambda row: attempt(self.transfer(row).carry_out), rows)
        reasons = list(tqdm(map(_words, errors), desc=text, total=len(rows), unit="file", disable=None))
        placed = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
        for folder in {(self.folder / row.destination).parent for row in placed}:
            sync_folder(folder)
        return [f"not placed: {reason}" if reason else "" for reason in reasons]

    def undo(self, rows: Sequence[R], dry_run: bool = False) -> list[str]:
        """Take every row back, in order: "" or why it was left as it is, in a few words."""

        def back(row: R) -> str:
            transfer = self.transfer(row)
            # in the folder, or where a link out of it leads that a run on this machine has followed
            if not (lies_in(transfer.destination.parent, self.folder) or self.own.covers(transfer.destination)):
                return "its place leads out of the folder, left where it is"
            reason = transfer.why_not_undone()
            error = None if reason or dry_run else attempt(transfer.put_back)
            return reason or (f"not put back: {_words(error)}" if error else "")

        return list(tqdm(in_threads(back, rows), desc="undoing", total=len(rows), unit="file", disable=None))

    def in_place(self, rows: Iterable[R]) -> list[bool]:
        """Whether each row was carried out, or something else has its place: the others leave nothing to undo."""
        return [os.path.lexists(self.folder / row.destination) for row in rows]

    def take_apart(self, rows: Sequence[R], reasons: Sequence[str]) -> None:
        """After `undo`: remove the folders that are empty now, and the list unless it still names a file."""
        folders = {parent for row in rows for parent in Path(row.destination).parents}
        for folder in sorted(folders - {Path()}, reverse=True):
            with suppress(OSError):  # not empty
                (self.folder / folder).rmdir()
        left = [row for row, there, why in zip(rows, self.in_place(rows), reasons, strict=True) if there and why]
        if left:
            self.write(left)
        elif self.exists():
            (self.folder / NAME).unlink()

    def going_home(self, rows: Sequence[R], restore_to: Path | None) -> list[R]:
        """The rows with the places that moved files go back to: where they were if a run on this machine took them
        from there, else below `restore_to`. Raises ManifestError if that is not given."""
        strange = [row for row in rows if row.mode == "move" and not self.own.covers(row.source)]
        if not strange:
            return list(rows)
        if restore_to is None:
            raise ManifestError(
                f"--undo would put {len(strange)} files into folders that no run on this machine took them from, "
                f"e.g. {strange[0].source}: pass --restore-to DIR"
            )
        top, real = os.path.commonpath([row.source.parent for row in strange]), os.path.realpath(restore_to)
        places = {row.key: restore_to / row.source.relative_to(top) for row in strange}
        outside = _outside(places.values(), real)
        if outside:
            raise ManifestError(f"{restore_to} has a link that leads to {outside[0]}: pass --restore-to another folder")
        return [replace(row, source=places.get(row.key, row.source)) for row in rows]

    def _record(self, row: R) -> dict[str, str]:
        beside = row.source.is_relative_to(self.folder.parent)
        source = Path(os.path.relpath(row.source, self.folder) if beside else row.source).as_posix()
        values = {name: getattr(row, name) for name in self.columns} | {"source": source}
        texts = {name: "" if value is None else str(value) for name, value in values.items()}
        return {name: text.encode("utf-8", "backslashreplace").decode("utf-8") for name, text in texts.items()}

    def _row(self, record: dict[str, str]) -> R:
        """Raises ValueError unless the record is one that `_record` could have written."""
        values: dict[str, object] = {name: record[name] for name in self.columns}
        for name in ("bytes", "offset"):
            values[name] = int(record[name]) if record[name] else None
        values["source"] = Path(os.path.normpath(self.folder / record["source"]))
        row = self.kind(**values)
        inside = Path(os.path.normpath(self.folder / row.destination)) == self.folder / row.destination
        outside = row.destination and not (inside and not os.path.isabs(row.destination) and row.destination != ".")
        odd = min(row.bytes or 0, row.offset or 0) < 0 or "\0" in record["source"] + row.destination
        if outside or odd or row.mode not in MODES or (row.offset is not None and row.bytes is None):
            raise ValueError(f"not a row of this folder: {', '.join(record.values())}")
        return row


def count_undone(there: Sequence[bool], reasons: Sequence[str]) -> int:
    """there: `in_place` before; reasons: of `undo`, for the same rows."""
    return sum(was and not why for was, why in zip(there, reasons, strict=True))


def attempt(act: Callable[[], None]) -> OSError | None:
    """Do it and return the error, if any, unless there is no use in going on with other files: that is raised."""
    try:
        act()
    except OSError as error:
        if error.errno in HOPELESS:
            raise
        return error
    return None


def _outside(paths: Iterable[Path], folder: str) -> list[str]:
    """The real folders of these files that do not lie in one, which is a real path: a link leads there."""
    real = {os.path.realpath(parent) for parent in {path.parent for path in paths}}
    return sorted(path for path in real if not Path(path).is_relative_to(folder))


def _words(error: OSError | None) -> str:
    return "" if error is None else error.strerror or str(error)


def _has_ours(folder: Path) -> bool:
    try:
        return any(name.startswith((UNFINISHED, ASIDE)) for name in os.listdir(folder))
    except OSError:
        return False
