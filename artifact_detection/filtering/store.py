"""What is known of every image so far, on disk: a SQLite file a process, so that a kill at any moment loses nothing.

A transaction is a second's batches of records: each is there as a whole or not at all. What a disk has changed since
is noticed: SQLite sees what makes its file unreadable, a checksum of each record the rest.
"""

import math
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from artifact_detection.filtering.inputs import Item
from artifact_detection.images.decoding import ACCEPTED
from artifact_detection.images.measure import COLOURS

MEASURES = ("brightness", "deviation", "sharpness", "saturation", *COLOURS)
LAYOUT = 4  # the side of the tiny colour picture that tells scenes apart
SUFFIX = f".4.{ACCEPTED}.sqlite"  # the number of the format, and of what was accepted: others are left alone
COMMIT_EVERY = 1.0  # seconds: the most that a kill can cost, and less work than a commit for each batch
BUSY = 60.0  # seconds to wait for a file that another process reads
PASSING = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip


@dataclass(slots=True)
class Record:
    """What scoring found out about one item.

    probability: P(artifacts), None if the image could not be used: then `error` says why. measures: float32 values
    of MEASURES; layout: (LAYOUT, LAYOUT, 3) uint8; thumbnail: a JPEG file, empty if none was wanted.
    exact: a fast network's probability was replaced by the original's.
    lowest, highest: the extremes of the probability under re-encoding, None if it was not re-encoded.
    width, height: of the image, upright. regions: see `regions.to_text`, empty without a dense head.
    heatmap: (side, side) uint8, empty if none was made.
    """

    path: str
    offset: int
    bytes: int
    mtime_ns: int
    sha256: str = ""
    probability: float | None = None
    exact: bool = False
    error: str = ""
    measures: bytes = b""
    layout: bytes = b""
    lowest: float | None = None
    highest: float | None = None
    width: int = 0
    height: int = 0
    regions: str = ""
    thumbnail: bytes = b""  # the pictures last: SQLite then reads the rest without them
    heatmap: bytes = b""

    @classmethod
    def of(cls, item: Item, **values) -> "Record":
        return cls(item.path, *item.stamp, **values)

    @property
    def stamp(self) -> tuple[int, int, int]:
        return self.offset, self.bytes, self.mtime_ns


_values = attrgetter(*(one.name for one in fields(Record)[1:]))
COLUMNS = tuple(one.name for one in fields(Record))
STAMP = ("path", "offset", "bytes", "mtime_ns")
LIGHT = COLUMNS[: COLUMNS.index("thumbnail")]  # the first fields of a Record, in their order
STORED = (*LIGHT, "checksum", *COLUMNS[len(LIGHT) :])


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is to blame, so that trying again is in vain; else a disk, or another process."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in PASSING


class Store(AbstractContextManager):
    """The records of one process. Others may read its file; only one process writes to it.

    Everything raises sqlite3.DatabaseError if the file is damaged or cannot be used, see `is_damage`.
    """

    def __init__(self, path: Path):
        self.path, self.committed = path, -math.inf
        self.connection = sqlite3.connect(path, timeout=BUSY, check_same_thread=False)
        self.connection.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            self.connection.execute(f"CREATE TABLE IF NOT EXISTS records ({', '.join(STORED)}, PRIMARY KEY (path))")
        except UnicodeDecodeError as error:  # even its words about the file are damaged
            raise sqlite3.DatabaseError("file is not a database") from error

    def __exit__(self, failure: type | None, *_) -> None:
        if failure is None:
            self.commit()
        self.connection.close()

    def add(self, records: Iterable[Record]) -> None:
        """Write these records, all or none. They are on the disk within COMMIT_EVERY, or after `commit`."""
        rows = ((os.fsencode(record.path), *_values(record)) for record in records)
        sealed = ((*row[: len(LIGHT)], _checksum(row), *row[len(LIGHT) :]) for row in rows)
        self.connection.executemany(f"REPLACE INTO records VALUES ({', '.join('?' * len(STORED))})", sealed)
        if time.monotonic() - self.committed >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        self.connection.commit()
        self.committed = time.monotonic()

    def read(self, columns: tuple[str, ...]) -> Iterator[tuple]:
        """These columns of every record, the first of them the path, as text."""
        for row in self.connection.execute(f"SELECT {', '.join(columns)}, checksum FROM records"):
            path, *values = _sound(row, columns)
            yield os.fsdecode(path), *values

    def find(self, path: str, columns: tuple[str, ...] = LIGHT) -> Record | None:
        """The record of a path, with these columns only; the others have their default."""
        query = f"SELECT {', '.join(columns)}, checksum FROM records WHERE path = ?"
        row = self.connection.execute(query, (os.fsencode(path),)).fetchone()
        return row and Record(**dict(zip(columns, _sound(row, columns), strict=True)) | {"path": path})


def _checksum(row: tuple) -> int:
    """Of the first columns of a record, LIGHT."""
    plain = [int(value) if isinstance(value, bool) else value for value in row[: len(LIGHT)]]
    return zlib.crc32(repr(plain).encode())


def _sound(row: tuple, columns: tuple[str, ...]) -> tuple:
    """The row without the checksum behind it. Raises sqlite3.DatabaseError if it is not what was written.

    Of some of the columns of LIGHT, and of pictures, only the kind is looked at.
    """
    *values, checksum = row
    is_other = columns[: len(LIGHT)] == LIGHT and checksum != _checksum(values)
    blobs = [value for name, value in zip(columns, values, strict=True) if name in ("path", "thumbnail", "heatmap")]
    if is_other or not all(isinstance(value, bytes) for value in blobs):
        raise sqlite3.DatabaseError("a record has changed on the disk")
    return tuple(values)


class Stores(AbstractContextManager):
    """The records of all processes. Whoever changes a record does it in the store that holds it."""

    def __init__(self, folder: Path, key: str):
        self.stores = [Store(path) for path in sorted(folder.glob(f"{key}-*{SUFFIX}"))]

    def __exit__(self, *_) -> None:
        for store in self.stores:
            store.connection.close()

    def find(self, item: Item, columns: tuple[str, ...] = LIGHT) -> Record | None:
        """What is known of an item as it is now; None if it is new or has changed since."""
        found = (store.find(item.path, columns) for store in self.stores)
        return next((record for record in found if record and record.stamp == item.stamp), None)

    def owner(self, item: Item) -> int:
        """The number of the store that holds the item's record; the item must have one."""
        found = (store.find(item.path, STAMP) for store in self.stores)
        return next(n for n, record in enumerate(found) if record and record.stamp == item.stamp)

    def errors(self) -> dict[tuple, str]:
        """(path, *stamp) of everything that is known -> its error, "" if it was scored."""
        return {row[:4]: row[4] for store in reversed(self.stores) for row in store.read((*STAMP, "error"))}

    def light(self, items: Iterable[Item]) -> Iterator[Record]:
        """The record of every item, in order, without pictures. An item that nobody has scored gets an error."""
        # one pass through the tables: to look for each item alone takes many times as long
        known = {row[:4]: row for store in reversed(self.stores) for row in store.read(LIGHT)}
        for item in items:
            row = known.get((item.path, *item.stamp))
            yield Record(*row) if row else Record.of(item, error=item.problem or "not scored")

    def commit(self) -> None:
        for store in self.stores:
            store.commit()


def database(folder: Path, key: str, rank: int) -> Path:
    return folder / f"{key}-{rank}{SUFFIX}"


def forget_all(folder: Path) -> None:
    """Remove the files of all processes: nothing but scores is in them."""
    for path in folder.glob(f"*{SUFFIX}*"):
        path.unlink()


def earlier_versions(folder: Path) -> list[Path]:
    """The stores that do not count any more; none once there is one that does."""
    stores = list(folder.glob("*.sqlite"))
    return [] if any(path.name.endswith(SUFFIX) for path in stores) else stores
