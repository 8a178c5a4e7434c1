"""A user's folders and names: a walk that no link can trap; names for tables, terminals and file systems."""

import os
import re
import unicodedata
from collections import deque
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the project's folder: scripts, test_data/, runs/


def find_files(folder: str | Path) -> Iterator[tuple[Path, str]]:
    """Yield (path, problem) for every file below `folder`: the upper ones first, each folder in name order.

    `problem` is empty for a regular file, or says why there is nothing to read: a broken link, a pipe, a folder
    without permission. A link to a folder is such a problem too: it is not followed, so a loop can do no harm
    and no file is met twice.
    """
    pending = deque([Path(folder)])
    while pending:
        current = pending.popleft()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            yield current, f"unreadable: {error.strerror}"
            continue
        for entry in entries:
            problem = _problem(entry)
            if not problem and entry.is_dir():
                pending.append(Path(entry.path))
            else:
                yield Path(entry.path), problem


def _problem(entry: os.DirEntry) -> str:
    try:
        if entry.is_dir():
            return "link to a folder, not followed" if _is_linked(entry) else ""
        if entry.is_file():
            return ""
    except OSError:  # a link that leads to itself
        pass
    return "broken link" if entry.is_symlink() else "not a regular file"


def _is_linked(entry: os.DirEntry) -> bool:
    """True for symbolic links and for Windows' junctions, which `is_symlink` does not know."""
    parent = os.path.realpath(os.path.dirname(entry.path))
    return os.path.realpath(entry.path) != os.path.join(parent, entry.name)


def printable(text: str | Path) -> str:
    """Text that any terminal and any UTF-8 file can hold: odd bytes and control characters are escaped."""
    text = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def printable_path(path: str) -> str:
    """A path as CSV files and the report write it: bytes that are no UTF-8 become \\udcxx escapes."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def path_of(printed: str) -> str:
    """What `printable_path` was given."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda match: chr(0xDC00 + int(match[1], 16)), printed)


def same_name(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def harmless(name: str) -> str:
    """A member's name without anything that could lead out of a folder."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts).replace(":", "_") or "unnamed"
