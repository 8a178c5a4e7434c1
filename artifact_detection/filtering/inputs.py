"""What the user points at -> one `Item` per image: folders, files, lists of paths, tar shards, standard input."""

import csv
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import BinaryIO

from artifact_detection.filtering.shards import COMPRESSED, TAR, UNPACK, images_in, is_tar
from artifact_detection.images.listing import UNREAD, UNREAD_SUFFIXES
from artifact_detection.labels import IMAGE_SUFFIXES
from artifact_detection.system.files import write_atomic
from artifact_detection.system.paths import find_files, harmless, lies_in
from artifact_detection.system.tables import table_text

LISTS = frozenset({".txt", ".lst"})
INSIDE = "::"  # between a shard's path and the name of its member


class InputError(Exception):
    """An INPUT that cannot be read at all; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image to judge. path: its name in every result; `file`, from `offset` on, `bytes` long: where its bytes are.

    name: relative path that it gets below kept/, review/ or rejected/. problem: why there is nothing to decode.
    """

    path: str
    file: str
    name: str
    offset: int = -1  # -1: the whole file; else a member of a tar shard
    bytes: int = 0
    mtime_ns: int = 0
    problem: str = ""

    @property
    def in_shard(self) -> bool:
        return self.offset >= 0

    @property
    def origin(self) -> str:
        """The file that the user named: an image that was moved away is read elsewhere."""
        return self.file if self.in_shard else self.path

    @property
    def stamp(self) -> tuple[int, int, int]:
        """What has to be unchanged for an earlier score to count."""
        return self.offset, self.bytes, self.mtime_ns


@dataclass
class Inputs:
    """items in input order, each path once; repeated: paths met again; others: files that are no images, by suffix."""

    items: list[Item] = field(default_factory=list)
    repeated: int = 0
    others: Counter = field(default_factory=Counter)

    @classmethod
    def scan(cls, inputs: Iterable[str], output: Path) -> "Inputs":
        """Everything below the inputs but what lies in `output`. Raises InputError for an input that is not there."""
        found, seen, own = cls(), set(), {}
        for argument in inputs:
            for item in _expand(argument, found.others, output):
                folder = os.path.dirname(item.file)
                if folder not in own:
                    own[folder] = lies_in(folder, output)
                if own[folder]:
                    continue
                if item.path in seen:
                    found.repeated += 1
                    continue
                seen.add(item.path)
                found.items.append(item)
        return found


def _expand(argument: str, others: Counter, output: Path) -> Iterator[Item]:
    if argument == "-":
        yield from _listed(_lines(sys.stdin.buffer), others)
        return
    path = os.path.abspath(argument)
    suffix = Path(path).suffix.lower()
    if os.path.isdir(path):
        yield from _below(path, others, output)
    elif not os.path.lexists(path):
        raise InputError(f"no such file or folder: {argument}")
    elif suffix in LISTS:
        with open(path, "rb") as handle:
            yield from _listed(_lines(handle), others)
    else:
        yield from _one(path, os.path.basename(path), others)


def _lines(handle: BinaryIO) -> list[str]:
    """The paths of a list, each ended by NUL or else one a line, in the file system's encoding; not the empty ones."""
    data = handle.read()
    lines = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [os.fsdecode(line) for line in lines if line.strip()]


def _listed(paths: Iterable[str], others: Counter) -> Iterator[Item]:
    for path in map(os.path.abspath, paths):
        yield from _one(path, os.path.basename(path), others)


def _below(folder: str, others: Counter, output: Path) -> Iterator[Item]:
    for path, problem in find_files(folder, output):
        name = os.path.relpath(path, folder)
        if problem:
            yield Item(str(path), str(path), name, problem=f"unreadable: {problem.removeprefix('unreadable: ')}")
        elif path.suffix.lower() in UNREAD_SUFFIXES:
            yield Item(str(path), str(path), name, problem=f"unreadable: {UNREAD}")
        elif path.suffix.lower() in IMAGE_SUFFIXES or is_tar(path.name):
            yield from _one(str(path), name, others)
        else:
            others[path.suffix.lower()] += 1


def _one(path: str, name: str, others: Counter) -> Iterator[Item]:
    if path.lower().endswith(COMPRESSED):
        yield Item(path, path, name, problem=UNPACK)
        return
    try:
        status = os.stat(path)
    except OSError as error:
        yield Item(path, path, name, problem=f"unreadable: {error.strerror}")
        return
    if path.lower().endswith(TAR) and not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        yield Item(path, path, name, problem="unreadable: not a regular file")
    elif path.lower().endswith(TAR):
        yield from _members(path, os.path.splitext(name)[0], status.st_mtime_ns, others)
    else:
        yield Item(path, path, name, bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def _members(path: str, name: str, mtime_ns: int, others: Counter) -> Iterator[Item]:
    met = Counter()
    try:
        with open(path, "rb") as handle:
            end = os.fstat(handle.fileno()).st_size
            for inside, offset, size, problem in images_in(handle, 0, end, others):
                inside = _told_apart(inside, met)
                full = f"{path}{INSIDE}{inside}" if inside else path
                yield Item(full, path, f"{name}/{harmless(inside)}", offset, size, mtime_ns, problem)
    except OSError as error:
        yield Item(path, path, name, problem=f"unreadable: {error.strerror}")


def _told_apart(name: str, met: Counter) -> str:
    """The name of a member, with a number if an earlier one has it: a tar may hold two of one name, both are judged."""
    folder, slash, last = name.rpartition("/")
    met[name] += 1
    while name and met[name] > 1:
        last = f"{met[name]}-{last}"
        name = folder + slash + last
        met[name] += 1
    return name


def read_bytes(item: Item) -> bytes:
    """The bytes of a member of a shard. Raises OSError, EOFError if the shard ends before them."""
    with open(item.file, "rb") as handle:
        handle.seek(item.offset)
        data = handle.read(item.bytes)
    if len(data) < item.bytes:
        raise EOFError("the tar ends before this member does")
    return data


COLUMNS = tuple(one.name for one in fields(Item))


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Remember the items and their order, for other processes and for a run that goes on. Odd bytes survive."""
    write_atomic(path, table_text(COLUMNS, map(asdict, items)).encode("utf-8", "surrogateescape"))


def read_items(path: Path) -> list[Item]:
    """What `write_items` wrote; nothing if it is not there or damaged: then only the order is lost."""
    if not path.is_file():  # a pipe would be waited for
        return []
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            rows = csv.DictReader(handle, strict=True)
            return [Item(**row | {name: int(row[name]) for name in ("offset", "bytes", "mtime_ns")}) for row in rows]
    except (ValueError, KeyError, TypeError, csv.Error):
        return []


def in_earlier_order(items: list[Item], earlier: list[Item], places: dict[str, Path]) -> list[Item]:
    """The items of a run that goes on: the earlier order first, and those that this filter has moved away itself.

    places: where those are now, by their path; they are read there.
    """
    now = {item.path: item for item in items}
    before = {item.path: item for item in earlier}
    for path, place in places.items():
        now[path] = _moved(before.get(path) or Item(path, path, place.name), place)
    order = [now.pop(path) for path in before if path in now]
    return order + list(now.values())


def _moved(item: Item, place: Path) -> Item:
    status = os.stat(place)
    return replace(item, file=str(place), bytes=status.st_size, mtime_ns=status.st_mtime_ns)
