"""Files are written whole or not at all, and a byte is never without a name.

Everything here can be killed at any point and run again: data goes to a temporary name in the same folder,
is synced, and only then gets its final name; a source is unlinked last. Works across file systems and on
Windows.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20  # bytes read at a time: memory stays flat whatever the file's size
UNFINISHED = ".unfinished-"  # temporary names start so; nothing but this module makes them
LOCK_NAME = ".lock"


class FolderBusyError(OSError):
    """Another process holds the folder's lock."""


class ChangedBytesError(OSError):
    """A file does not hold the bytes that it should hold."""


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 lower-case hex digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
def _finished_as(path: Path) -> Iterator[BinaryIO]:
    """A new file under a temporary name that becomes `path`, synced, when the block ends without an error."""
    temporary = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: str | Path, data: bytes | str | Iterable[str]) -> None:
    """Write `data` (text as UTF-8), or piece after piece of it: a reader, at any time, sees the old file or the new."""
    path = Path(path)
    with _finished_as(path) as handle:
        for piece in [data] if isinstance(data, bytes | str) else data:
            handle.write(piece.encode("utf-8") if isinstance(piece, str) else piece)
    sync_folder(path.parent)


def copy_verified(source: str | Path, destination: str | Path, expected: str | None = None) -> str:
    """Copy bytes, times and permissions; return the SHA-256 of the bytes, taken on the way.

    Raises FileExistsError if `destination` is there, ChangedBytesError if the bytes are not those of the
    `expected` hash; then nothing is left behind. Call `sync_folder` once after the last copy into a folder.
    """
    destination = Path(destination)
    if os.path.lexists(destination):
        raise FileExistsError(f"{destination} exists")
    digest = hashlib.sha256()
    with open(source, "rb") as reader, _finished_as(destination) as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        if expected not in (None, digest.hexdigest()):
            raise ChangedBytesError(f"{source} changed while it was in use")
        writer.flush()  # before the times are copied: a later write would change them again
        shutil.copystat(source, writer.name)
    return digest.hexdigest()


def move_verified(source: str | Path, destination: str | Path, expected: str | None = None) -> str:
    """Move a file; return its SHA-256. The source goes only after the destination is durable and re-read.

    On one file system the file gets a second name and no byte is copied, so times and permissions stay exact;
    elsewhere it is copied. Raises as `copy_verified` does; the source is then whole.
    """
    source, destination = Path(source), Path(destination)
    try:
        os.link(source, destination)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without hard links
        copy_verified(source, destination)
    sync_folder(destination.parent)
    digest = sha256_file(destination)
    if digest != (expected or sha256_file(source)):
        destination.unlink()
        raise ChangedBytesError(f"{source} changed while it was in use")
    source.unlink()
    return digest


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


def remove_leftovers(folders: Iterable[str | Path]) -> None:
    """Delete what killed runs left unfinished directly in these folders. Call it while holding the lock."""
    for folder in folders:
        for path in Path(folder).glob(f"{UNFINISHED}*"):
            path.unlink(missing_ok=True)


@contextmanager
def exclusive_lock(folder: str | Path) -> Iterator[None]:
    """Hold a folder for one process; the system lets go of it when the process dies, however it dies.

    Raises FolderBusyError at once if another process holds it.
    """
    path = Path(folder) / LOCK_NAME
    with open(path, "ab") as handle:
        try:
            _lock(handle)
            if not os.path.samestat(os.fstat(handle.fileno()), os.stat(path)):
                raise FileNotFoundError  # the holder finished, and took the file away, in this very moment
        except (BlockingIOError, PermissionError, FileNotFoundError):
            raise FolderBusyError(f"another run is at work in {folder}") from None
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps an open file; an unlocked leftover does no harm
                path.unlink()


if os.name == "nt":
    import msvcrt

    def _lock(handle: BinaryIO) -> None:
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
