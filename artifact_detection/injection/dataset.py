"""A labelled set made from clean images: some get an artifact, all leave by the same encoder.

    OUT/{train,test}/image_00042_1.png    ready for organize_dataset.py --source OUT
    OUT/injected.csv                      file, base, group, kind, severity, mask box, a row per file
    OUT/unusable.csv                      what could not be used, and why
    OUT/masks/{train,test}/…              on request: 255 where the artifact changed a pixel

A file that is there already and holds anything else, because somebody changed it, is named and left as it is.

Near-duplicate bases form a group, and a group stands in one split only, so no identity that can be recognised as
one is on both sides. The same images, settings and seed give the same bytes, so a killed run is simply run again.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from artifact_detection.images.decoding import ImageError, read_image
from artifact_detection.images.duplicates import duplicate_groups
from artifact_detection.images.listing import list_image_files
from artifact_detection.images.measure import measure_files
from artifact_detection.images.transforms import within
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES, inject
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.system.files import write_atomic
from artifact_detection.system.locks import exclusive_lock
from artifact_detection.system.ownership import NotOursError, OwnFolder
from artifact_detection.system.paths import WORK, lies_in, printable_path
from artifact_detection.system.tables import frame_text, write_table
from artifact_detection.system.threads import cores

SPLITS = ("train", "test")
SETTINGS, TABLE, UNUSABLE = "settings.json", "injected.csv", "unusable.csv"
COLUMNS = ["file", "base", "group", "kind", "severity", "x0", "y0", "x1", "y1"]
T = TypeVar("T")


class InjectionError(Exception):
    """A set that cannot be made as it was asked for; the message says why."""


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of a set, besides the images. `size`: the longer side in pixels, 0 = as it is."""

    prevalence: float = 0.1
    seed: int = 0
    kinds: tuple[str, ...] = tuple(KINDS)
    severities: tuple[int, ...] = SEVERITIES
    test_share: float = 0.2
    size: int = 0
    masks: bool = False

    def __post_init__(self):
        for name in ("prevalence", "test_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InjectionError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        if self.size < 0 or 0 < self.size < 16:
            raise InjectionError(f"size is at least 16 pixels, or 0 for unchanged, not {self.size}")


@dataclass(frozen=True)
class PlannedImage:
    """One file to write: `kind` is "" for a clean one."""

    base: Path
    group: int
    split: str
    index: int
    kind: str
    severity: int

    @property
    def name(self) -> str:
        return f"{self.split}/image_{self.index:05d}_{ARTIFACT if self.kind else CLEAN}.png"


def find_images(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The files below a folder that are called like images, and path -> reason for everything else."""
    if not folder.is_dir():
        raise InjectionError(f"no folder {folder}")
    listing = list_image_files(folder)
    return listing.files, {str(folder / name): why for name, why in listing.left_out.items()}


def list_bases(folder: Path) -> tuple[list[Path], np.ndarray, dict[str, str]]:
    """Every readable image below a folder, its group of near-duplicates (N,), and path -> reason for the rest."""
    paths, problems = find_images(folder)
    measured = measure_files(paths)
    errors = measured.table["error"].to_numpy()
    problems |= {str(path): error for path, error in zip(paths, errors, strict=True) if error}
    usable = np.flatnonzero(errors == "")
    return [paths[row] for row in usable], duplicate_groups(measured.take(usable)), problems


def choose_test(groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which of the images with these group ids (N,) stand in the test split, (N,) bool: whole groups only.

    Groups are taken in random order as long as they fit into round(share * N) images.
    """
    chosen, left = np.zeros(len(groups), bool), round(share * len(groups))
    for group in rng.permutation(np.unique(groups)):
        members = groups == group
        if members.sum() <= left:
            chosen |= members
            left -= members.sum()
    return chosen


def plan(bases: Sequence[Path], groups: np.ndarray, settings: Settings) -> list[PlannedImage]:
    """Who gets which artifact in which split; kinds and severities come equally often.

    Exactly round(prevalence * N) of all N files get one, and the same share of each split, to within one file.
    """
    rng = np.random.default_rng(settings.seed)
    in_test = choose_test(groups, settings.test_share, rng)
    total, test = (round(settings.prevalence * len(rows)) for rows in (in_test, np.flatnonzero(in_test)))
    cells = [(kind, severity) for kind in settings.kinds for severity in settings.severities]
    deck = _endless(cells, rng)
    numbers = iter(rng.permutation(len(bases)))
    jobs = []
    for split, count in zip(SPLITS, (total - test, test), strict=True):
        rows = rng.permutation(np.flatnonzero(in_test == (split == "test")))
        for position, row in enumerate(rows):
            kind, severity = next(deck) if position < count else ("", 0)
            jobs.append(PlannedImage(bases[row], int(groups[row]), split, int(next(numbers)), kind, severity))
    return sorted(jobs, key=lambda job: job.name)


def _endless(cells: list[T], rng: np.random.Generator):
    """The cells in random order, again and again."""
    while True:
        yield from (cells[i] for i in rng.permutation(len(cells)))


def render(job: PlannedImage, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of one file, (H, W, 3) uint8, and its mask (H, W) bool. Raises ImageError."""
    image = read_image(job.base)
    if settings.size:
        image = within(image, settings.size)
    if not job.kind:
        return image, np.zeros(image.shape[:2], bool)
    return inject(image, job.kind, job.severity, np.random.default_rng((settings.seed, job.index)))


def _write(job: PlannedImage, images: Path, out: Path, settings: Settings) -> tuple[dict | None, list[ImageError]]:
    """Write one file and, on request, its mask; returns its row of injected.csv, if any, and what went wrong."""
    try:
        pixels, mask = render(job, settings)
    except ImageError as error:
        return None, [error]
    files = {out / job.name: cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)}
    if settings.masks:
        files[out / "masks" / job.name] = mask.astype(np.uint8) * 255
    changed = [path for path, content in files.items() if not _is_written(path, _png(content), out / WORK)]
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    box = (x, y, x + w, y + h) if job.kind else ("",) * 4
    base = printable_path(job.base.relative_to(images).as_posix())
    row = dict(zip(COLUMNS, (job.name, base, job.group, job.kind, job.severity or "", *box), strict=True))
    return row, [ImageError(path, "changed since it was made, left as it is") for path in changed]


def _is_written(path: Path, data: bytes, work: Path) -> bool:
    """Whether the file holds this now; not if something else has its name."""
    if os.path.lexists(path):
        return path.is_file() and path.read_bytes() == data
    write_atomic(path, data, work)
    return True


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def write_set(images: Path, out: Path, settings: Settings) -> tuple[pd.DataFrame, dict[str, str]]:
    """Make the set in `out`; returns the table of injected.csv and the problems, path -> reason.

    Raises InjectionError if there is no usable image, or if `out` holds something else.
    """
    images, out = images.resolve(), out.resolve()
    if lies_in(out, images) or lies_in(images, out):
        raise InjectionError(f"--out {out} and --images {images} overlap: choose another folder")
    bases, groups, problems = list_bases(images)
    if not bases:
        raise InjectionError(f"no usable image in {images} ({len(problems)} files that are none)")
    jobs = plan(bases, groups, settings)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(out):
        _claim(out, settings, bases)
        folders = [out / part / split for part in ("", "masks")[: 1 + settings.masks] for split in SPLITS]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(cores()) as pool:
            done = pool.map(lambda job: _write(job, images, out, settings), jobs)
            written = list(tqdm(done, "writing", len(jobs), unit="img", disable=None))
        problems |= {error.path: error.reason for _, errors in written for error in errors}
        table = pd.DataFrame([row for row, _ in written if row], columns=COLUMNS)
        unusable = ({"path": printable_path(path), "reason": why} for path, why in problems.items())
        write_table(out / UNUSABLE, ("path", "reason"), unusable)
        write_atomic(out / TABLE, frame_text(table))
    return table, problems


def _claim(out: Path, settings: Settings, bases: list[Path]) -> None:
    """Make `out` a folder for this very set, or raise InjectionError if it holds another one."""
    listing = "\n".join(f"{path} {path.stat().st_size}" for path in bases)
    digest = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
    claim = json.dumps({**asdict(settings), "images": digest}, indent=1)
    note = out / SETTINGS
    known = note.is_file() and note.read_bytes() == claim.encode()
    if not known and any(path.name != WORK for path in out.iterdir()):
        made = "was not made with these images and settings"
        raise InjectionError(f"{out} is not empty and {made}: choose another --out")
    try:
        OwnFolder.claim(out, "injection", (SETTINGS, TABLE, UNUSABLE))
    except NotOursError as error:
        raise InjectionError(str(error)) from error
    if not known:
        write_atomic(note, claim)


def pick_images(folder: Path, count: int, seed: int) -> tuple[list[np.ndarray], dict[str, str]]:
    """Up to `count` random readable images below a folder, and the problems met, path -> reason."""
    paths, problems = find_images(folder)
    images = []
    for row in np.random.default_rng(seed).permutation(len(paths)):
        if len(images) == count:
            break
        try:
            images.append(read_image(paths[row]))
        except ImageError as error:
            problems[error.path] = error.reason
    if not images:
        raise InjectionError(f"no usable image in {folder}")
    return images, problems


LISTED = 50  # unusable files named on the terminal


def named_kinds(names: list[str]) -> tuple[str, ...]:
    """The kinds that a list of kinds and families means, each once, in KINDS' order. Raises InjectionError."""
    for name in names:
        if name not in KINDS and name not in FAMILIES:
            raise InjectionError(f"--kinds {name}: not a kind and not a family; --help lists them")
    return tuple(kind for kind, family in KINDS.items() if kind in names or family in names)


def name_problems(problems: dict[str, str]) -> int:
    """Say on stderr what could not be used; the exit code."""
    for path, reason in list(problems.items())[:LISTED]:
        print(f"  {path}: {reason}", file=sys.stderr)
    if problems:
        print(f"{len(problems)} files could not be used", file=sys.stderr)
    return int(bool(problems))
