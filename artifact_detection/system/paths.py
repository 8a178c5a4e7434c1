"""A user's folders and names: a walk that no link can trap; names for tables, terminals and file systems."""

import os
import re
import stat
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the project's folder: scripts, test_data/, runs/
WORK = ".work"  # in a folder of ours: what no user has to see, see ownership.py
RECORD = "record.json"  # in there: what makes the folder ours
LONGEST = 255  # bytes of a name
DEEPEST = 1024  # bytes of a path below a folder of ours: the whole path, and how deep pathlib recurses, have an end


def find_files(folder: str | Path, leave_out: str | Path | None = None) -> Iterator[tuple[Path, str]]:
    """Yield (path, problem) for every file below `folder`: the upper ones first, each folder in name order.

    `problem` is empty for a regular file, or says why there is nothing to read: a broken link, a pipe, a folder
    without permission. A link to a folder is such a problem too: it is not followed, so a loop can do no harm
    and no file is met twice. Left out without a word: the folder `leave_out`, by whatever name it is met, and what
    a folder of ours keeps for itself. A folder in `leave_out` that is met by another name is a problem.
    """
    left_out = _identity(leave_out) if leave_out else None
    inside = set(_identities_below(leave_out, 2)) if left_out else set()
    pending = deque([str(folder)])
    while pending:
        current = pending.popleft()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            yield Path(current), f"unreadable: {error.strerror}"
            continue
        for entry in entries:
            problem = _problem(entry)
            if problem or not entry.is_dir():
                yield Path(entry.path), problem
                continue
            identity = _identity(entry.path) if left_out else None
            if identity in inside:
                yield Path(entry.path), "a folder of the output by another name, not read"
            elif not (_is_ours(entry) or (left_out and identity == left_out)):
                pending.append(entry.path)


Identity = tuple[int, int]  # what tells a folder from every other, whatever its names


def _identity(folder: str | Path) -> Identity | None:
    status = _status(folder)
    return status and (status.st_dev, status.st_ino)


def _identities_below(folder: str | Path, levels: int) -> Iterator[Identity]:
    with suppress(OSError):
        for entry in [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]:
            if known := _identity(entry.path):
                yield known
            if levels > 1:
                yield from _identities_below(entry.path, levels - 1)


def _is_ours(folder: os.DirEntry) -> bool:
    return folder.name == WORK and os.path.exists(os.path.join(folder.path, RECORD))


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
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
    return entry.is_symlink() or getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) == junction


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def lies_in(path: str | Path, folder: str | Path) -> bool:
    """Whether `path` is `folder` or below it by whatever names: links, a bind mount, another spelling of its case."""
    above, path = _status(folder), Path(os.path.realpath(path))
    statuses = map(_status, (path, *path.parents))
    return above is not None and any(status and os.path.samestat(status, above) for status in statuses)


def same_entry(one: str | Path, other: str | Path) -> bool:
    """Whether two paths are one entry of one folder, by whatever names: removing one of them removes both."""
    folders = [_status(os.path.dirname(path) or os.curdir) for path in (one, other)]
    if None in folders or not os.path.samestat(*folders):
        return False
    return same_name(os.path.basename(one)) == same_name(os.path.basename(other))


def first_of(names: Sequence[str], most: int, where: str = "") -> list[str]:
    """The first `most` of them, printable, and where there are more, how many; where: ... the others are named."""
    more = [f"and {len(names) - most} more{where}"] if len(names) > most else []
    return [*map(printable, names[:most]), *more]


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
    parts = [part for part in name.replace("\\", "/").replace("\0", "").split("/") if part not in ("", ".", "..")]
    return "/".join(map(fitting, parts)).replace(":", "_") or "unnamed"


def lower_end(path: str) -> str:
    """A path, with forward slashes, that fits below a folder of ours: of one that is too long, the lower folders."""
    data = os.fsencode(path)
    return path if len(data) <= DEEPEST else os.fsdecode(data[-DEEPEST:].partition(b"/")[2])


def fitting(name: str, longest: int = LONGEST) -> str:
    """A name that a file system takes: the end of one that is too long, where its label and its suffix are."""
    data = os.fsencode(name)
    return name if len(data) <= longest else data[-longest:].decode("utf-8", "ignore")


class FreeNames:
    """Hands out paths that no other has, also where upper and lower case are the same."""

    def __init__(self, taken: Iterable[str] = ()):
        self._taken = {same_name(name) for name in taken}
        self._numbers: dict[str, Iterator[int]] = {}

    def take(self, *wanted: str) -> str:
        """The first of `wanted` (paths with forward slashes) that is free, else the last with a number: 2-, 3-, ...

        Of a name that is too long for a file system, the end.
        """
        paths = [(folder + slash, fitting(name)) for folder, slash, name in (path.rpartition("/") for path in wanted)]
        free = next((folder + name for folder, name in paths if self._is_free(folder + name)), None)
        free = free or self._numbered(*paths[-1])
        self._taken.add(same_name(free))
        return free

    def _is_free(self, path: str) -> bool:
        return same_name(path) not in self._taken

    def _numbered(self, folder: str, name: str) -> str:
        numbers = self._numbers.setdefault(same_name(folder + name), count(2))  # what was taken once stays taken
        starts = (f"{folder}{number}-" for number in numbers)
        paths = (start + fitting(name, LONGEST - len(start) + len(folder)) for start in starts)
        return next(filter(self._is_free, paths))
