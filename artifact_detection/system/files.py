"""Files are written whole or not at all, and a byte is never without a name.

Everything here can be killed at any point and run again: data goes to a temporary name, is synced, and only then gets
its final name; a source goes last, and only if it still is what was read. Works across file systems and on Windows.
"""

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from artifact_detection.system.paths import RECORD, WORK, same_entry

CHUNK = 1 << 20  # bytes read at a time: memory stays flat whatever the file's size
UNFINISHED = ".unfinished-"  # how temporary names start
TRIES = 3  # for a file whose inode is touched meanwhile, by a second link to it for example

Part = tuple[int, int]  # offset and bytes of what counts of a file


class FolderBusyError(OSError):
    """Another process holds the folder's lock."""


class ChangedBytesError(OSError):
    """A file does not hold the bytes that it should hold."""


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
def _written(temporary: Path, mode: str = "xb") -> Iterator[BinaryIO]:
    """A new file, synced when the block ends; nothing is left of it after an error."""
    try:
        with open(temporary, mode) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
    except FileExistsError:
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: str | Path, data: bytes | str | Iterable[str], work: Path | None = None) -> None:
    """Write `data` (text as UTF-8), or piece after piece of it: a reader, at any time, sees the old file or the new.

    work: a folder of ours for the unfinished file; else that of `path`'s folder, where there is one, else beside it.
    """
    path = Path(path)
    own = path.parent / WORK
    work = work or (own if (own / RECORD).exists() else path.parent)
    temporary = work / f"{UNFINISHED}{secrets.token_hex(8)}"
    with _written(temporary) as handle:
        for piece in [data] if isinstance(data, bytes | str) else data:
            handle.write(piece.encode("utf-8") if isinstance(piece, str) else piece)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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
    with open(source, "rb") as reader, _written(temporary, "wb") as writer:
        for chunk in _chunks(reader, part):
            digest.update(chunk)
            writer.write(chunk)
        if digest.hexdigest() != expected:
            raise ChangedBytesError(f"{source} changed while it was in use")
        writer.flush()  # before the times are copied: a later write would change them again
        if part is None:
            shutil.copystat(source, temporary)
    try:
        _rename_new(temporary, destination)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _rename_new(path: str | Path, name: str | Path) -> None:
    """Rename a file. Raises FileExistsError if the name is taken, which os.rename would replace."""
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:  # no hard links there
        if os.path.lexists(name):
            raise FileExistsError(f"{name} exists") from None
        os.rename(path, name)
    else:
        os.unlink(path)


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
    except ChangedBytesError:
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
    for _ in range(TRIES):
        seen = os.lstat(path)
        twins = part is None and os.path.samestat(seen, os.stat(other))
        if sha256_file(path) != sha256 or not (twins or sha256_file(other, part) == sha256):
            break
        if _identity(os.lstat(path)) == _identity(seen):
            return _remove_seen(path, other, seen, aside)
    raise ChangedBytesError(f"{path} changed while it was in use")


def _identity(status: os.stat_result, renamed: bool = False) -> tuple[int, ...]:
    """What tells one state of a file from another; a new name changes the ctime."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, 0 if renamed else status.st_ctime_ns


def _remove_seen(path: str | Path, other: str | Path, seen: os.stat_result, aside: Path) -> None:
    os.rename(path, aside)  # from here on nobody replaces it by its name
    try:
        if _identity(os.lstat(aside), True) != _identity(seen, True) or not os.path.lexists(other):
            raise ChangedBytesError(f"{path} changed while it was in use")
        os.unlink(aside)
    except BaseException:
        with suppress(FileExistsError):  # something newer has the name: this one stays beside it
            _rename_new(aside, path)
        raise


def link(source: str | Path, destination: str | Path) -> None:
    """Give a file a second name without copying it: a hard link, or a symbolic one across file systems.

    Raises FileExistsError if `destination` is there, OSError where neither kind is possible.
    """
    source = os.path.realpath(source)
    try:
        os.link(source, destination)
    except FileExistsError:
        raise
    except OSError:
        os.symlink(source, destination)


@contextmanager
def exclusive_lock(folder: str | Path) -> Iterator[None]:
    """Hold a folder for one process, without a file in it; the system lets go when the process dies, however it dies.

    Raises FolderBusyError at once if another process holds it.
    """
    try:
        descriptor = _lock(folder)
    except BlockingIOError:
        raise FolderBusyError(f"another run is at work in {folder}") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_elsewhere(folder: str | Path) -> int:
    """A lock for folders that cannot be locked themselves, in the system's folder for temporary files."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]
    path = os.path.join(tempfile.gettempdir(), f"artifact-detection-{name}.lock")
    return _locked(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


if os.name == "nt":
    import msvcrt

    _lock = _lock_elsewhere

    def _locked(descriptor: int) -> int:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            os.close(descriptor)
            raise BlockingIOError from None
        return descriptor

else:
    import fcntl

    def _lock(folder: str | Path) -> int:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _locked(descriptor)
        except BlockingIOError:
            raise
        except OSError:  # NFS locks only files that are open for writing
            return _lock_elsewhere(folder)
        if not (os.path.isdir(folder) and os.path.samestat(os.fstat(descriptor), os.stat(folder))):
            os.close(descriptor)
            raise BlockingIOError  # the holder finished, and took the folder away, in this very moment
        return descriptor

    def _locked(descriptor: int) -> int:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
