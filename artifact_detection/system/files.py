"""Files are written whole or not at all, and a byte is never without a name.

Everything here can be killed at any point and run again: data goes to a temporary name, is synced, and only then gets
its final name; a source goes last, and only if it still is what was read. Works across file systems and on Windows.
"""

import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from artifact_detection.system.machine import signature
from artifact_detection.system.paths import RECORD, WORK, same_entry
from artifact_detection.system.renaming import rename_new

CHUNK = 1 << 20  # bytes read at a time: memory stays flat whatever the file's size
UNFINISHED = ".unfinished-"  # how temporary names start
_RECORDING = threading.Lock()

Part = tuple[int, int]  # offset and bytes of what counts of a file


class ChangedBytesError(OSError):
    """A file does not hold the bytes that it should hold."""


class NotOursError(OSError):
    """What cannot be used or replaced without touching what is not ours; the message says what to do."""


def sha256_file(path: str | Path, part: Part | None = None) -> str:
    """SHA-256 of a file's bytes, or of a part of them: 64 lower-case hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for chunk in _chunks(handle, part):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(handle: BinaryIO, part: Part | None) -> Iterator[bytes]:
    offset, left = part or (0, None)
    handle.seek(offset)
    while chunk := handle.read(CHUNK if left is None else min(CHUNK, left)):
        yield chunk
        left = None if left is None else left - len(chunk)


def sync_folder(folder: str | Path) -> None:
    """Make the names in a folder durable. Windows can not sync folders: there it does nothing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _removed_after_an_error(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: str | Path, data: bytes | str | Iterable[str], work: Path | None = None) -> None:
    """Write `data` (text as UTF-8), or piece after piece of it: a reader, at any time, sees the old file or the new.

    work: a folder of ours for the unfinished file; else that of `path`'s folder, where there is one, else beside it.
    Raises NotOursError if a folder of ours has the name for itself, and another file has it.
    """
    path, digest = Path(path), hashlib.sha256()
    own = path.parent / WORK
    work = work or next((one for one in (own, path.parent) if one.name == WORK and (one / RECORD).exists()), None)
    temporary = (work or path.parent) / f"{UNFINISHED}{secrets.token_hex(8)}"
    # Nobody clears up elsewhere what a kill leaves: there the file gets its name when it is whole.
    nameless = None if work else _open_nameless(path.parent)
    with _removed_after_an_error(temporary):
        with open(temporary if nameless is None else nameless, "wb") as handle:
            for piece in [data] if isinstance(data, bytes | str) else data:
                piece = piece.encode("utf-8") if isinstance(piece, str) else piece
                digest.update(piece)
                handle.write(piece)
            handle.flush()
            os.fsync(handle.fileno())
            if nameless is not None:
                _give_name(nameless, path)
        if work == own:
            _record(path, digest.hexdigest())
        if nameless is None:
            os.replace(temporary, path)
    sync_folder(path.parent)


def replace_between(path: Path, begin: str, end: str, text: str) -> None:
    """Put text in place of what stands between two markers of a file. Raises ValueError if they are not there."""
    old = path.read_text(encoding="utf-8")
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise ValueError(f"{path} needs the two lines {begin} and {end}, once each and in this order")
    head, rest = old.split(begin)
    write_atomic(path, f"{head}{begin}\n\n{text}\n{end}{rest.split(end)[1]}")


def _open_nameless(folder: Path) -> int | None:
    """A descriptor of a new file that goes with this process; None where the system has no such files."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except OSError:  # the file system has none, or `folder` is none: then there are better words for it
        return None


def _give_name(descriptor: int, path: Path) -> None:
    """Name a whole file `path`, in place of what has that name.

    Where something has, the file needs another name for a moment. It is always the same, one that nobody else could
    think of, so that the next write clears up after a kill in that moment.
    """
    folder = os.open(path.parent, os.O_RDONLY)

    def link(name: str) -> None:
        # Only with a folder's descriptor Python links what this leads to, not the link that it is.
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder)

    try:
        with suppress(FileExistsError):
            link(path.name)
            return
        moment = path.with_name(UNFINISHED + signature(path.name)[:24])
        moment.unlink(missing_ok=True)
        link(moment.name)
        with _removed_after_an_error(moment):
            os.replace(moment, path)
    finally:
        os.close(folder)


def read_record(folder: Path) -> dict:
    """What a folder's record says, see ownership.py; empty where there is none, or a damaged one.

    Raises OSError for one that may not be read: it says nothing of whose the folder is.
    """
    path = folder / WORK / RECORD
    try:
        record = json.loads(path.read_bytes()) if path.is_file() else {}  # a pipe would be waited for
    except ValueError:
        return {}
    written = record.get("written", {}) if isinstance(record, dict) else None
    is_sound = isinstance(written, dict) and all(isinstance(hashes, list) for hashes in written.values())
    return record if is_sound else {}


def recorded(path: Path) -> list[str] | None:
    """SHA-256 of what runs wrote, or were about to write, under a name that a folder of ours has for itself; None for
    any other name."""
    return read_record(path.parent).get("written", {}).get(path.name)


def is_replaceable(path: Path) -> bool:
    """Whether no file has this name that a folder of ours has for itself, or the one that a run wrote."""
    return set(present(path)) <= set(recorded(path) or ())


def present(path: Path) -> list[str]:
    """The SHA-256 of what has this name, none if nothing has it, "" of what is no file of its own."""
    if not os.path.lexists(path):
        return []
    return [sha256_file(path) if path.is_file() and not path.is_symlink() else ""]


def _record(path: Path, sha256: str) -> None:
    """Write down what is about to get this name, so that it is known whenever a kill comes."""
    with _RECORDING:  # a training writes its history while it saves its states
        record, known = read_record(path.parent), recorded(path)
        if known is None:
            return
        now = present(path)
        if not set(now) <= set(known):
            raise NotOursError(f"{path} is not of a run, or was changed since: rename it")
        record["written"][path.name] = [*now, sha256]
        write_atomic(path.parent / WORK / RECORD, json.dumps(record, indent=1))


def copy_verified(
    source: str | Path, destination: str | Path, expected: str, temporary: Path, part: Part | None = None
) -> None:
    """Copy bytes, times and permissions (of a part: the bytes). `temporary`: a name beside `destination`, ours alone.

    Raises FileExistsError if `destination` is there, ChangedBytesError if the bytes are not those of the `expected`
    SHA-256; then nothing is left behind. Call `sync_folder` once after the last copy into a folder.
    """
    if os.path.lexists(destination):
        raise FileExistsError(f"{destination} exists")
    digest = hashlib.sha256()
    with _removed_after_an_error(temporary):
        with open(source, "rb") as reader, open(temporary, "wb") as writer:
            for chunk in _chunks(reader, part):
                digest.update(chunk)
                writer.write(chunk)
            if digest.hexdigest() != expected:
                raise ChangedBytesError(f"{source} changed while it was in use")
            writer.flush()  # before the times are copied: a later write would change them again
            if part is None:
                shutil.copystat(source, temporary)
            os.fsync(writer.fileno())
        rename_new(temporary, destination)


def move_verified(source: str | Path, destination: str | Path, expected: str, temporary: Path, aside: Path) -> None:
    """Move a file, or finish a move that was killed. The source goes only when the destination is durable.

    On one file system the file gets a second name and no byte is copied, so times and permissions stay exact;
    elsewhere it is copied by way of `temporary`. `aside`: as in `remove_verified`. Raises FileExistsError,
    ChangedBytesError; the source is then whole.
    """
    if os.path.islink(source):
        raise ChangedBytesError(f"{source} is a link")
    made = not os.path.lexists(destination)
    if made:
        try:
            os.link(source, destination)
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without hard links
            copy_verified(source, destination, expected, temporary)
    elif sha256_file(destination) != expected:
        raise FileExistsError(f"{destination} exists")
    sync_folder(Path(destination).parent)
    try:
        remove_verified(source, destination, expected, aside)
    except OSError:  # a source that may not be removed stays alone, too
        if made and os.path.lexists(source) and not same_entry(source, destination):
            os.unlink(destination)
        raise


def remove_verified(path: str | Path, other: str | Path, sha256: str, aside: Path, part: Part | None = None) -> None:
    """Remove `path`, whose bytes, of this SHA-256, are at `other` (or in that part of it) as well.

    What is removed is what was read: it first gets the name `aside` in its own folder, which is ours alone, and goes
    only if it is the same file still and `other` did not go with it, as it would if both were one. Raises
    ChangedBytesError, FileExistsError; then all is as it was.
    """
    if same_entry(path, other):
        raise FileExistsError(f"{path} and {other} are one file")
    seen = os.lstat(path)
    twins = part is None and os.path.samestat(seen, os.stat(other))
    if sha256_file(path) != sha256 or not (twins or sha256_file(other, part) == sha256):
        raise ChangedBytesError(f"{path} changed while it was in use")
    os.rename(path, aside)  # from here on nobody replaces it by its name
    try:
        if _identity(os.lstat(aside)) != _identity(seen) or not os.path.lexists(other):
            raise ChangedBytesError(f"{path} changed while it was in use")
        os.unlink(aside)
    except BaseException:
        with suppress(FileExistsError):  # something newer has the name: this one stays beside it
            rename_new(aside, path)
        raise


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What tells one state of a file from another. Not the ctime: a new name, or a second link's, changes it too."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def link_verified(source: str | Path, destination: str | Path, expected: str) -> None:
    """Give a file a second name without copying it: a hard link, or a symbolic one across file systems.

    Raises FileExistsError if `destination` is there, ChangedBytesError if the bytes are not those of the `expected`
    SHA-256, OSError where neither kind is possible; then there is no second name.
    """
    source = os.path.realpath(source)
    try:
        os.link(source, destination)
    except FileExistsError:
        raise
    except OSError:
        os.symlink(source, destination)
    if sha256_file(destination) != expected:
        os.unlink(destination)
        raise ChangedBytesError(f"{source} changed while it was in use")
