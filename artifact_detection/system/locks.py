"""One process at a time in a folder."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderBusyError(OSError):
    """Another process holds the folder's lock."""


@contextmanager
def exclusive_lock(folder: str | Path, patience: float = 0) -> Iterator[None]:
    """Hold a folder for one process, without a file in it; the system lets go when the process dies, however it dies.

    Raises FolderBusyError if another process holds it for the next `patience` seconds.
    """
    start = time.monotonic()
    while True:
        try:
            descriptor = _lock(folder)
            break
        except BlockingIOError:
            if time.monotonic() - start >= patience:
                raise FolderBusyError(f"another run is at work in {folder}") from None
            time.sleep(0.05)
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
