"""Measurements in memory and as one file beside the dataset, so that a second audit decodes only what changed."""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from artifact_detection.images.decoding import ACCEPTED
from artifact_detection.system.files import write_atomic

THUMBNAIL = 64  # side of the grey thumbnails, pixels
VERSION = f"3 {ACCEPTED}"  # raise the first when a measure or a column changes: all is then measured again


class Stamp(NamedTuple):
    """What has to be unchanged for a file to count as measured: absolute path, bytes, modification time in ns."""

    path: str
    bytes: int
    mtime_ns: int


def stamp(path: str | Path) -> Stamp:
    """The stamp of a file; zeros if it cannot be looked at (measuring it will say why)."""
    try:
        status = os.stat(path)
    except OSError:
        return Stamp(os.path.abspath(path), 0, 0)
    return Stamp(os.path.abspath(path), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Measurements:
    """table: a row per file, columns as `measure_files` says; thumbnails: (N, 64, 64) uint8 grey."""

    table: pd.DataFrame
    thumbnails: np.ndarray

    def take(self, rows: np.ndarray) -> "Measurements":
        """The given rows, renumbered from 0."""
        return Measurements(self.table.iloc[rows].reset_index(drop=True), self.thumbnails[rows])

    def append(self, other: "Measurements") -> "Measurements":
        if self.table.empty or other.table.empty:
            return other if self.table.empty else self
        table = pd.concat([self.table, other.table], ignore_index=True)
        return Measurements(table, np.concatenate([self.thumbnails, other.thumbnails]))

    def find(self, stamps: Iterable[Stamp]) -> np.ndarray:
        """(N,) int64: the row of each stamp, -1 where it is not there or was unreadable."""
        if self.table.empty:
            return np.full(len(list(stamps)), -1, dtype=np.int64)
        readable = self.table[self.table["error"] == ""]
        row_of = dict(
            zip(readable[list(Stamp._fields)].itertuples(index=False, name=None), readable.index, strict=True)
        )
        return np.array([row_of.get(stamp, -1) for stamp in stamps], dtype=np.int64)


def empty() -> Measurements:
    return Measurements(pd.DataFrame(), np.zeros((0, THUMBNAIL, THUMBNAIL), dtype=np.uint8))


def load(path: str | Path | None) -> Measurements:
    """What `save` wrote; nothing if there is no such file, or it is damaged or of another version."""
    if path is None or not os.path.isfile(path):
        return empty()
    try:
        digest, _, data = Path(path).read_bytes().partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return empty()
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return empty()
    if columns.pop("version", None) != VERSION:
        return empty()
    thumbnails = columns.pop("thumbnails")
    return Measurements(pd.DataFrame(columns), thumbnails)


def save(measured: Measurements, path: str | Path) -> None:
    """Write the latest row of every file that still exists.

    Nothing is done in a folder that is read-only, or where anything else than a cache has this name.
    """
    table = measured.table.drop_duplicates("path", keep="last")
    latest = measured.take(table.index[[os.path.exists(name) for name in table["path"]]])
    columns = {
        name: column.to_numpy(dtype=str) if pd.api.types.is_string_dtype(column) else column.to_numpy()
        for name, column in latest.table.items()
    }
    buffer = io.BytesIO()
    np.savez(buffer, version=VERSION, thumbnails=latest.thumbnails, **columns)
    with suppress(OSError):
        data = buffer.getvalue()
        if os.path.lexists(path) and not _is_cache(path):
            return
        write_atomic(path, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def _is_cache(path: str | Path) -> bool:
    """Whether it is empty or starts as `save` starts it: a checksum in hex, a ZIP file; one of them may be damaged."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as handle:
        head = handle.read(67)
    return not head or bool(re.match(rb"[0-9a-f]{64}\n", head)) or head[64:] == b"\nPK"
