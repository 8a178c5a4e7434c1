"""A new name for a file that replaces nobody else's, whatever the file system can do."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCL = -100, 1, 4  # linux/fs.h; sys/stdio.h of macOS
_UNKNOWN = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})  # there, or on that file system


def rename_new(path: str | Path, name: str | Path) -> None:
    """Rename a file. Raises FileExistsError if the name is taken, which os.rename would replace."""
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:  # no hard links there
        if not _renamed_without_replacing(os.fsencode(path), os.fsencode(name)):
            if os.path.lexists(name):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(name)) from None
            os.rename(path, name)  # Windows: never over a file; elsewhere nothing better is known
    else:
        os.unlink(path)


def _renamed_without_replacing(path: bytes, name: bytes) -> bool:
    """Whether the system has a call for it, and has done it. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, path, _AT_FDCWD, name, _RENAME_NOREPLACE)
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(path, name, _RENAME_EXCL)
    else:
        return False
    number = ctypes.get_errno() if failed else 0
    if number and number not in _UNKNOWN:
        raise OSError(number, os.strerror(number), os.fsdecode(name))
    return not number
