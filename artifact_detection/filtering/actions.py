"""Bringing images where their band belongs, and back: the rows of the manifest, and what is said of each."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.decisions import BANDS
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.results import Judged
from artifact_detection.system.files import write_atomic
from artifact_detection.system.manifest import NAME, Manifest, ManifestError, ManifestRow, count_undone
from artifact_detection.system.ownership import NotOursError, OwnFolder
from artifact_detection.system.paths import FreeNames, harmless, lower_end, printable_path
from artifact_detection.system.transfers import MODES

ACTIONS = ("report", *MODES, "list")
FOLDERS = {KEEP: "kept", REVIEW: "review", REJECT: "rejected"}
LISTS = {band: f"{folder}.txt" for band, folder in FOLDERS.items()}


class ActionError(Exception):
    """An action that cannot be done as asked; nothing was touched."""


def next_step(action: str, is_ready: bool) -> str:
    """What a user does after a run with this action; is_ready: there is no page left to decide on before."""
    if action in MODES:
        return f"next: use {'/, '.join(FOLDERS.values())}/ there; --undo takes it back"
    if action != "report":
        return f"next: use {', '.join(LISTS.values())} there"
    folders = f"--action copy (or move, link, list) for {'/, '.join(FOLDERS.values())}/"
    if is_ready:
        return f"next: the same with {folders}"
    return (
        "next: open the page, press K or R at what is wrong, export decisions.csv; then the same command with "
        f"--decisions decisions.csv {folders}"
    )


@dataclass(slots=True)
class Placement(ManifestRow):
    """An image, its place below the output folder, and the evidence for it."""

    band: str = ""
    probability: str = ""
    threshold: str = ""
    model: str = ""
    reason: str = ""


def refuse(action: str, items: Iterable[Item]) -> None:
    """Raise ActionError for an action that some input can not take part in, before any work."""
    if action in ("move", "link") and any(item.in_shard for item in items):
        raise ActionError(f"--action {action} cannot take images out of a tar shard: use copy or list")


def make_folder(folder: Path) -> None:
    """Raises ActionError at once where nothing can be written: the results come last."""
    with _unwritable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def take_folder(folder: Path, maker: str, names: Iterable[str] = ()) -> Manifest[Placement]:
    """The folder's transfer list, freed of what a killed run left; see `OwnFolder.claim`.

    Raises ActionError, NotOursError, ManifestError.
    """
    with _unwritable(folder):
        own = OwnFolder.claim(folder, maker, names)
    manifest = Manifest(own, Placement)
    manifest.recover(read_placements(manifest))
    return manifest


@contextmanager
def _unwritable(folder: Path) -> Iterator[None]:
    try:
        yield
    except NotOursError:  # an OSError, too
        raise
    except OSError as error:
        raise ActionError(f"cannot write to {folder}: {error.strerror}; pass another --out") from error


def read_placements(manifest: Manifest[Placement]) -> list[Placement]:
    """The manifest's rows, none if there is no manifest. Raises ManifestError if it is damaged."""
    rows = manifest.read()
    for row in rows:
        if row.destination.split("/")[0] not in FOLDERS.values():
            raise ManifestError(f"{manifest.folder / NAME} is damaged: {row.source} -> {row.destination}")
    return rows


def places(folder: Path, rows: Iterable[Placement]) -> dict[str, Path]:
    """Where the images are that a move has taken away, by their path; rows: what the folder's manifest says."""
    rows = (row for row in rows if row.mode == "move")
    found = {str(row.source): folder / row.destination for row in rows if not os.path.lexists(row.source)}
    return {path: place for path, place in found.items() if os.path.lexists(place)}


def plan(judged: Iterable[Judged], mode: str, model: str) -> tuple[list[Placement], list[str]]:
    """A placement for every usable image, and a line for each that cannot be placed."""
    placements, problems, names = [], [], FreeNames()
    for row in judged:
        problem = row.band and _why_not(row, mode)
        if problem:
            problems.append(f"{printable_path(row.record.path)}: {problem}")
        elif row.band:
            name = Path(lower_end(harmless(Path(row.item.name).as_posix())))
            placements.append(_placement(row, names.take((FOLDERS[row.band] / name).as_posix()), mode, model))
    return placements, problems


def _why_not(row: Judged, mode: str) -> str:
    if printable_path(row.item.file + row.item.name) != row.item.file + row.item.name:
        return "not placed, its name is not valid UTF-8"
    return "not placed, a symbolic link cannot be moved" if mode == "move" and os.path.islink(row.item.file) else ""


def _placement(row: Judged, destination: str, mode: str, model: str) -> Placement:
    record, verdict, item = row.record, row.verdict, row.item
    return Placement(
        source=Path(item.origin),
        destination=destination,
        mode=mode,
        sha256=record.sha256,
        bytes=item.bytes,
        offset=item.offset if item.in_shard else None,
        band=verdict.band,
        probability=f"{record.probability:.6f}",
        threshold="" if verdict.threshold is None else f"{verdict.threshold:.6f}",
        model=model,
        reason=verdict.reason,
    )


def place(judged: list[Judged], manifest: Manifest[Placement], mode: str, model: str) -> list[str]:
    """Bring every image where it belongs; return a line for each that is not there.

    What an earlier run placed elsewhere is put back first. The manifest is on disk before a file is touched, so a
    run that was killed is finished by running it again.
    """
    planned, problems = plan(judged, mode, model)
    earlier = read_placements(manifest)
    sources = {row.item.origin for row in judged}
    strange = [row for row in earlier if str(row.source) not in sources]
    foreign = sum(os.path.lexists(row.source) or _is_there(row, manifest) for row in strange)
    if foreign:
        where = manifest.folder
        raise ActionError(f"{where} holds {foreign} images that are not among the inputs: --undo, or another --out")
    wanted = {row.key for row in planned}
    stale = [row for row in earlier if row.key not in wanted]
    reasons = manifest.undo(stale)
    problems += _lines(stale, reasons)
    stuck = [row for row, why in zip(stale, reasons, strict=True) if why and _is_there(row, manifest)]
    held = {(row.source, row.offset) for row in stuck} | {row.destination for row in stuck}
    planned = [row for row in planned if not {(row.source, row.offset), row.destination} & held]
    reasons = [why for _, why in manifest.reasons(planned, earlier)]
    problems += [f"{_named(row)}: not placed, {why}" for row, why in zip(planned, reasons, strict=True) if why]
    planned = [row for row, why in zip(planned, reasons, strict=True) if not why]
    manifest.write([*stuck, *planned])
    reasons = manifest.carry_out(planned, mode)
    return problems + [f"{_named(row)}: {why}" for row, why in zip(planned, reasons, strict=True) if why]


def _named(row: Placement) -> str:
    """The source, and which image of it in a shard."""
    return str(row.source) if row.offset is None else f"{row.source} ({row.destination})"


def _is_there(row: Placement, manifest: Manifest[Placement]) -> bool:
    return os.path.lexists(manifest.folder / row.destination)


def _lines(rows: Sequence[Placement], reasons: Sequence[str]) -> list[str]:
    return [f"{row.destination}: {reason}" for row, reason in zip(rows, reasons, strict=True) if reason]


def write_lists(judged: list[Judged], folder: Path, end: bytes = b"\n") -> list[str]:
    """kept.txt, review.txt, rejected.txt: where the images are, as the file system spells it, `end` after each.

    Returns a line for each that a list cannot hold: half a name with a line break in it may be another file's.
    """
    problems = []
    for band in BANDS:
        rows = [row for row in judged if row.band == band]
        # a member of a shard is no file: its name stands for it
        paths = [os.fsencode(row.item.path if row.item.in_shard else row.item.file) for row in rows]
        odd = {path for path in paths if end in path or (end == b"\n" and path.endswith(b"\r"))}
        problems += [f"{os.fsdecode(path)}: not listed, a line break in its name: use --null" for path in odd]
        write_atomic(folder / LISTS[band], b"".join(path + end for path in paths if path not in odd))
    return problems


def undo(manifest: Manifest[Placement], restore_to: Path | None) -> tuple[int, list[str]]:
    """Put back what the manifest names: how many images, and a line for each that stays where it is."""
    rows = manifest.going_home(read_placements(manifest), restore_to)
    there, reasons = manifest.in_place(rows), manifest.undo(rows)
    manifest.take_apart(rows, reasons)
    return count_undone(there, reasons), _lines(rows, reasons)
