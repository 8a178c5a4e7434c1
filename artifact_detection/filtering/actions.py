"""Bringing images where their band belongs, and back: a manifest first, then one transfer at a time."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path

from tqdm import tqdm

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.decisions import BANDS
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.shards import Extraction
from artifact_detection.system.files import write_atomic
from artifact_detection.system.paths import harmless, printable_path, same_name
from artifact_detection.system.tables import read_table, write_table
from artifact_detection.system.transfers import MODES, Transfer, carry_out_all, undo_all

MANIFEST = "manifest.csv"
ACTIONS = ("report", *MODES, "list")
FOLDERS = {KEEP: "kept", REVIEW: "review", REJECT: "rejected"}


class ActionError(Exception):
    """An action that cannot be done as asked; nothing was touched."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One row of the manifest: an image, its place below the output folder, and the evidence for it."""

    source: str
    destination: str
    mode: str
    sha256: str
    band: str
    probability: str
    threshold: str
    model: str
    reason: str
    offset: str = ""  # of a member of a tar shard; else empty
    bytes: str = ""

    def transfer(self, folder: Path) -> Transfer:
        destination = folder / self.destination
        if self.offset:
            return Extraction(Path(self.source), destination, "copy", self.sha256, int(self.offset), int(self.bytes))
        return Transfer(Path(self.source), destination, self.mode, self.sha256)


COLUMNS = tuple(one.name for one in fields(Placement))


def refuse(action: str, items: Iterable[Item]) -> None:
    """Raise ActionError for an action that some input can not take part in, before any work."""
    if action in ("move", "link") and any(item.in_shard for item in items):
        raise ActionError(f"--action {action} cannot take images out of a tar shard: use copy or list")


def read_placements(folder: Path) -> list[Placement]:
    """The manifest's rows, none if there is no manifest. Raises ActionError if it is damaged."""
    path = folder / MANIFEST
    if not path.exists():
        return []
    try:
        return [_checked(Placement(**{name: row[name] for name in COLUMNS}), path) for row in read_table(path, COLUMNS)]
    except ValueError as error:
        raise ActionError(str(error)) from error


def _checked(row: Placement, path: Path) -> Placement:
    """Raises ValueError for a row that this module can not have written: it must not lead out of the folder."""
    inside = row.destination.split("/")[0] in FOLDERS.values() and ".." not in row.destination.split("/")
    if not inside or row.mode not in MODES or (row.offset and not (row.offset + row.bytes).isdecimal()):
        raise ValueError(f"{path} is damaged: {row.source} -> {row.destination}")
    return row


def places(folder: Path) -> dict[str, Path]:
    """Where the images are that an earlier move has taken away, by their path."""
    rows = (row for row in read_placements(folder) if row.mode == "move")
    return {row.source: folder / row.destination for row in rows if not os.path.lexists(row.source)}


def plan(judged: Iterable[Judged], mode: str, model: str) -> tuple[list[Placement], list[str]]:
    """A placement for every usable image, and a line for each that cannot be placed."""
    placements, problems, taken = [], [], set()
    for row in judged:
        problem = row.band and _why_not(row, mode)
        if problem:
            problems.append(f"{printable_path(row.record.path)}: {problem}")
        elif row.band:
            destination = next(name for name in _candidates(row) if same_name(name) not in taken)
            taken.add(same_name(destination))
            placements.append(_placement(row, destination, mode, model))
    return placements, problems


def _why_not(row: Judged, mode: str) -> str:
    if printable_path(row.item.file + row.item.name) != row.item.file + row.item.name:
        return "not placed, its name is not valid UTF-8"
    return "not placed, a symbolic link cannot be moved" if mode == "move" and os.path.islink(row.item.file) else ""


def _candidates(row: Judged) -> Iterator[str]:
    name = Path(harmless(Path(row.item.name).as_posix()))
    yield (FOLDERS[row.band] / name).as_posix()
    yield from ((FOLDERS[row.band] / name.with_name(f"{number}-{name.name}")).as_posix() for number in count(2))


def _placement(row: Judged, destination: str, mode: str, model: str) -> Placement:
    record, verdict, item = row.record, row.verdict, row.item
    return Placement(
        source=item.file,
        destination=destination,
        mode=mode,
        sha256=record.sha256,
        band=verdict.band,
        probability=f"{record.probability:.6f}",
        threshold="" if verdict.threshold is None else f"{verdict.threshold:.6f}",
        model=model,
        reason=verdict.reason,
        offset=str(item.offset) if item.in_shard else "",
        bytes=str(item.bytes) if item.in_shard else "",
    )


def place(judged: list[Judged], folder: Path, mode: str, model: str) -> list[str]:
    """Bring every image where it belongs; return a line for each that is not there.

    What an earlier run placed elsewhere is put back first. The manifest is on disk before a file is touched, so a
    run that was killed is finished by running it again.
    """
    planned, problems = plan(judged, mode, model)
    earlier = read_placements(folder)
    sources = {row.item.file for row in judged}
    foreign = sum(row.source not in sources for row in earlier)
    if foreign:
        raise ActionError(f"{folder} holds {foreign} images that are not among the inputs: --undo, or another --out")
    stale = [row for row in earlier if row not in set(planned)]
    reasons = list(undo_all([row.transfer(folder) for row in stale]))
    stuck = [row for row, reason in zip(stale, reasons, strict=True) if reason]
    problems += [f"{row.destination}: {reason}" for row, reason in zip(stale, reasons, strict=True) if reason]
    held = {(row.source, row.offset) for row in stuck}
    planned = [row for row in planned if (row.source, row.offset) not in held]
    _write(folder, [*stuck, *planned])
    errors = carry_out_all([row.transfer(folder) for row in planned])
    errors = tqdm(errors, desc=mode, total=len(planned), unit="img", disable=None)
    return problems + [
        f"{row.source}: not placed, {error.strerror or error}"
        for row, error in zip(planned, errors, strict=True)
        if error
    ]


def _write(folder: Path, rows: Iterable[Placement]) -> None:
    write_table(folder / MANIFEST, COLUMNS, ({name: getattr(row, name) for name in COLUMNS} for row in rows))


def write_lists(judged: list[Judged], folder: Path) -> None:
    """kept.txt, review.txt, rejected.txt: the paths, one a line, as the file system spells them."""
    for band in BANDS:
        lines = [os.fsencode(row.record.path) + b"\n" for row in judged if row.band == band]
        write_atomic(folder / f"{FOLDERS[band]}.txt", b"".join(lines))


def undo(folder: Path) -> tuple[int, list[str]]:
    """Put back what the manifest names: how many images, and a line for each that stays where it is."""
    rows = read_placements(folder)
    if not rows:
        raise ActionError(f"nothing to undo: no {MANIFEST} in {folder}")
    reasons = undo_all([row.transfer(folder) for row in rows])
    reasons = list(tqdm(reasons, desc="undoing", total=len(rows), unit="img", disable=None))
    left = [row for row, reason in zip(rows, reasons, strict=True) if reason]
    _remove_empty(folder)
    if left:
        _write(folder, left)
    else:
        (folder / MANIFEST).unlink()
    lines = [f"{row.destination}: {reason}" for row, reason in zip(rows, reasons, strict=True) if reason]
    return len(rows) - len(left), lines


def _remove_empty(folder: Path) -> None:
    for name in FOLDERS.values():
        for below, _, _ in os.walk(folder / name, topdown=False):
            with suppress(OSError):
                os.rmdir(below)
