"""One file that is to be copied, moved or linked: what the disk says of it, the next step, and the way back.

What is done is read from the disk, never from a log: carrying out a transfer twice, or after a kill at any point, ends
as doing it once. Lists of them are kept by manifest.py.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from artifact_detection.system.files import (
    Part,
    copy_verified,
    link_verified,
    move_verified,
    remove_verified,
    sha256_file,
)
from artifact_detection.system.ownership import OwnFolder
from artifact_detection.system.paths import same_entry
from artifact_detection.system.renaming import rename_new

MODES = ("copy", "move", "link")
PENDING, DONE, CONFLICT, GONE = "pending", "done", "conflict", "gone"  # what the disk says of a transfer
TAKEN, VANISHED = "another file has its place", "gone from both places"


@dataclass(frozen=True)
class Transfer:
    """Bring `source`, or that part of it, whose bytes have the hash `sha256`, to `destination` by `mode`.

    own: the folder of ours that the destination lies in.
    """

    source: Path
    destination: Path
    mode: str
    sha256: str
    own: OwnFolder
    part: Part | None = None

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
        state = self.state()
        if state in (CONFLICT, GONE):
            raise FileExistsError(TAKEN) if state == CONFLICT else FileNotFoundError(VANISHED)
        if state == DONE:
            return
        self.destination.parent.mkdir(parents=True, exist_ok=True)
        temporary, _ = self.own.names_for(self.destination)
        if self.mode == "move":
            _, aside = self.own.names_for(self.source)
            move_verified(self.source, self.destination, self.sha256, temporary, aside)
        elif self.mode == "copy":
            copy_verified(self.source, self.destination, self.sha256, temporary, self.part)
        else:
            link_verified(self.source, self.destination, self.sha256)

    def why_not_undone(self) -> str:
        """Why `put_back` would lose bytes, in a few words; empty if it would not."""
        if not os.path.lexists(self.destination):
            return "" if os.path.lexists(self.source) else VANISHED
        if self._foreign_link() or (self._one_place() and not self.destination.is_symlink()):
            return "its place is taken by a link, left as it is"
        if self.mode == "move":
            if not _holds(self.destination, self.sha256):
                return "changed since, left where it is"
            taken = os.path.lexists(self.source) and not _holds(self.source, self.sha256)
            return "another file has its old name, left where it is" if taken else ""
        return "" if self._one_file() or self._same_bytes() else "no longer the same as its source, left where it is"

    def put_back(self) -> None:
        """Undo: a moved file goes home, a copy or a link is removed. Only if `why_not_undone` is empty."""
        if not os.path.lexists(self.destination):
            return
        _, aside = self.own.names_for(self.destination)
        if self.mode == "move":
            self.source.parent.mkdir(parents=True, exist_ok=True)
            temporary, _ = self.own.names_for(self.source)
            move_verified(self.destination, self.source, self.sha256, temporary, aside)
        elif self.destination.is_symlink():
            self.destination.unlink()
        else:
            remove_verified(self.destination, self.source, sha256_file(self.destination), aside, self.part)

    def recover(self) -> None:
        """Clear up after a run that was killed: an unfinished copy goes, a file that was set aside gets its name back,
        unless that and the other place have its bytes."""
        for path, other in ((self.source, self.destination), (self.destination, self.source)):
            temporary, aside = self.own.names_for(path)
            temporary.unlink(missing_ok=True)
            if not os.path.lexists(aside):
                continue
            if not os.path.lexists(path):
                rename_new(aside, path)
            elif _holds(aside, self.sha256) and _holds(other, self.sha256):
                aside.unlink()

    def _foreign_link(self) -> bool:
        """True if the destination is a symbolic link that this transfer can not have made."""
        return self.mode != "link" and self.destination.is_symlink()

    def _one_place(self) -> bool:
        """True if both names lead to one directory entry: removing that one removes the file."""
        return same_entry(os.path.realpath(self.source), os.path.realpath(self.destination))

    def _one_file(self) -> bool:
        try:
            return os.path.samefile(self.source, self.destination)
        except OSError:
            return False

    def _same_bytes(self) -> bool:
        try:
            return self.source.is_file() and _holds(self.destination, sha256_file(self.source, self.part))
        except OSError:
            return False


def _holds(path: Path, sha256: str) -> bool:
    """True if these bytes can be read there; a file that cannot be read is one to leave alone."""
    try:
        return path.is_file() and sha256_file(path) == sha256
    except OSError:
        return False
