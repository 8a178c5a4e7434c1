"""Folders that are provably ours: only there a file is replaced, and only what is recorded there is cleaned away.

FOLDER/.work/record.json says which script a folder belongs to, holds a random key that no name of a user's can be made
of, and the roots: the folders whose files runs on this machine have taken. A record that came from elsewhere has roots
that this machine did not sign; they count for nothing. It also has the names that the script writes in the folder, each
with the SHA-256 of what it wrote: a file of the user's, or one that the user changed, has none of them.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from artifact_detection.system.files import (
    UNFINISHED,
    NotOursError,
    is_replaceable,
    present,
    read_record,
    sha256_file,
    write_atomic,
)
from artifact_detection.system.machine import signature, state_folder
from artifact_detection.system.paths import RECORD, WORK

ASIDE = ".removing-"  # how the names start that files have in the moment before they go


class OwnFolder:
    """A folder with our record in it. roots: real paths of the folders that undo may put files into."""

    def __init__(self, path: Path, maker: str, key: str, roots: Iterable[str] = ()):
        self.path, self.maker, self.key, self.roots = path, maker, key, frozenset(roots)
        self._kept = self.roots

    @classmethod
    def claim(cls, path: Path, maker: str, names: Iterable[str] = (), adopt: bool = False) -> "OwnFolder":
        """Make the folder `path`, which must exist, `maker`'s, or find that it is.

        names: what `maker` writes there; adopt: in a folder without a record, they are of an earlier version. Raises
        NotOursError if something else has one of them: another file, or one that was changed since it was written.
        """
        known = cls.find(path)
        if known and known.maker != maker:
            raise NotOursError(f"{path} belongs to {known.maker}: choose another folder")
        adopt = "written" not in read_record(path) if known else adopt
        foreign = [name for name in names if not (adopt or _is_usable(path / name, bool(known)))]
        if foreign or not (known or _is_free(path / WORK)):
            raise NotOursError(
                f"{path} holds {(foreign or [WORK])[0]}, which is not of a run of {maker} or was changed since: "
                "rename it, or choose another folder"
            )
        own = known or cls(path, maker, secrets.token_hex(16))
        if not known:
            (path / WORK).mkdir(exist_ok=True)
            (path / WORK / RECORD).touch()  # empty: ours, and no byte in it
        own._remove_leftovers()
        if not known or not set(names) <= read_record(path).get("written", {}).keys():
            there = {name for name in names if adopt and (path / name).is_file()}
            own._write({name: [sha256_file(path / name)] if name in there else [] for name in names})
        return own

    @classmethod
    def find(cls, path: Path) -> "OwnFolder | None":
        """The folder as its record says, None if it has none."""
        try:
            maker, key, roots, signed = map(read_record(path).__getitem__, ("maker", "key", "roots", "signature"))
            trusted = hmac.compare_digest(_sign(maker, key, roots), signed)
            return cls(path, str(maker), str(key), [os.path.normpath(path / root) for root in roots if trusted])
        except (KeyError, TypeError):
            return None

    def admit(self, roots: Iterable[str | Path], write: bool = True) -> None:
        """Record folders whose files a run is about to take. What lies in another one needs no mention."""
        every = self.roots | {os.path.realpath(root) for root in roots}
        self.roots = frozenset(root for root in every if not any(str(up) in every for up in Path(root).parents))
        if write and self.roots != self._kept:
            self._write()

    def covers(self, path: Path) -> bool:
        """Whether `path` really lies in a recorded root."""
        folder = Path(os.path.realpath(path.parent))
        return any(str(up) in self.roots for up in (folder, *folder.parents))

    def names_for(self, path: Path) -> tuple[Path, Path]:
        """Two names in a file's own folder that are ours alone: for its copy until it is whole, for its removal."""
        token = hashlib.sha256(f"{self.key}\0{path.name}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return path.with_name(UNFINISHED + token), path.with_name(ASIDE + token)

    def dissolve(self) -> None:
        """Take the record away from a folder whose work is undone; `.work` stays if anything else is in it."""
        self._remove_leftovers()
        with suppress(OSError):
            if os.listdir(self.path / WORK) == [RECORD]:
                (self.path / WORK / RECORD).unlink()
                (self.path / WORK).rmdir()

    def _write(self, names: dict[str, list[str]] | None = None) -> None:
        """names: those that are not in the record yet, with the SHA-256 of what has them."""
        roots = sorted(_portable(root, self.path) for root in self.roots)
        record = {"maker": self.maker, "key": self.key, "roots": roots}
        record["signature"] = _sign(self.maker, self.key, roots)
        record["written"] = (names or {}) | read_record(self.path).get("written", {})
        write_atomic(self.path / WORK / RECORD, json.dumps(record, indent=1), self.path / WORK)
        self._kept = self.roots

    def _remove_leftovers(self) -> None:
        for path in (self.path / WORK).glob(f"{UNFINISHED}*"):
            if not path.is_dir():
                path.unlink(missing_ok=True)


def refuse_named(*paths: Path | None) -> None:
    """Raises NotOursError if a name that the user gave for a new file has one that no run wrote, or a changed one."""
    for path in filter(None, paths):
        if not set(present(path)) <= set(_written(path)):
            raise NotOursError(f"{path} is not of such a run or was changed since: rename it, or choose another name")


def write_named(path: Path, data: bytes | str) -> None:
    """Write a file under a name that the user gave, in a folder that need not be ours. Raises as `refuse_named`.

    What was written is remembered among this user's own things: no name of ours appears beside the file.
    """
    refuse_named(path)
    data = data.encode("utf-8") if isinstance(data, str) else data
    note = _note(path)
    with suppress(OSError):  # then the next run finds a file that it does not know
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(note, "\n".join([*present(path), hashlib.sha256(data).hexdigest()]))
    write_atomic(path, data)


def _note(path: Path) -> Path:
    return state_folder() / "written" / hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]


def _written(path: Path) -> list[str]:
    """SHA-256 of what runs of this user wrote, or were about to write, under a name."""
    try:
        return _note(path).read_text().split("\n")
    except (OSError, ValueError):
        return []


def _is_usable(path: Path, is_known: bool) -> bool:
    """Whether a name of our own is free or has what we wrote; a folder of that name is joined, never replaced."""
    return not os.path.lexists(path) or (is_known and (path.is_dir() or is_replaceable(path)))


def _is_free(work: Path) -> bool:
    """Whether nothing of anybody's is in there; a record without a byte is of a run that was killed right there."""
    if not os.path.lexists(work):
        return True
    if not work.is_dir() or work.is_symlink():
        return False
    names = [name for name in os.listdir(work) if name != RECORD or (work / name).stat().st_size]
    # left of a run that was killed while it wrote the very first record
    return all(
        name.startswith(UNFINISHED) and (work / name).is_file()
        and b'{\n "maker": '.startswith((work / name).read_bytes()[:12])
        for name in names
    )  # fmt: skip


def _portable(path: str, folder: Path) -> str:
    """Relative to the folder if it lies beside it, so that both can move together."""
    return Path(os.path.relpath(path, folder) if Path(path).is_relative_to(folder.parent) else path).as_posix()


def _sign(maker: str, key: str, roots: list[str]) -> str:
    return signature(json.dumps([maker, key, roots]))
