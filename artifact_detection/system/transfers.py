"""A planned list of copies, moves or links that can be killed, run again, and undone.

Write the plan to a file (`write_table`) before the first file is touched. What is done is then read from the
disk, never from a log: carrying out a transfer twice, or after a kill at any point, ends as doing it once.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from artifact_detection.system.files import copy_verified, link, move_verified, sha256_file, sync_folder
from artifact_detection.system.threads import in_threads

MODES = ("copy", "move", "link")
PENDING, DONE, CONFLICT, GONE = "pending", "done", "conflict", "gone"  # what the disk says of a transfer
HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # the next file would fail as well


@dataclass(frozen=True)
class Transfer:
    """Bring the file `source`, whose bytes have the hash `sha256`, to `destination` by `mode`."""

    source: Path
    destination: Path
    mode: str
    sha256: str

    def state(self) -> str:
        """PENDING, DONE, CONFLICT (something else has the destination's name) or GONE (neither is there)."""
        if not os.path.lexists(self.destination):
            return PENDING if os.path.lexists(self.source) else GONE
        if self._foreign_link() or not (self._one_file() or _holds(self.destination, self.sha256)):
            return CONFLICT
        half_moved = self.mode == "move" and not self._one_place() and _holds(self.source, self.sha256)
        return PENDING if half_moved else DONE

    def carry_out(self) -> None:
        """Do what is left to do. Raises OSError; the source is then whole and nothing half-done is visible."""
        if self.state() != PENDING:
            return
        self.destination.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(self.destination):  # a move that was killed before its last step
            sync_folder(self.destination.parent)
            self.source.unlink()
        elif self.mode == "link":
            link(self.source, self.destination)
        else:
            act = move_verified if self.mode == "move" else copy_verified
            act(self.source, self.destination, self.sha256)

    def why_not_undone(self) -> str:
        """Why `put_back` would lose bytes, in a few words; empty if it would not."""
        if not os.path.lexists(self.destination):
            return "" if os.path.lexists(self.source) else "gone from both places"
        if self._foreign_link() or (self._one_place() and not self.destination.is_symlink()):
            return "its place is taken by a link, left as it is"
        if self.mode == "move":
            if not _holds(self.destination, self.sha256):
                return "changed since, left where it is"
            taken = os.path.lexists(self.source) and not _holds(self.source, self.sha256)
            return "another file has its old name, left where it is" if taken else ""
        if self._one_file() or _same_bytes(self.source, self.destination):
            return ""
        return "no longer the same as its source, left where it is"

    def put_back(self) -> None:
        """Undo: a moved file goes home, a copy or a link is removed. Only if `why_not_undone` is empty."""
        if not os.path.lexists(self.destination):
            return
        if self.mode == "move" and not os.path.lexists(self.source):
            self.source.parent.mkdir(parents=True, exist_ok=True)
            move_verified(self.destination, self.source, self.sha256)
        else:
            self.destination.unlink()

    def _foreign_link(self) -> bool:
        """True if the destination is a symbolic link that this transfer can not have made."""
        return self.mode != "link" and self.destination.is_symlink()

    def _one_place(self) -> bool:
        """True if both names lead to one directory entry: removing that one removes the file."""
        return os.path.realpath(self.source) == os.path.realpath(self.destination)

    def _one_file(self) -> bool:
        try:
            return os.path.samefile(self.source, self.destination)
        except OSError:
            return False


def _holds(path: Path, sha256: str) -> bool:
    """True if these bytes can be read there; a file that cannot be read is one to leave alone."""
    try:
        return path.is_file() and sha256_file(path) == sha256
    except OSError:
        return False


def _same_bytes(one: Path, other: Path) -> bool:
    try:
        return one.is_file() and _holds(other, sha256_file(one))
    except OSError:
        return False


def attempt(act: Callable[[], None]) -> OSError | None:
    """Do it and return the error, if any, unless there is no use in going on with other files: that is raised."""
    try:
        act()
    except OSError as error:
        if error.errno in HOPELESS:
            raise
        return error
    return None


def carry_out_all(transfers: Sequence[Transfer]) -> Iterator[OSError | None]:
    """Carry out every transfer, in order; yield its error or None. Everything is durable at the end.

    Raises OSError if no space is left or the file system is read-only; a later run goes on from there.
    """
    yield from in_threads(lambda transfer: attempt(transfer.carry_out), transfers)
    for folder in {transfer.destination.parent for transfer in transfers}:
        if folder.is_dir():
            sync_folder(folder)


def undo_all(transfers: Sequence[Transfer], dry_run: bool = False) -> Iterator[str]:
    """Undo every transfer, in order; yield "" or why it was left as it is, in a few words."""

    def undo(transfer: Transfer) -> str:
        reason = transfer.why_not_undone()
        error = None if reason or dry_run else attempt(transfer.put_back)
        return reason or (f"not put back: {error.strerror or error}" if error else "")

    yield from in_threads(undo, transfers)
